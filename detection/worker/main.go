//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command worker decodes and analyses one camera's frames for the edge; as `worker infer` it runs an
// object model for all cameras.
//
// It is started by detection/supervisor with a socket as descriptor 3, and with -slots N memory files for
// frames as those from 4 on. It speaks detection/wire over the socket, and exits when the socket is closed. All native code of Gridpost is in this program, so that a
// crash caused by a camera's bytes costs one camera some seconds of detection, and a crash caused by a
// model costs all cameras their object detection, but not their decoding. It opens its files first, then
// confines itself (package confine), and only then parses the model file or what a camera sent.
//
// The packages decode, vision and onnx do not import each other; this package combines them.
//
// The two settings for Go's runtime keep it from opening files to follow a container's CPU limit.
package main

/*
// gocv links many libraries of which few are used: the others need not be loaded.
#cgo LDFLAGS: -Wl,--as-needed

#include <malloc.h>

// save_memory makes malloc return what is freed to the system. All native code runs on one thread, so one
// arena is enough; and the threshold for memory of its own would rise with each frame that is freed.
static void save_memory(void) {
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_TRIM_THRESHOLD, 128 << 10);
}
*/
import "C"

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"gridpost/detection/wire"
	"gridpost/detection/worker/confine"
)

// saveMemory sets up malloc for a camera's frames. Without it malloc may fail in one arena and succeed in another one,
// which package decode takes for a lack of memory.
func saveMemory() { C.save_memory() }

// socketFD is the descriptor of the socket to the edge.
const socketFD = 3

func main() {
	// One thread runs native code, another one serves the runtime. More would only take memory: a
	// thread's stack counts 8 MiB towards the limit.
	runtime.GOMAXPROCS(2)
	version := flag.Bool("version", false, "print the version and end")
	slots := flag.Int("slots", 0, "`number` of memory files that were inherited")
	flag.Parse()
	if *version {
		fmt.Println("worker", buildVersion())
		return
	}
	serve := runCamera
	if flag.Arg(0) == "infer" {
		serve = runInference
	} else {
		saveMemory()
	}
	if err := run(*slots, serve); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// server serves the edge over a connection. Its run returns io.EOF when the edge has closed it.
type server interface {
	run() error
	close() error
}

// run serves the edge until it closes the socket, which is the only normal end.
func run(slots int, serve func(conn *wire.Conn, slots int) server) error {
	if slots < 0 || slots > wire.MaxSlots {
		return fmt.Errorf("-slots %d is not between 0 and %d", slots, wire.MaxSlots)
	}
	if err := confine.CloseInherited(firstSlot + slots); err != nil {
		return err
	}
	socket, err := connect()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // all native code runs on one thread, which package confine relies on
	conn := wire.NewConn(socket)
	s := serve(conn, slots)
	err = s.run()
	if errors.Is(err, io.EOF) || isDisconnected(err) {
		return s.close() // the edge has closed the socket, perhaps before it read a reply
	}
	// Tell the edge if the socket is still open; standard error has the error in any case.
	return errors.Join(err, conn.Send(wire.End{Error: err.Error()}), s.close())
}

func runCamera(conn *wire.Conn, slots int) server {
	w := newWorker(conn)
	w.slots = slots
	return w
}

func runInference(conn *wire.Conn, slots int) server {
	return &inference{conn: conn, slots: make([][]byte, slots)}
}

// connect opens the socket to the edge and watches it: when the edge closes it the process exits, even
// if native code hangs.
func connect() (net.Conn, error) {
	file := os.NewFile(socketFD, "edge")
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("using descriptor %d as the socket to the edge (this program is started by `edge run`): %w", socketFD, err)
	}
	go func() {
		defer runtime.KeepAlive(file) // or its finalizer closes the descriptor
		fds := []unix.PollFd{{Fd: socketFD, Events: unix.POLLRDHUP}}
		for {
			if _, err := unix.Poll(fds, -1); err == nil && fds[0].Revents != 0 {
				os.Exit(0)
			}
		}
	}()
	return conn, nil
}

func isDisconnected(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF)
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return info.Main.Version
}

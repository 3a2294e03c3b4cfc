//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command worker decodes and analyses one camera's frames for the edge.
//
// It is started by detection/supervisor with a socket as descriptor 3, speaks detection/wire over
// it, and exits when the socket is closed. All native code of Gridpost is in this program, so that a
// crash caused by a camera's bytes or a model file costs one camera some seconds of detection. It opens
// its files first, then confines itself (package confine), and only then parses what a camera sent.
//
// The packages decode, vision and onnx do not import each other; this package combines them.
//
// The two settings for Go's runtime keep it from opening files to follow a container's CPU limit.
package main

/*
// gocv links many libraries of which few are used: the others need not be loaded.
#cgo LDFLAGS: -Wl,--as-needed
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

// socketFD is the descriptor of the socket to the edge.
const socketFD = 3

func main() {
	// One thread runs native code, another one serves the runtime. More would only take memory: a
	// thread's stack counts 8 MiB towards the limit.
	runtime.GOMAXPROCS(2)
	version := flag.Bool("version", false, "print the version and end")
	flag.Parse()
	if *version {
		fmt.Println("worker", buildVersion())
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// run serves the edge until it closes the socket, which is the only normal end.
func run() error {
	if err := confine.CloseInherited(socketFD + 1); err != nil {
		return err
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // all native code runs on one thread, which package confine relies on
	w := newWorker(wire.NewConn(conn))
	err = w.run()
	if errors.Is(err, io.EOF) || isDisconnected(err) {
		return w.close() // the edge has closed the socket, perhaps before it read a reply
	}
	// Tell the edge if the socket is still open; standard error has the error in any case.
	return errors.Join(err, w.conn.Send(wire.End{Error: err.Error()}), w.close())
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

// Command worker decodes and analyses one camera's frames for the edge.
//
// It is started by detection/supervisor with a socket as descriptor 3, speaks detection/wire over
// it, and exits when the socket is closed. All native code of Gridpost is in this program, so that a
// crash caused by a camera's bytes or a model file costs one camera some seconds of detection. It
// reads no configuration, opens no network and stores nothing.
//
// The packages decode, vision and onnx do not import each other; this package combines them.
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
)

// socketFD is the descriptor of the socket to the edge.
const socketFD = 3

func main() {
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
	if err := setLimits(); err != nil {
		return err
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // all native code runs on one thread
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
		fds := []unix.PollFd{{Fd: int32(file.Fd()), Events: unix.POLLRDHUP}} // it is 3
		for {
			if _, err := unix.Poll(fds, -1); err == nil && fds[0].Revents != 0 {
				os.Exit(0)
			}
		}
	}()
	return conn, nil
}

// setLimits bounds what a fault in native code can use.
func setLimits() error {
	const memory = 8 << 30 // of address space; most of it is libraries and the reservations of Go's runtime
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: memory, Max: memory}); err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	return nil
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

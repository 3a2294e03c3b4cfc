// Command worker looks at one camera's pictures for the edge.
//
// It is started by detection/supervisor with a socket as file 3, speaks detection/wire over
// it, and ends when the socket does. All native code of Gridpost is here: what a camera or a
// model file can do to it costs one camera some seconds of detection. It reads no
// configuration, opens no network and keeps nothing.
//
// The parts - decode, vision, onnx - do not know each other; this package joins them.
package main

/*
// The libraries that gocv names are many, and a few are used: the rest need not be loaded.
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

// socket is the file that the edge hands over.
const socket = 3

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

// run works until the edge closes the socket, which is the one clean end.
func run() error {
	if err := limit(); err != nil {
		return err
	}
	conn, err := dial()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // one thread decodes and looks: the edge counts a worker as one
	w := newWorker(wire.NewConn(conn))
	err = w.run()
	if errors.Is(err, io.EOF) || isGone(err) {
		return w.close() // the edge is done, perhaps while it was being answered
	}
	// Say it in order if the edge still listens; standard error has it in any case.
	return errors.Join(err, w.conn.Send(wire.End{Error: err.Error()}), w.close())
}

// dial takes the socket over and watches it: when the edge is gone the process ends, even
// while native code hangs.
func dial() (net.Conn, error) {
	file := os.NewFile(socket, "edge")
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("using file %d as the edge's socket (the edge starts this program; `edge run` does): %w", socket, err)
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

// limit bounds what a bug in native code can take.
func limit() error {
	const memory = 8 << 30 // of address space; libraries and Go's own reservations are most of it
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: memory, Max: memory}); err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up privileges: %w", err)
	}
	return nil
}

func isGone(err error) bool {
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

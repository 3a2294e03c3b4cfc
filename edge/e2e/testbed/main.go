// Command testbed runs the system that the browser tests of the console use: a real hub, real edges with
// simulated cameras and sensors, and synthetic edges that only post events, for numbers that one machine cannot simulate.
//
// It reads requests as lines of JSON from its standard input and answers each with a line on its
// standard output: {"id":1,"do":"start"} gets {"id":1,"result":...} or {"id":1,"error":"..."}. All
// of it ends when the input ends. It accesses the hub only through the interfaces that
// edges and operators have.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"gridpost/edge/e2e/rig"
)

func main() {
	programs := flag.String("programs", "bin", "folder of edge, hub and worker")
	footage := flag.String("footage", "", "folder of converted footage")
	dir := flag.String("dir", "", "folder for all data; new and empty")
	flag.Parse()
	// An interrupt meant for the tests reaches this process too: they end the input when they are done.
	ctx := rig.UntilSignal(syscall.SIGTERM)
	signal.Ignore(os.Interrupt)
	err := run(ctx, &testbed{programs: rig.Programs(*programs), footage: *footage, dir: *dir}, os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

// request is one line of the input.
type request struct {
	ID int    `json:"id"`
	Do string `json:"do"`
}

// response is one line of the output.
type response struct {
	ID     int    `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

const maxLine = 1 << 20

func run(ctx context.Context, s *testbed, in io.Reader, out io.Writer) (err error) {
	if err := s.programs.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, s.clear())
	}()
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, maxLine)
		for sc.Scan() {
			select {
			case lines <- append([]byte(nil), sc.Bytes()...):
			case <-ctx.Done():
				return
			}
		}
	}()
	to := json.NewEncoder(out)
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := to.Encode(s.handle(ctx, line)); err != nil {
				return fmt.Errorf("answering: %w", err)
			}
		}
	}
}

func (s *testbed) handle(ctx context.Context, line []byte) response {
	var o request
	if err := json.Unmarshal(line, &o); err != nil {
		return response{Error: err.Error()}
	}
	a := response{ID: o.ID}
	do, ok := s.handlers()[o.Do]
	if !ok {
		a.Error = fmt.Sprintf("%q is not a known request", o.Do)
		return a
	}
	result, err := do(ctx, line)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	a.Result = result
	return a
}

// handler decodes the arguments of f from the request line.
func handler[A any](f func(context.Context, A) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, line []byte) (any, error) {
		var a A
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
		return f(ctx, a)
	}
}

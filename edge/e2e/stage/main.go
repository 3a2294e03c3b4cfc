// Command stage sets up what the console's browser tests play on: a real hub, real edges with
// simulated cameras and sensors, and boxes that only post, for crowds that no machine could film.
//
// It is told what to do by lines of JSON on its standard input and answers each with a line on its
// standard output: {"id":1,"do":"start"} gets {"id":1,"result":...} or {"id":1,"error":"..."}. All
// of it ends when the input ends. Whatever happens to the hub happens through the interfaces that
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	signal.Ignore(os.Interrupt)
	err := run(ctx, &stage{programs: rig.Programs(*programs), footage: *footage, dir: *dir}, os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	}
}

// order is one line of the input.
type order struct {
	ID int    `json:"id"`
	Do string `json:"do"`
}

// answer is one line of the output.
type answer struct {
	ID     int    `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

const maxLine = 1 << 20

func run(ctx context.Context, s *stage, in io.Reader, out io.Writer) (err error) {
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
			if err := to.Encode(s.obey(ctx, line)); err != nil {
				return fmt.Errorf("answering: %w", err)
			}
		}
	}
}

func (s *stage) obey(ctx context.Context, line []byte) answer {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return answer{Error: err.Error()}
	}
	a := answer{ID: o.ID}
	do, ok := s.orders()[o.Do]
	if !ok {
		a.Error = fmt.Sprintf("%q is not an order", o.Do)
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

// told makes an order of a function whose arguments stand in the line.
func told[A any](f func(context.Context, A) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, line []byte) (any, error) {
		var a A
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("reading the order: %w", err)
		}
		return f(ctx, a)
	}
}

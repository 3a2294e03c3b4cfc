// Command with runs a command with a PostgreSQL server of its own, whose URL is in GRIDPOST_POSTGRES, and
// ends the server with the command. It is for `make test` and for measurements:
//
//	go run ./devices/postgresql/with [-durable] COMMAND ARGUMENTS...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"gridpost/devices/postgresql"
)

func main() {
	durable := flag.Bool("durable", false, "let each commit wait for the disk")
	flag.Parse()
	code, err := run(*durable, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
		code = 1
	}
	os.Exit(code)
}

// run returns the exit status of the command.
func run(durable bool, args []string) (code int, err error) {
	if len(args) == 0 {
		return 0, errors.New("a command is missing")
	}
	// The command gets a terminal's signals too, and decides what they mean.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := postgresql.Start(ctx, postgresql.Options{Durable: durable})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "GRIDPOST_POSTGRES="+server.URL("postgres"))
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

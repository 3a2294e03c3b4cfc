// Command hub collects the events of edges, serves them to dispatchers and other systems, and relays
// live video.
//
// This package only parses arguments; hub/internal/app runs the hub. Commands other than run and demo
// access the hub's database directly, also while a hub runs on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // for machines without a time zone database
)

const usage = `usage: hub COMMAND

  run     [--config FILE] [--data DIR] [--database URL] [--listen ADDR] [--edge-listen ADDR] [--media-listen ADDR] [--demo]
  demo    [--data DIR] [--listen ADDR] [--video FILE] [--camera URL]...   a hub, an edge and simulated devices
  check   [--config FILE] [--data DIR] [--database URL]   reports errors in a configuration, and what a hub lacks on this machine
  edge    add NAME | list | revoke NAME                 [--data DIR] [--database URL]
  user    add NAME --role ROLE [--sites A,B] | sites NAME --sites A,B|all | list | password NAME | totp-remove NAME | rename NAME NEW   [--data DIR] [--database URL]   passwords are read from standard input
  token   create --role ROLE [--name NAME] [--sites A,B] [--valid 720h] | list | revoke ID   [--data DIR] [--database URL]
  audit   verify [--head FILE]... | head | key | rekey  [--data DIR] [--database URL]   verifies the whole audit log; prints its signed head, or its
                                                                                key's ID and public part; lets it go on when its key is lost
  evidence verify FILE... [--authority CA.pem] | authority   [--data DIR] [--database URL]   proves which edge recorded a clip, and that it is
                                                                                unchanged; prints the certificate with which others verify it
  backup  DIR [--data DIR] [--database URL]                      also while the hub runs; each backup is a folder in DIR
  restore --from DIR [--force] [--data DIR] [--database URL]     into an empty place; --force sets aside what is there
  migrate --from sqlite:DIR|postgres://... --to postgres://...|sqlite:DIR
  version

Without --database, a hub stores its data in SQLite files in its data folder. The URL of a database is
postgres://USER@HOST/NAME; the variable GRIDPOST_DATABASE can hold it as well, which lists of processes
do not show. The password can be in PGPASSWORD or in ~/.pgpass instead of the URL.

Commands that change something need the key of the audit log. If the hub's configuration has audit.key_file,
give them the same file with --audit-key FILE, or in the variable GRIDPOST_AUDIT_KEY.

Roles: monitor (sees incidents), dispatcher (handles incidents and watches cameras), administrator.
`

// errUsage is the error of invalid arguments; the usage has been printed.
var errUsage = errors.New("see the usage above")

func main() {
	// The context's stop function is not called: after it, a second signal would kill the program during
	// its shutdown.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], program{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, "hub:", err)
		os.Exit(1)
	}
}

// program holds the standard streams of a command.
type program struct {
	in       *os.File
	out, err io.Writer
}

func dispatch(ctx context.Context, args []string, p program) error {
	if len(args) == 0 {
		fmt.Fprint(p.err, usage)
		return errUsage
	}
	switch command, rest := args[0], args[1:]; command {
	case "run":
		return p.run(ctx, rest)
	case "check":
		return p.check(ctx, rest)
	case "demo":
		return p.demo(ctx, rest)
	case "edge":
		return p.edge(ctx, rest)
	case "user":
		return p.user(ctx, rest)
	case "token":
		return p.token(ctx, rest)
	case "audit":
		return p.audit(ctx, rest)
	case "evidence":
		return p.evidence(ctx, rest)
	case "backup":
		return p.backup(ctx, rest)
	case "restore":
		return p.restore(ctx, rest)
	case "migrate":
		return p.migrate(ctx, rest)
	case "version", "--version":
		fmt.Fprintln(p.out, version())
		return nil
	case "help", "-h", "--help":
		fmt.Fprint(p.out, usage)
		return nil
	}
	fmt.Fprint(p.err, usage)
	return fmt.Errorf("unknown command %q: %w", args[0], errUsage)
}

// version returns the module's version and commit, if the build recorded them.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v
}

// parse parses flags before, between and after the other arguments, and returns the other arguments.
func (p program) parse(fs *flag.FlagSet, args []string) ([]string, error) {
	fs.SetOutput(p.err)
	fs.Usage = func() { fmt.Fprint(p.err, usage) }
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, fmt.Errorf("reading arguments: %w", err)
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// splitVerb returns the subcommand, such as add, and the arguments after it.
func (p program) splitVerb(command string, args []string) (string, []string, error) {
	if len(args) == 0 {
		fmt.Fprint(p.err, usage)
		return "", nil, fmt.Errorf("hub %s needs a subcommand: %w", command, errUsage)
	}
	return args[0], args[1:], nil
}

// usageError prints the usage and returns the error of a command's invalid arguments.
func (p program) usageError(command, verb string, args []string) error {
	fmt.Fprint(p.err, usage)
	return fmt.Errorf("hub %s %s does not accept the arguments %q: %w", command, verb, args, errUsage)
}

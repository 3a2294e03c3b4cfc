// Command hub gathers what edges tell, shows it to dispatchers and brings them live video.
//
// The program only reads arguments; hub/internal/app runs the hub. Commands other than run and
// demo work on the data folder directly, also while a hub runs on it.
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
)

const usage = `usage: hub COMMAND

  run     [--config FILE] [--data DIR] [--listen ADDR] [--edge-listen ADDR] [--media-listen ADDR]
  demo    [--data DIR] [--listen ADDR] [--video FILE] [--camera URL]...   a hub, an edge and simulated devices
  edge    add NAME | list | revoke NAME                 [--data DIR]
  user    add NAME --role ROLE | list | password NAME   [--data DIR]   the password is read from standard input
  token   create --role ROLE [--name NAME] | list | revoke ID   [--data DIR]
  version

Roles: monitor (sees incidents), dispatcher (deals with them and watches cameras), administrator.
`

// errUsage says that the arguments made no sense; the usage has been printed.
var errUsage = errors.New("see the usage above")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], program{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hub:", err)
		os.Exit(1)
	}
}

// program is what a command reads and writes.
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
	case "demo":
		return p.demo(ctx, rest)
	case "edge":
		return p.edge(ctx, rest)
	case "user":
		return p.user(ctx, rest)
	case "token":
		return p.token(ctx, rest)
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

// version is the module's version and commit, as far as the build knows them.
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

// parse reads flags that may stand before, between and behind the other arguments, and returns
// the latter.
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

// verb splits "add NAME ..." off.
func (p program) verb(command string, args []string) (string, []string, error) {
	if len(args) == 0 {
		fmt.Fprint(p.err, usage)
		return "", nil, fmt.Errorf("%s needs to be told what: %w", command, errUsage)
	}
	return args[0], args[1:], nil
}

// wrong complains about a command's arguments.
func (p program) wrong(command, verb string, args []string) error {
	fmt.Fprint(p.err, usage)
	return fmt.Errorf("hub %s %s with arguments %q: %w", command, verb, args, errUsage)
}

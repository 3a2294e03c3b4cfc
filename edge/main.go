// Command edge is the daemon of a site: it watches cameras and sensors, opens incidents by itself,
// saves them, and sends them to its hub.
//
// This file parses the command line; everything else is in edge/internal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // an appliance may have no database of time zones

	"golang.org/x/sys/unix"

	"gridpost/edge/internal/app"
	"gridpost/edge/internal/connect"
	"gridpost/edge/internal/replay"
	"gridpost/edge/internal/sitefile"
	"gridpost/edge/internal/status"
	"gridpost/firmware-config/enrol"

	firmwareconfig "gridpost/firmware-config"
)

const usage = `usage:
  edge run    --config FILE [--data DIR] [--worker FILE] [--status ADDRESS]
                                                                   watch the site until told to stop; SIGHUP reloads FILE
  edge check  --config FILE [--connect [--json]]                   report what is wrong with a document; --connect: and
                                                                   try its cameras and brokers
  edge apply  FILE [--data DIR]                                    make the running edge use another document
  edge status [--data DIR]                                         print the running edge's status as JSON
  edge discovered [--data DIR]                                     print devices that announced themselves, as lines for a document
  edge adopt  NAME [--data DIR]                                    make sensors of a discovered device, or of one of its values
  edge forget NAME [--data DIR]                                    remove a device of a template, until it is heard of again
  edge accept-view CAMERA [--data DIR]                             what the camera shows now is what it is to show: it was moved on purpose
  edge enrol  URL TOKEN [--data DIR]                               make this edge known to a hub
  edge replay --config FILE --camera NAME VIDEO [--at TIME] [--worker FILE]
                                                                   run a camera's rules over a video file; --at: when it
                                                                   begins, such as 2026-11-30T22:00, for rules' schedules
  edge model check FILE [--labels FILE] [--threads N] [--worker FILE]
                                                                   say whether an object model can be used, and how fast it is
  edge version
`

// errUsage says that the command line is wrong; flag or command has printed how.
var errUsage = errors.New("usage")

func main() {
	err := command(untilSignal(), os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "edge:", err)
		os.Exit(1)
	}
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A second one ends the process
// at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := <-signals
		signal.Reset(second) // from here on it does what it does to a program that does not handle it
		if s, ok := second.(syscall.Signal); !ok || syscall.Kill(os.Getpid(), s) != nil {
			os.Exit(1)
		}
	}()
	return ctx
}

// command runs one command line.
func command(ctx context.Context, args []string, out, diagnostics io.Writer) error {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	f := flags{set: flag.NewFlagSet("edge "+name, flag.ContinueOnError)}
	f.set.SetOutput(diagnostics)
	switch name {
	case "run":
		return f.run(ctx, args, diagnostics)
	case "check":
		return f.check(ctx, args, out)
	case "apply":
		return f.apply(ctx, args, out)
	case "status":
		return f.status(ctx, args, out)
	case "discovered":
		return f.discovered(ctx, args, out)
	case "adopt":
		return f.change(ctx, args, out, status.Adopt)
	case "forget":
		return f.change(ctx, args, out, status.Forget)
	case "accept-view":
		return f.change(ctx, args, out, status.AcceptView)
	case "enrol":
		return f.enrol(ctx, args, out)
	case "replay":
		return f.replay(ctx, args, out)
	case "model":
		return f.model(ctx, args, out)
	case "version":
		_, err := fmt.Fprintln(out, version())
		return err
	}
	_, _ = fmt.Fprint(diagnostics, usage)
	return errUsage
}

// flags are those of one command.
type flags struct {
	set                          *flag.FlagSet
	config, data, worker, camera string
	verbose                      bool
	args                         []string // the arguments that are no flags
}

func (f *flags) withConfig() { f.set.StringVar(&f.config, "config", "", "the site's `document`") }
func (f *flags) withData() {
	f.set.StringVar(&f.data, "data", "edge-data", "`directory` of the edge's data")
}

func (f *flags) withWorker() {
	f.set.StringVar(&f.worker, "worker", "", "the worker's `program`; beside this one, or bin/worker, if not given")
}

// parse reads flags that may stand before, between and behind the other arguments, of which
// there must be want.
func (f *flags) parse(args []string, want int) error {
	for len(args) > 0 {
		if err := f.set.Parse(args); err != nil {
			return errUsage
		}
		args = f.set.Args()
		if len(args) > 0 {
			f.args, args = append(f.args, args[0]), args[1:]
		}
	}
	if len(f.args) != want || f.set.Lookup("config") != nil && f.config == "" {
		_, _ = fmt.Fprint(f.set.Output(), usage)
		return errUsage
	}
	return nil
}

func (f *flags) run(ctx context.Context, args []string, diagnostics io.Writer) error {
	f.withConfig()
	f.withData()
	f.withWorker()
	address := f.set.String("status", app.DefaultStatus, "`address` of the status page on the loopback interface; empty: none")
	f.set.BoolVar(&f.verbose, "verbose", false, "log more")
	if err := f.parse(args, 0); err != nil {
		return err
	}
	if *address != "" {
		if err := status.CheckAddress(*address); err != nil {
			return err
		}
	}
	if os.Getenv("GOGC") == "" {
		// Most of the heap is the cameras' last seconds of video, which lives long and has few pointers:
		// collecting it more often costs little, and saves half as much memory again.
		debug.SetGCPercent(40)
	}
	unix.Umask(0o077) // documents, snapshots and keys are private
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(diagnostics, &slog.HandlerOptions{Level: level}))
	worker, err := findWorker(f.worker)
	if err != nil {
		if f.worker != "" {
			return err
		}
		logger.Warn("nothing will be detected in frames; everything else works", "cause", err)
	}
	reload := make(chan os.Signal, 1) // several at once are one
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	err = app.Run(ctx, app.Options{
		Files: &sitefile.Files{Config: f.config, Dir: f.data, Getenv: os.LookupEnv, Logger: logger},
		Dir:   f.data, Worker: worker, Version: version(), Logger: logger, Reload: reload, Status: *address,
	})
	if errors.Is(err, context.Canceled) {
		return nil // told to stop before it had started
	}
	return err
}

func (f *flags) apply(ctx context.Context, args []string, out io.Writer) error {
	f.withData()
	if err := f.parse(args, 1); err != nil {
		return err
	}
	data, err := os.ReadFile(f.args[0])
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	var changes app.Changes
	if err := status.Apply(ctx, f.data, f.args[0], data, &changes); err != nil {
		return err
	}
	_, err = fmt.Fprint(out, changes)
	return err
}

func (f *flags) status(ctx context.Context, args []string, out io.Writer) error {
	f.withData()
	if err := f.parse(args, 0); err != nil {
		return err
	}
	text, err := status.Get(ctx, f.data)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

func (f *flags) check(ctx context.Context, args []string, out io.Writer) error {
	f.withConfig()
	try := f.set.Bool("connect", false, "try every camera and broker of the document")
	asJSON := f.set.Bool("json", false, "with --connect: print what was found as JSON")
	if err := f.parse(args, 0); err != nil {
		return err
	}
	if *asJSON && !*try {
		_, _ = fmt.Fprint(f.set.Output(), usage)
		return errUsage
	}
	doc, err := firmwareconfig.Load(f.config, os.LookupEnv)
	if err != nil {
		return err
	}
	if err := app.Check(doc); err != nil {
		return err
	}
	if *asJSON {
		return connectAll(ctx, doc, out, true)
	}
	for _, note := range firmwareconfig.Notes(doc) {
		if _, err := fmt.Fprintf(out, "%s: note: %s\n", f.config, note); err != nil {
			return err
		}
	}
	templates := ""
	if n := len(doc.Templates); n > 0 {
		templates = ", " + counted(n, "template") + " of sensors"
	}
	_, err = fmt.Fprintf(out, "%s: good: edge %s, %s, %s%s\n", f.config, doc.Edge, counted(len(doc.Cameras), "camera"), counted(len(doc.Sensors), "sensor"), templates)
	if err != nil || !*try {
		return err
	}
	return connectAll(ctx, doc, out, false)
}

// counted returns a number of things in words: 1 sensor, 2 sensors.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// connectAll tries the cameras and brokers of a document. Its error says how many do not work.
func connectAll(ctx context.Context, doc *firmwareconfig.Document, out io.Writer, asJSON bool) error {
	o := connect.Options{}
	if !asJSON {
		o.Progress = out
	}
	report, err := connect.Run(ctx, doc, o)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report); err != nil {
			return fmt.Errorf("reporting: %w", err)
		}
	}
	if all, bad := report.Counts(); bad > 0 {
		return fmt.Errorf("%d of %d connections do not work", bad, all)
	}
	return nil
}

func (f *flags) enrol(ctx context.Context, args []string, out io.Writer) error {
	f.withData()
	if err := f.parse(args, 2); err != nil {
		return err
	}
	unix.Umask(0o077)
	token, err := enrol.ParseToken(f.args[1])
	if err != nil {
		return err
	}
	id, err := enrol.Enrol(ctx, f.data, f.args[0], token)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "enrolled at %s as %s; the certificate is renewed by itself and ends on %s\n",
		id.URL(), id.Edge(), id.Expires().UTC().Format("2006-01-02"))
	return err
}

func (f *flags) replay(ctx context.Context, args []string, out io.Writer) error {
	f.withConfig()
	f.withWorker()
	f.set.StringVar(&f.camera, "camera", "", "`name` of the camera whose rules are run")
	at := f.set.String("at", "", "`time` at which the video begins, in the document's time zone; schedules do not count without it")
	if err := f.parse(args, 1); err != nil {
		return err
	}
	doc, err := firmwareconfig.Load(f.config, os.LookupEnv)
	if err != nil {
		return err
	}
	o := replay.Options{Document: doc, Camera: f.camera, Video: f.args[0], Out: out}
	if *at != "" {
		if o.Start, err = localTime(*at, doc.TimeZone); err != nil {
			return err
		}
	}
	if o.Worker, err = findWorker(f.worker); err != nil {
		return err
	}
	return replay.Run(ctx, o)
}

// localTime reads a time such as 2026-11-30T22:00 in a time zone; an empty one is UTC.
func localTime(text, zone string) (time.Time, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation("2006-01-02T15:04", text, location)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at: expected a time such as 2026-11-30T22:00, found %q", text)
	}
	return t, nil
}

// findWorker returns the path of the worker's program.
func findWorker(given string) (string, error) {
	places := []string{given}
	if given == "" {
		places = []string{filepath.Join("bin", "worker")}
		if self, err := os.Executable(); err == nil {
			places = append([]string{filepath.Join(filepath.Dir(self), "worker")}, places...)
		}
	}
	for _, p := range places {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("there is no worker program at %q; `make build` makes it", places)
}

// version is the module's version, or the commit that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision[:min(12, len(revision))] + dirty
}

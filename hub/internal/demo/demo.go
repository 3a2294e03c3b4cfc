// Package demo runs a whole Gridpost on one machine: a hub, an edge called demo that is enrolled
// at it, simulated cameras and sensors. Nothing in it is pretended but the devices: the programs
// are those that a site runs, in processes of their own, and people, tokens and the edge come
// to be by the same commands that an operator types.
//
// What always holds: no process outlives Run, also when Run's own process is killed; all that is
// kept is in one folder, and a second start finds it. The package must not import edge, and
// nothing may import it but the program.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Options of a demonstration.
type Options struct {
	Data     string    // folder of everything that is kept
	Listen   string    // host:port of the console and the API
	Video    string    // footage of the simulated cameras; empty: pedestrians out of Debian's opencv-doc
	Footage  string    // folder of recordings made out of videos; empty: in Data
	Cameras  []string  // URLs of real cameras, in place of the simulated ones
	Programs string    // folder of the programs edge, hub and worker; empty: that of this program
	Out      io.Writer // progress, and at the end the line that begins with "ready"
	Logger   *slog.Logger
}

// The most that one step may take, and the programs with the machine busy.
const (
	stepLimit  = 30 * time.Second
	readyLimit = 60 * time.Second
)

func (o Options) withDefaults() (Options, error) {
	var err error
	if o.Data, err = filepath.Abs(o.Data); err != nil {
		return o, fmt.Errorf("naming the data folder: %w", err)
	}
	if o.Footage == "" {
		o.Footage = filepath.Join(o.Data, "footage")
	}
	if o.Programs == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("looking for the programs: %w", err)
		}
		o.Programs = filepath.Dir(self)
	}
	if o.Programs, err = filepath.Abs(o.Programs); err != nil {
		return o, fmt.Errorf("naming the folder of the programs: %w", err)
	}
	for _, name := range []string{"hub", "edge", "worker"} {
		if _, err := os.Stat(filepath.Join(o.Programs, name)); err != nil {
			return o, fmt.Errorf("looking for the program %s: %w; `make build` makes edge, hub and worker", name, err)
		}
	}
	return o, nil
}

// Run runs the demonstration until ctx ends, and returns nil then. It returns an error when a
// part of it cannot start or ends by itself.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	unlock, err := lock(o.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := portFree(ctx, o.Listen); err != nil {
		return err
	}
	err = (&show{Options: o, http: &http.Client{Timeout: 5 * time.Second}}).run(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it was told to end
	}
	return err
}

// show is one run of the demonstration.
type show struct {
	Options
	keys keys
	http *http.Client
}

// run starts the parts one after the other, and ends them in the opposite order: the edge
// first, so that it does not notice its devices and its hub going.
func (s *show) run(ctx context.Context) (err error) {
	if s.keys, err = openKeys(s.Data); err != nil {
		return err
	}
	// Whatever ends by itself ends everything, and is the cause.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	site, stopDevices, err := s.devices(ctx, fail)
	if err != nil {
		return err
	}
	defer stopDevices()

	if err := s.layOutTown(); err != nil {
		return err
	}
	s.say("Starting the hub")
	hub, err := s.start(fail, "hub", "run", "--data", s.hubData(), "--listen", s.Listen,
		"--edge-listen", "127.0.0.1:0", "--media-listen", mediaListen(s.Listen))
	if err != nil {
		return err
	}
	defer hub.stop()
	at, err := s.hubRuns(ctx, hub.pid())
	if err != nil {
		return err
	}
	hubIsNew, err := s.accounts(ctx, at.Listen)
	if err != nil {
		return err
	}

	s.say("Starting the edge")
	site.Hub = "https://" + at.EdgeListen
	file, err := s.write(site)
	if err != nil {
		return err
	}
	if err := s.enrol(ctx, site.Hub, hubIsNew); err != nil {
		return err
	}
	started := time.Now().Truncate(time.Millisecond) // as exact as the hub's times
	edge, err := s.start(fail, "edge", "run", "--config", file, "--data", s.edgeData())
	if err != nil {
		return err
	}
	defer edge.stop()
	if err := s.devicesOnline(ctx, at.Listen, len(site.Cameras)+len(site.Sensors), started); err != nil {
		return err
	}
	s.say("ready http://%s user=%s password=%s token=%s", at.Listen, user, s.keys.Password, s.keys.Token)
	<-ctx.Done()
	s.say("Ending")
	return ctx.Err()
}

func (s *show) hubData() string  { return filepath.Join(s.Data, "hub") }
func (s *show) edgeData() string { return filepath.Join(s.Data, "edge") }

// say prints a line for the person who watches.
func (s *show) say(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }

// portFree says in words what a hub would find out less clearly.
func portFree(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("something else listens on %s already; choose another address: make demo HUB_ADDR=127.0.0.1:8090", address)
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	return l.Close()
}

// mediaListen is where the hub takes video: the same interface as the console, a free port.
func mediaListen(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		host = "127.0.0.1"
	}
	if host != "" && net.ParseIP(host) == nil {
		host = "" // a name: every interface
	}
	return net.JoinHostPort(host, "0")
}

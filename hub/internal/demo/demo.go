// Package demo runs a complete system on one machine: a hub, an edge called demo that is enrolled at
// it, and simulated cameras and sensors. Only the devices are simulated. Hub, edge and workers are the
// real programs, in processes of their own, and the users, the token and the edge are created by the
// commands that an operator uses.
//
// No process outlives Run; on Linux, this holds also when the process of Run is killed. All data is
// stored in one folder and used again by the next start. The package must not import edge. Only the
// hub program may import it.
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
	Data     string    // folder of all data
	Listen   string    // host:port of the console and the API
	Video    string    // video file for the simulated cameras; empty: pedestrians from Debian's opencv-doc
	Footage  string    // folder of converted videos; empty: in Data
	Cameras  []string  // URLs of real cameras that replace the simulated ones
	Programs string    // folder of the programs edge, hub and worker; empty: the folder of this program
	Out      io.Writer // progress messages, and at the end a line that begins with "ready"
	Logger   *slog.Logger
}

const (
	stepLimit  = 30 * time.Second // for one command
	readyLimit = 60 * time.Second // for the start of hub and edge; long enough for a busy machine
)

func (o Options) withDefaults() (Options, error) {
	var err error
	if o.Data, err = filepath.Abs(o.Data); err != nil {
		return o, fmt.Errorf("resolving the data folder: %w", err)
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
		return o, fmt.Errorf("resolving the folder of the programs: %w", err)
	}
	for _, name := range []string{"hub", "edge", "worker"} {
		if _, err := os.Stat(filepath.Join(o.Programs, name)); err != nil {
			return o, fmt.Errorf("looking for the program %s: %w; `make build` makes edge, hub and worker", name, err)
		}
	}
	return o, nil
}

// Run runs the demonstration until ctx ends and then returns nil. It returns an error when a part of
// the demonstration cannot start or exits unexpectedly.
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
	if err := checkPortFree(ctx, o.Listen); err != nil {
		return err
	}
	err = (&demonstration{Options: o, http: &http.Client{Timeout: 5 * time.Second}}).run(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // ctx ended: not a failure
	}
	return err
}

// demonstration is one run of the demonstration.
type demonstration struct {
	Options
	secrets secrets
	http    *http.Client
}

// run starts the parts one after the other and stops them in reverse order: the edge first, so that
// it does not report the end of its devices and its hub as faults.
func (s *demonstration) run(ctx context.Context) (err error) {
	if s.secrets, err = loadSecrets(s.Data); err != nil {
		return err
	}
	// A part that exits unexpectedly ends all others, and its error is returned.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	site, stopDevices, err := s.startDevices(ctx, fail)
	if err != nil {
		return err
	}
	defer stopDevices()

	if err := s.writeTown(); err != nil {
		return err
	}
	s.printf("Starting the hub")
	hub, err := s.start(fail, "hub", "run", "--demo", "--data", s.hubData(), "--listen", s.Listen,
		"--edge-listen", "127.0.0.1:0", "--media-listen", mediaListen(s.Listen))
	if err != nil {
		return err
	}
	defer hub.stop()
	at, err := s.waitForHub(ctx, hub.pid())
	if err != nil {
		return err
	}
	hubIsNew, err := s.createAccounts(ctx, at.Listen)
	if err != nil {
		return err
	}

	s.printf("Starting the edge")
	site.Hub = "https://" + at.EdgeListen
	file, err := s.writeDocument(site)
	if err != nil {
		return err
	}
	if err := s.enrol(ctx, site.Hub, hubIsNew); err != nil {
		return err
	}
	started := time.Now().Truncate(time.Millisecond) // the precision of the hub's times
	edge, err := s.start(fail, "edge", "run", "--config", file, "--data", s.edgeData())
	if err != nil {
		return err
	}
	defer edge.stop()
	if err := s.waitForDevices(ctx, at.Listen, len(site.Cameras)+len(site.Sensors), started); err != nil {
		return err
	}
	s.printf("ready http://%s user=%s password=%s token=%s", at.Listen, user, s.secrets.Password, s.secrets.Token)
	<-ctx.Done()
	s.printf("Stopping")
	return ctx.Err()
}

func (s *demonstration) hubData() string  { return filepath.Join(s.Data, "hub") }
func (s *demonstration) edgeData() string { return filepath.Join(s.Data, "edge") }

// printf prints a line of progress.
func (s *demonstration) printf(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }

// checkPortFree returns an error if address is in use. Its message names the remedy, which the error
// of a hub that cannot listen would not.
func checkPortFree(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("the address %s is in use; choose another one: make demo HUB_ADDR=127.0.0.1:8090", address)
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	return l.Close()
}

// mediaListen returns the address of the hub's media port: any free port on the interface of the console.
func mediaListen(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		host = "127.0.0.1"
	}
	if host != "" && net.ParseIP(host) == nil {
		host = "" // a host name: all interfaces
	}
	return net.JoinHostPort(host, "0")
}

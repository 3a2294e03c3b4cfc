// Package app wires the edge's daemon: cameras, sensors, the store, the connection to the hub, live
// video, states and health.
//
// Every part works without the others: no hub, no worker, no broker or a full disk each cost what
// they must and are reported in the device's state or the edge's health. The parts stop in the
// order of the data's way, so that what has been detected is saved.
// The package must import nothing of the hub but hub/api.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"gridpost/detection"
	"gridpost/detection/supervisor"
	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/health"
	"gridpost/edge/internal/hublink"
	"gridpost/edge/internal/incidents"
	"gridpost/edge/internal/presence"
	"gridpost/edge/internal/publish"
	"gridpost/edge/internal/sensor"
	"gridpost/edge/internal/store"
	"gridpost/edge/internal/uplink"
	"gridpost/hub/api"
	"gridpost/streams"

	firmwareconfig "gridpost/firmware-config"
)

// Options are what an edge runs on.
type Options struct {
	Document *firmwareconfig.Document
	Dir      string // the edge's data directory
	Worker   string // path of the worker's program; empty: there is none
	Version  string // of this program
	Logger   *slog.Logger

	// Listening is called with the address of the embedded broker each time it has been
	// bound. It may be nil.
	Listening func(address string)

	states *uplink.States // for tests that look at them; nil: its own
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.states == nil {
		o.states = uplink.NewStates()
	}
	return o
}

// Run runs an edge until ctx ends, and returns nil then. It returns an error when the edge
// cannot be run at all: its store cannot be opened, or the document is another edge's.
func Run(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	link, err := hublink.New(hublink.Options{URL: o.Document.Hub.URL, Edge: o.Document.Edge, Dir: o.Dir, Logger: o.Logger})
	if err != nil {
		return err
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return fmt.Errorf("starting the edge: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	st, err := store.Open(ctx, store.Options{Dir: o.Dir, Logger: o.Logger})
	if err != nil {
		return fmt.Errorf("starting the edge: %w", err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	e, err := newEdge(ctx, o, st, link)
	if err != nil {
		return fmt.Errorf("starting the edge: %w", err)
	}
	o.Logger.Info("the edge runs", "edge", o.Document.Edge, "version", o.Version, "cameras", len(e.cameras), "sensors", len(o.Document.Sensors))
	err = e.run(ctx)
	o.Logger.Info("the edge has stopped")
	return err
}

// lock makes sure that one edge at a time runs on a data directory: two would give the same
// numbers to different events. The system takes the lock back however this process ends.
func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another edge runs on the data directory %s", dir), f.Close())
	}
	return f.Close, nil
}

// edge holds the parts, which know each other only through what is handed to them here.
type edge struct {
	o       Options
	store   *store.Store
	states  *presence.States
	alerts  *incidents.Writer
	cameras []*camera.Camera
	sensors *sensor.Sensors
	link    *hublink.Link
	publish *publish.Publisher
	health  *health.Reporter
	starts  *supervisor.Gate // of the cameras' workers
}

// startsAtOnce is how many workers start at a time: one loads its libraries from the disk while
// another one uses the CPU.
const startsAtOnce = 2

func newEdge(ctx context.Context, o Options, st *store.Store, l *hublink.Link) (*edge, error) {
	doc := o.Document
	newest := o.states
	newest.SetInventory(inventory(doc, o.Version))
	e := &edge{
		o: o, store: st, link: l, states: presence.New(announcer{newest}, o.Logger), alerts: incidents.New(st, o.Logger),
		starts: supervisor.NewGate(startsAtOnce),
	}
	open, err := st.OpenIncidents(ctx)
	if err != nil {
		return nil, err
	}
	closed, err := e.addDevices(open, time.Now())
	if err != nil {
		return nil, err
	}
	// When the disk is full, the writer retries them.
	if err := e.alerts.Save(ctx, closed); err != nil {
		o.Logger.Error("incidents of rules that are gone could not be closed yet", "error", err)
	}
	e.publish, err = publish.New(publish.Options{
		Hub: doc.Hub.URL, Edge: doc.Edge, Client: l.Client, Stream: e.stream, Status: e.states.Get, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	l.Bind(st, newest, e.publish.Command)
	e.health = health.New(health.Options{Store: announcer{newest}, Problems: e.problems, Counters: e.counters, Logger: o.Logger})
	return e, nil
}

// announcer announces states to the hub.
type announcer struct{ states *uplink.States }

func (a announcer) SaveStatus(_ context.Context, st devices.Status) error {
	a.states.SetStatus(st)
	return nil
}

func (a announcer) SaveHealth(_ context.Context, h api.Health) error {
	a.states.SetHealth(h)
	return nil
}

// addDevices makes the document's devices, and returns the alerts that close the incidents of rules
// and devices that are gone.
func (e *edge) addDevices(open []detection.Incident, now time.Time) (closed []detection.Incident, err error) {
	doc := e.o.Document
	known := map[string]bool{}
	for i := range doc.Cameras {
		c, err := e.newCamera(doc.Cameras[i])
		if err != nil {
			return nil, err
		}
		closed = append(closed, c.Restore(open, now)...)
		e.cameras = append(e.cameras, c)
		known[c.Name()] = true
		e.states.Add(c.Name())
	}
	s, over, err := sensor.New(sensor.Options{
		Document: doc, Alerts: e.alerts, Readings: e.store, OnState: e.states.Set, Listening: e.o.Listening, Logger: e.o.Logger,
	}, open, now)
	if err != nil {
		return nil, err
	}
	e.sensors, closed = s, append(closed, over...)
	for _, sensor := range doc.Sensors {
		known[sensor.Name] = true
		e.states.Add(sensor.Name)
	}
	for _, inc := range open {
		if !known[inc.Device] { // the document no longer names it, so nothing else would close it
			closed = append(closed, closing(inc, now))
		}
	}
	return closed, nil
}

func (e *edge) newCamera(doc firmwareconfig.Camera) (*camera.Camera, error) {
	return camera.New(camera.Options{
		Config: doc, Detection: e.o.Document.Detection, Worker: e.o.Worker, Starts: e.starts, Alerts: e.alerts, Evidence: e.store, Logger: e.o.Logger,
		OnState: func(online bool, cause string) {
			if online {
				e.states.Set(doc.Name, devices.Online, "")
				return
			}
			e.states.Set(doc.Name, devices.Offline, cause)
		},
	})
}

// stream returns a camera's main stream, or nil.
func (e *edge) stream(name string) *streams.Stream {
	for _, c := range e.cameras {
		if c.Name() == name {
			return c.Stream()
		}
	}
	return nil
}

// closing returns the alert that closes an incident whose rule or device is gone.
func closing(inc detection.Incident, now time.Time) detection.Incident {
	inc.State, inc.Version = detection.Closed, inc.Version+1
	inc.Closed, inc.Updated = now, now
	return inc
}

// run starts everything and stops it in the order of the data's way.
func (e *edge) run(ctx context.Context) error {
	s := newStages(ctx)
	hub := s.add() // stops last: what the others save while they stop may still reach the hub
	hub.Go(e.link.Run)
	hub.Go(e.publish.Run)

	save := s.add()
	save.Go(e.alerts.Run)
	save.Go(e.states.Run)
	save.Go(e.health.Run)
	save.Go(e.maintain)

	rules := s.add()
	rules.Go(e.sensors.Run)

	inputs := s.add()
	for _, run := range e.sensors.Inputs() {
		inputs.Go(run)
	}
	for _, c := range e.cameras {
		inputs.Go(c.Run)
	}
	return s.wait(ctx, e.link.Drain)
}

// maintain thins and forgets what is old.
func (e *edge) maintain(ctx context.Context) error {
	for wait := time.Minute; ; wait = 10 * time.Minute {
		if !retry.Sleep(ctx, wait) {
			return nil
		}
		if err := e.store.Maintain(ctx); err != nil && ctx.Err() == nil {
			e.o.Logger.Warn("old readings could not be thinned", "error", err)
		}
	}
}

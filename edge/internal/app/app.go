// Package app wires the edge's daemon: devices, brokers, the store, the connection to the hub, live
// video, states, health and the local status.
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
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gridpost/detection"
	"gridpost/detection/supervisor"
	"gridpost/devices"
	"gridpost/devices/mqtt"
	"gridpost/devices/retry"
	"gridpost/devices/rungroup"
	"gridpost/edge/internal/brokers"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/clips"
	"gridpost/edge/internal/discovery"
	"gridpost/edge/internal/health"
	"gridpost/edge/internal/hublink"
	"gridpost/edge/internal/incidents"
	"gridpost/edge/internal/presence"
	"gridpost/edge/internal/publish"
	"gridpost/edge/internal/reconcile"
	"gridpost/edge/internal/sensor"
	"gridpost/edge/internal/sitefile"
	"gridpost/edge/internal/store"
	"gridpost/edge/internal/templates"
	"gridpost/edge/internal/uplink"
	"gridpost/streams"
	"gridpost/streams/rtsp/compat"

	firmwareconfig "gridpost/firmware-config"
)

// Options are what an edge runs on.
type Options struct {
	Files   *sitefile.Files // where the document comes from
	Dir     string          // the edge's data directory
	Worker  string          // path of the worker's program; empty: there is none
	Version string          // of this program
	Logger  *slog.Logger

	// Status is the address of the status page; empty: there is none. That DefaultStatus is in use, by
	// another edge on the machine, is no problem; that any other address is in use is one.
	Status string

	// Reload makes the edge read its document again with each value. It may be nil.
	Reload <-chan os.Signal

	// Listening is called with the address of the embedded broker each time it has been
	// bound. It may be nil.
	Listening func(address string)

	// StatusListening is called with the address of the status page each time it has been bound. It
	// may be nil.
	StatusListening func(address string)

	states *uplink.States // for tests that look at them; nil: its own
}

// DefaultStatus is the address of the status page unless another one is given.
const DefaultStatus = "127.0.0.1:9101"

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.states == nil {
		o.states = uplink.NewStates()
	}
	return o
}

// Run runs an edge until ctx ends, and returns nil then, or an error that is context.Canceled when it had
// not started yet. It returns another error when the edge cannot be run at all: its store cannot be
// opened, or the document is another edge's.
func Run(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	doc, source, err := o.Files.Load()
	if err != nil {
		return err
	}
	if doc.Hub.URL != "" {
		if err := hublink.Check(doc.Edge, o.Dir); err != nil {
			return err
		}
	}
	o.Files.Edge = doc.Edge
	unlock, err := lock(o.Dir)
	if err != nil {
		return fmt.Errorf("starting the edge: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	st, err := openStore(ctx, o)
	if err != nil {
		return startError(ctx, err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	e, err := newEdge(ctx, o, doc, source, st)
	if err != nil {
		return startError(ctx, err)
	}
	err = e.run(ctx)
	o.Logger.Info("the edge has stopped")
	return err
}

// startError returns why the edge could not start. After ctx has ended that is why, whatever the part says
// that was interrupted.
func startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("starting the edge: %w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("starting the edge: %w", err)
}

// lock makes sure that one edge at a time runs on a data directory: two would write the same files.
// The system releases the lock however this process ends.
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
	o          Options
	name       string
	store      *store.Store
	newest     *uplink.States // on their way to the hub
	states     *presence.States
	alerts     *incidents.Writer
	clips      *clips.Recorder
	intake     *sensor.Intake
	templates  *templates.Devices
	discovered *discovery.List
	link       *hublink.Link
	publish    *publish.Publisher
	health     *health.Registry
	starts     *supervisor.Gate // of the cameras' workers
	logins     compat.Logins    // of the cameras

	// The reconcilers of all that the document names.
	cameras, sensors, brokers, models *reconcile.Reconciler

	inference atomic.Pointer[supervisor.Inference] // runs the object model for all cameras; nil: there is none

	started  time.Time
	applying chan struct{} // held by the one that applies a document: a mutex that may be held over I/O

	mu       sync.Mutex
	base     *firmwareconfig.Document        // that runs, as it was loaded
	document *firmwareconfig.Document        // base with the sensors that its templates have become
	source   sitefile.Source                 // of the document
	loaded   time.Time                       // when the document was applied
	open     map[string][]detection.Incident // by device: read at the start, not taken over yet
	memory   map[string]memory               // by sensor: what its rules knew when it last ran, not taken over yet
	running  running
	refused  map[string]refusedTopics // by the broker that refuses
	gone     map[string]uint64        // counters of cameras and brokers that have stopped
}

// running are the components that run, or ran last, under a name.
type running struct {
	cameras  map[string]*camera.Camera
	sensors  map[string]*sensor.Sensor
	embedded *brokers.Embedded
	outside  map[string]*mqtt.Subscriber
}

// startsAtOnce is how many workers start at a time: one loads its libraries from the disk while
// another one uses the CPU.
const startsAtOnce = 2

func newEdge(ctx context.Context, o Options, doc *firmwareconfig.Document, source sitefile.Source, st *store.Store) (*edge, error) {
	e := &edge{
		o: o, name: doc.Edge, base: doc, document: doc, source: source, started: time.Now(), applying: make(chan struct{}, 1), store: st, newest: o.states, health: health.NewRegistry(), starts: supervisor.NewGate(startsAtOnce),
		open: map[string][]detection.Incident{}, refused: map[string]refusedTopics{}, gone: map[string]uint64{}, memory: map[string]memory{},
		running: running{cameras: map[string]*camera.Camera{}, sensors: map[string]*sensor.Sensor{}, outside: map[string]*mqtt.Subscriber{}},
	}
	e.states = presence.New(e.newest, o.Logger)
	e.alerts = incidents.New(st, o.Logger)
	e.clips = e.newClips(ctx)
	e.intake = sensor.NewIntake(st, o.Logger)
	e.templates = templates.Open(o.Dir, o.Logger)
	e.templates.SetDocument(doc)
	e.document = e.withTemplates(doc)
	e.discovered = discovery.New()
	e.cameras = reconcile.New(reconcile.Options{Failed: e.deviceFailed, Stopped: e.cameraStopped})
	e.sensors = reconcile.New(reconcile.Options{Failed: e.deviceFailed, Stopped: e.sensorStopped})
	e.models = reconcile.New(reconcile.Options{Failed: e.modelFailed, Stopped: e.modelStopped})
	e.brokers = reconcile.New(reconcile.Options{Failed: e.brokerFailed, Stopped: e.brokerStopped})
	var err error
	e.publish, err = publish.New(publish.Options{
		Edge: e.name, Hub: hub{e}, Cameras: liveCameras{e}, Yield: e.alertsLate, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	e.link = hublink.New(hublink.Options{
		Edge: e.name, Dir: o.Dir, Store: st, States: e.newest, Command: e.publish.Command, Share: e.clipShare, Logger: o.Logger,
	})
	// Before the first alert: whether it waits for a hub is decided when it is saved.
	st.Deliver(doc.Hub.URL != "")
	e.link.SetURL(doc.Hub.URL)
	open, err := st.OpenIncidents(ctx)
	if err != nil {
		return nil, err
	}
	for _, inc := range open {
		e.open[inc.Device] = append(e.open[inc.Device], inc)
	}
	e.watch()
	return e, nil
}

// hub is the hub for publications.
type hub struct{ e *edge }

func (h hub) URL() string { return h.e.link.URL() }

// alertsLate says whether alerts wait longer for the hub than they should.
func (e *edge) alertsLate() bool {
	up := e.link.Uplink()
	return up != nil && up.AlertsLate()
}

// liveCameras are the cameras for publications.
type liveCameras struct{ e *edge }

func (l liveCameras) Stream(name string) (*streams.Stream, <-chan struct{}) {
	c := l.e.camera(name)
	if c == nil {
		return nil, nil
	}
	return c.Stream(), c.Stopped()
}

func (l liveCameras) SubStream(name string) (*streams.Stream, <-chan struct{}) {
	c := l.e.camera(name)
	if c == nil || c.SubStream() == nil {
		return nil, nil
	}
	return c.SubStream(), c.Stopped()
}

func (l liveCameras) Urgency(name string) int {
	if c := l.e.camera(name); c != nil {
		return c.Urgency()
	}
	return 0
}

func (l liveCameras) Status(device string) (devices.Status, bool) { return l.e.states.Get(device) }

// run starts everything and stops it in the order in which data flows.
func (e *edge) run(ctx context.Context) error {
	inputs := []rungroup.Component{e.cameras.Run, e.brokers.Run, e.serveControl, func(ctx context.Context) error {
		e.closeAbandoned(ctx)
		return e.serveReloads(ctx)
	}}
	if e.o.Status != "" {
		inputs = append(inputs, e.page().Run)
	}
	reporter := health.NewReporter(e.newest, e.health.Problems, e.counters)
	return rungroup.Run(ctx,
		inputs,
		[]rungroup.Component{e.sensors.Run, e.models.Run},
		[]rungroup.Component{e.alerts.Run, e.clips.Run, reporter.Run, e.maintain, e.intake.Run, e.templates.Run},
		[]rungroup.Component{e.drain},
		[]rungroup.Component{e.link.Run, e.publish.Run},
	)
}

// drainFor bounds how long stopping waits for the hub.
const drainFor = 2 * time.Second

// drain lets what the other components saved while they stopped still reach the hub.
func (e *edge) drain(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
	defer cancel()
	e.link.Drain(ctx)
	return nil
}

// maintain thins and removes what is old.
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

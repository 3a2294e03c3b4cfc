// Package app puts the edge's daemon together: cameras, sensors, workers, rules, the store and
// the line to the hub.
//
// Every part works without the others: no hub, no worker, no broker or a full disk each cost
// what they must and are said in words, in the device's state or the edge's health. One
// goroutine per camera owns its tracker and its rules, and one owns those of all sensors. The
// parts stop in the order of the data's way, so that what has been seen is kept.
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

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"

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
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Run runs an edge until ctx ends, and returns nil then. It returns an error when the edge
// cannot be run at all: its store cannot be opened, or the document is another edge's.
func Run(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	link, err := newLink(o)
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
	board   *board
	sink    *sink
	cameras []*camera
	sensors *sensors
	link    *link
	publish *publisher
	health  *health
}

func newEdge(ctx context.Context, o Options, st *store.Store, l *link) (*edge, error) {
	doc := o.Document
	e := &edge{o: o, store: st, link: l}
	e.board = newBoard(st, o.Logger)
	e.sink = newSink(st, o.Logger)
	// The inventory first: the hub must know a device before it hears of its state.
	if err := st.SaveInventory(ctx, inventory(doc, o.Version)); err != nil {
		o.Logger.Error("the inventory could not be kept", "error", err)
	}
	open, err := st.OpenIncidents(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var over []detection.Incident
	known := map[string]bool{}
	for i := range doc.Cameras {
		c, closed, err := newCamera(e, doc.Cameras[i], open, now)
		if err != nil {
			return nil, err
		}
		e.cameras = append(e.cameras, c)
		over, known[c.name] = append(over, closed...), true
		e.board.expect(c.name)
	}
	s, closed, err := newSensors(e, open, now)
	if err != nil {
		return nil, err
	}
	e.sensors, over = s, append(over, closed...)
	for _, sensor := range doc.Sensors {
		known[sensor.Name] = true
		e.board.expect(sensor.Name)
	}
	for _, inc := range open {
		if !known[inc.Device] { // the document no longer names it, so nobody else would close it
			over = append(over, closing(inc, now))
		}
	}
	// When the disk is full, the sink keeps them and tries again.
	if err := e.sink.save(ctx, over); err != nil {
		o.Logger.Error("incidents of rules that are gone could not be closed yet", "error", err)
	}
	if e.publish, err = newPublisher(e); err != nil {
		return nil, err
	}
	l.bind(st, e.publish.command)
	e.health = newHealth(e)
	return e, nil
}

// closing returns the alert that closes an incident whose rule or device is gone.
func closing(inc detection.Incident, now time.Time) detection.Incident {
	inc.State, inc.Version = detection.Closed, inc.Version+1
	inc.Closed, inc.Updated = now, now
	return inc
}

func newID() string {
	// Version 7: the order of minting shows, and no two edges mint the same (RFC 9562).
	id, err := uuid.NewV7()
	if err != nil { // no randomness: an incident with another kind of ID is better than none
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(time.Now().String())).String()
	}
	return id.String()
}

// run starts everything and stops it in the order of the data's way.
func (e *edge) run(ctx context.Context) error {
	s := newStages(ctx)
	line := s.add() // stops last: what the others keep on their way out may still reach the hub
	line.Go(e.link.run)
	line.Go(e.publish.run)

	keep := s.add()
	keep.Go(e.sink.run)
	keep.Go(e.board.run)
	keep.Go(e.health.run)
	keep.Go(e.maintain)

	judge := s.add()
	judge.Go(e.sensors.run)
	for _, c := range e.cameras {
		judge.Go(c.judge)
		judge.Go(c.takeSnapshots)
	}

	hear := s.add()
	e.sensors.hear(hear)
	for _, c := range e.cameras {
		c.watch(hear)
	}
	return s.wait(ctx, e.link.drain)
}

// maintain thins and forgets what is old.
func (e *edge) maintain(ctx context.Context) error {
	for wait := time.Minute; ; wait = 10 * time.Minute {
		if !sleep(ctx, wait) {
			return nil
		}
		if err := e.store.Maintain(ctx); err != nil && ctx.Err() == nil {
			e.o.Logger.Warn("old readings could not be thinned", "error", err)
		}
	}
}

// inventory lists the document's devices for the hub: no addresses, no secrets.
func inventory(doc *firmwareconfig.Document, version string) api.Inventory {
	inv := api.Inventory{Version: version, Devices: []api.Device{}}
	describe := func(specs []rules.Spec) []api.Rule {
		var out []api.Rule
		for _, s := range specs {
			d := s.Terms.Describe()
			out = append(out, api.Rule{
				Name: s.Name, Kind: s.Kind, Severity: s.Severity,
				Value: d.Value, Direction: d.Direction, Classes: d.Classes, ForMS: d.For.Milliseconds(),
			})
		}
		return out
	}
	for _, c := range doc.Cameras {
		inv.Devices = append(inv.Devices, api.Device{Name: c.Name, Kind: devices.Camera, Place: c.Place, Rules: describe(c.Rules)})
	}
	for _, s := range doc.Sensors {
		inv.Devices = append(inv.Devices, api.Device{Name: s.Name, Kind: devices.Sensor, Place: s.Place, Unit: s.Unit, Rules: describe(s.Rules)})
	}
	return inv
}

// sleep waits for d and returns false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

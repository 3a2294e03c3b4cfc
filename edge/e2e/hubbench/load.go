package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/devices/retry"
	"gridpost/edge/e2e/rig"
)

const (
	incidentsPerSecond = 20
	batchWindow        = 10 * time.Second // of committing readings in batches
	batchEvents        = 500
	batchEdges         = 8
	restartLimit       = 2 * time.Minute
	settleLimit        = time.Minute
)

// loadFigure is what a hub did for a town: its edges with heartbeats and readings, its consoles, and
// incidents.
type loadFigure struct {
	Engine   string `json:"engine"`
	Edges    int    `json:"edges"`
	Consoles int    `json:"consoles"`
	Seconds  int    `json:"seconds"`

	Incidents int    `json:"incidents"`
	ToConsole spread `json:"posted_to_console"` // each incident at each console, from the edge's request on
	Missing   int    `json:"missing"`           // pairs of a committed incident and a console that never met
	Doubled   int64  `json:"doubled"`
	Skipped   int64  `json:"skipped"`

	HubCPU    float64 `json:"hub_cpu_share"`       // of one core, under steady load
	ResidentB int64   `json:"hub_resident_b"`      // bytes, at the end of the steady load
	PeakB     int64   `json:"hub_peak_resident_b"` // bytes, over everything before the restart

	BatchEventsPerSecond float64 `json:"batch_events_per_s"` // readings, each an event, 500 in a batch

	Restart restartFigure `json:"restart"`
}

// restartFigure is how a town comes back after its hub was restarted.
type restartFigure struct {
	Down     float64 `json:"down_s"`      // between the order to stop and the first answer
	CaughtUp float64 `json:"caught_up_s"` // from that answer until every edge and every console had everything
	Resets   int64   `json:"resets"`
}

func measureLoad(ctx context.Context, o options, e engine) (f loadFigure, err error) {
	f = loadFigure{Engine: e.name, Edges: o.edges, Consoles: o.consoles, Seconds: o.seconds}
	h, err := rig.StartHubWith(ctx, o.programs, e.dir, rig.HubOptions{Database: e.url})
	if err != nil {
		return f, err
	}
	defer h.Kill()
	progress("%s: enrolling %d edges", e.name, o.edges)
	t, err := enrolTown(ctx, h, e.dir, o.edges, []string{h.EdgeURL()})
	if err != nil {
		return f, err
	}
	defer t.close()
	if err := t.introduce(ctx); err != nil {
		return f, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, one := range t.edges {
		wg.Go(func() { one.live(ctx) })
	}
	a := &audience{town: t}
	consoles := a.watch(ctx, o.consoles, []string{h.URL}, h.Token)
	defer consoles.Wait()
	defer cancel()
	if _, err := until(ctx, settleLimit, "connecting everybody", func() bool {
		return t.listening.Load() == int64(o.edges) && a.connected.Load() == int64(o.consoles)
	}); err != nil {
		return f, err
	}
	progress("%s: %d s of steady load", e.name, o.seconds)
	if err := f.steady(ctx, h, t, a); err != nil {
		return f, err
	}
	progress("%s: readings in batches", e.name)
	if f.BatchEventsPerSecond, err = t.batches(ctx); err != nil {
		return f, err
	}
	if f.PeakB, err = rig.PeakResident(h.PID()); err != nil {
		return f, err
	}
	progress("%s: restarting the hub", e.name)
	if f.Restart, err = restart(ctx, h, t, a); err != nil {
		return f, err
	}
	f.Missing, f.Doubled, f.Skipped = a.missing(), a.doubled.Load(), a.skipped.Load()
	return f, nil
}

// introduce posts every edge's inventory.
func (t *town) introduce(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, e := range t.edges {
		g.Go(func() error { return e.inventory(ctx, i) })
	}
	return g.Wait()
}

// steady opens incidents at random edges at a constant rate, whether or not earlier ones have arrived.
func (f *loadFigure) steady(ctx context.Context, h *rig.Hub, t *town, a *audience) error {
	before, err := rig.CPU(h.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if f.Incidents, err = t.openIncidents(ctx, time.Duration(f.Seconds)*time.Second); err != nil {
		return err
	}
	after, err := rig.CPU(h.PID())
	if err != nil {
		return err
	}
	f.HubCPU = (after - before).Seconds() / time.Since(began).Seconds()
	if _, err := until(ctx, settleLimit, "the arrival of every incident", func() bool { return a.missing() == 0 }); err != nil {
		return err
	}
	f.ToConsole = a.toConsole.spread()
	f.ResidentB, err = rig.Resident(h.PID())
	return err
}

// openIncidents opens incidentsPerSecond for a time and waits until all are committed.
func (t *town) openIncidents(ctx context.Context, d time.Duration) (n int, err error) {
	g, ctx := errgroup.WithContext(ctx)
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		e := t.edges[rand.IntN(len(t.edges))]
		g.Go(func() error { return e.incident(ctx) })
		if !retry.Sleep(ctx, time.Second/incidentsPerSecond) {
			break
		}
	}
	return n, g.Wait()
}

// batches posts readings from some edges as fast as they are committed.
func (t *town) batches(ctx context.Context) (perSecond float64, err error) {
	var committed atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, e := range t.edges[:min(batchEdges, len(t.edges))] {
		g.Go(func() error {
			for time.Since(began) < batchWindow {
				if err := e.post(ctx, readings(batchEvents)...); err != nil {
					return err
				}
				committed.Add(batchEvents)
			}
			return nil
		})
	}
	err = g.Wait()
	return float64(committed.Load()) / time.Since(began).Seconds(), err
}

// restart stops and starts the hub while everybody is connected and incidents go on.
func restart(ctx context.Context, h *rig.Hub, t *town, a *audience) (f restartFigure, err error) {
	resets := a.resets.Load()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := t.openIncidents(gctx, 15*time.Second)
		return err
	})
	began := time.Now()
	if err := h.Stop(); err != nil {
		return f, err
	}
	if err := h.Start(ctx); err != nil {
		return f, err
	}
	up := time.Now()
	f.Down = up.Sub(began).Seconds()
	if _, err = until(ctx, restartLimit, "coming back", func() bool {
		return t.silent(up) == 0 && t.listening.Load() == int64(len(t.edges)) &&
			a.connected.Load() == int64(len(a.consoles)) && a.missing() == 0
	}); err != nil {
		return f, fmt.Errorf("%w: %d edges are silent, %d listen, %d consoles are connected, %d incidents are missing", err,
			t.silent(up), t.listening.Load(), a.connected.Load(), a.missing())
	}
	f.CaughtUp = time.Since(up).Seconds()
	f.Resets = a.resets.Load() - resets
	if err := g.Wait(); err != nil {
		return f, err
	}
	_, err = until(ctx, settleLimit, "the arrival of every incident", func() bool { return a.missing() == 0 })
	return f, err
}

// engine is a database to measure a hub on.
type engine struct {
	name string
	url  string // empty: SQLite in the hub's folder
	dir  string
}

// eachEngine measures something on each database in turn, each in a new folder.
func eachEngine(ctx context.Context, o options, dir string, do func(engine) error) error {
	for _, name := range o.engines {
		e := engine{name: name}
		var err error
		if e.dir, err = newFolder(filepath.Join(dir, name)); err != nil {
			return err
		}
		switch name {
		case "sqlite":
			err = do(e)
		case "postgres":
			err = withPostgres(ctx, func(url string) error {
				e.url = url
				return do(e)
			})
		default:
			err = fmt.Errorf("there is no such database: sqlite, postgres")
		}
		if err != nil {
			return fmt.Errorf("on %s: %w", name, err)
		}
	}
	return nil
}

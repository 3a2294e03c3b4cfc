package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/edge/e2e/rig"
)

// Options are how a run is made.
type Options struct {
	Programs rig.Programs
	Root     string // of the module, to build an edge whose clock can be set; empty: clocks stay right
	Cache    string // folder for that edge; empty: Dir
	Dir      string // for logs and data; short, new and empty
	Seed     uint64
	For      time.Duration // of the faults; every kind is injected once even if it takes longer
	Only     []string      // beginnings of the names of the faults; empty: all
	Pace     time.Duration // between two messages of a sensor; 20 ms if not given
	Progress func(format string, args ...any)
}

// Result is what came of a run, for machines.
type Result struct {
	OK         bool           `json:"ok"`
	Seed       uint64         `json:"seed"`
	Seconds    float64        `json:"seconds"`
	Faults     map[string]int `json:"faults"`
	NotTested  []string       `json:"not_tested,omitempty"` // faults that cannot be injected on this machine, and why
	Incidents  int            `json:"incidents"`
	Readings   int            `json:"readings"` // acknowledged by the edges
	Missing    int            `json:"missing_readings"`
	Lost       int            `json:"lost"`
	Doubled    int            `json:"doubled"`
	Wrong      int            `json:"wrong"`
	Gaps       int            `json:"gaps"`
	DrainS     float64        `json:"drain_s"` // from the end of the last fault until the hub had everything
	EdgeMB     float64        `json:"edge_peak_mb"`
	HubMB      float64        `json:"hub_peak_mb"`
	Violations []string       `json:"violations,omitempty"`
}

// notInjected counts faults that had to be put off, because another one kept a message on its way.
const notInjected, maxAgain = "put-off", 10

// Limits of what must hold.
const (
	drainLimit = 2 * time.Minute
	stuckAfter = 65 * time.Second // without a change, hub and edges will not agree
	edgeMemory = 150e6            // bytes
	hubMemory  = 400e6
	longFault  = 6 * time.Second // is mentioned: something in it waits
)

// Run makes one run. An error says that the run could not be made; what the run found is in the
// result.
func Run(ctx context.Context, o Options) (r Result, err error) {
	if o.Pace == 0 {
		o.Pace = 20 * time.Millisecond
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	began := time.Now()
	w := &world{o: o}
	r = Result{Seed: o.Seed, Faults: map[string]int{}}
	defer func() {
		r.Violations = w.found()
		r.OK = err == nil && len(r.Violations) == 0
		r.Seconds = time.Since(began).Seconds()
		err = errors.Join(err, w.close(!r.OK))
	}()
	if o.Root != "" {
		if err := w.buildClock(ctx); err != nil {
			return r, err
		}
	}
	if err := w.build(ctx); err != nil {
		return r, err
	}
	list := w.faults(&r)
	if len(list) == 0 {
		return r, fmt.Errorf("no fault is called %q", o.Only)
	}
	return r, w.run(ctx, list, &r)
}

func (w *world) buildClock(ctx context.Context) (err error) {
	dir := w.o.Dir
	if w.o.Cache != "" {
		dir = w.o.Cache
	}
	if dir, err = filepath.Abs(filepath.Join(dir, "clock")); err != nil {
		return fmt.Errorf("building an edge with another clock: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("building an edge with another clock: %w", err)
	}
	w.o.Progress("Building an edge whose clock can be set (the first time takes minutes)")
	w.skewed, err = BuildWithClock(ctx, w.o.Root, dir, "./edge")
	return err
}

// faults returns the faults that can be injected here, and notes those that cannot.
func (w *world) faults(r *Result) []fault {
	disks := w.hubDisk.Real
	for _, s := range w.sites {
		disks = disks && s.disk.Real
	}
	if !disks {
		r.NotTested = append(r.NotTested, "full disks: mounting a tmpfs is refused; run as root, or allow sudo without a password")
	}
	if w.skewed == "" {
		r.NotTested = append(r.NotTested, "clocks: no edge with another clock was built")
	}
	for _, n := range r.NotTested {
		w.o.Progress("NOT TESTED: %s", n)
	}
	return slices.DeleteFunc(all(disks), func(f fault) bool {
		if w.skewed == "" && strings.HasPrefix(f.name, "clock-") {
			return true
		}
		return len(w.o.Only) > 0 && !slices.ContainsFunc(w.o.Only, func(p string) bool { return strings.HasPrefix(f.name, p) })
	})
}

func (w *world) run(ctx context.Context, list []fault, r *Result) error {
	watching, stopWatching := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { w.observer.run(watching, w.stream) })
	watchers.Go(func() { w.pollAlways(watching) })
	defer func() {
		stopWatching()
		watchers.Wait()
	}()
	publishing, stopPublishing := context.WithCancel(ctx)
	defer stopPublishing()
	var sensors errgroup.Group
	for _, s := range w.sites {
		for _, sensor := range s.sensors {
			sensors.Go(func() error { return sensor.run(publishing) })
		}
	}
	failed := w.inject(ctx, list, r)
	if failed == nil {
		w.o.Progress("All faults are over; waiting until the hub has everything")
		for _, s := range w.sites {
			for _, sensor := range s.sensors {
				sensor.finish()
			}
		}
		timeout := time.AfterFunc(drainLimit, stopPublishing)
		if err := sensors.Wait(); err != nil {
			w.violate("a sensor's message is not acknowledged %v after the last fault: %v", drainLimit, err)
		}
		timeout.Stop()
		failed = w.settle(ctx, r)
	}
	stopPublishing()
	_ = sensors.Wait() // its error has been reported, or the run ends with another one
	return failed
}

// inject injects faults, two at a time, until the time is over.
func (w *world) inject(ctx context.Context, list []fault, r *Result) error {
	p := newPlanner(w.o.Seed, list)
	began := time.Now()
	for step := 1; time.Since(began) < w.o.For || !p.complete(); step++ {
		pair := p.next()
		what := make([]string, len(pair))
		for i, one := range pair {
			what[i] = w.describe(one)
		}
		w.o.Progress("%3.0f s  %s; %s", time.Since(began).Seconds(), strings.Join(what, " + "), w.counts())
		var mu sync.Mutex
		var both errgroup.Group
		for _, one := range pair {
			both.Go(func() error {
				err := w.injectOne(ctx, one)
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, errBusy) {
					if r.Faults[notInjected]++; r.Faults[notInjected] <= maxAgain {
						p.again(one.fault)
					}
					return nil
				}
				r.Faults[one.fault.name]++
				return err
			})
		}
		if err := both.Wait(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (w *world) injectOne(ctx context.Context, p planned) error {
	h := newHold(p)
	hold{h.Rand, p.offset}.wait(ctx)
	var s *site
	if p.site >= 0 {
		s = w.sites[p.site]
	}
	began := time.Now()
	err := p.fault.inject(ctx, w, s, h)
	if took := time.Since(began); took > longFault {
		w.o.Progress("       %s took %.1f s", w.describe(p), took.Seconds())
	}
	if err != nil {
		return fmt.Errorf("injecting %s: %w", p.fault.name, err)
	}
	return nil
}

func (w *world) describe(p planned) string {
	if p.site < 0 {
		return p.fault.name
	}
	return p.fault.name + " (" + w.sites[p.site].name + ")"
}

func (w *world) counts() string {
	waves, messages := 0, 0
	for _, s := range w.sites {
		for _, sensor := range s.sensors {
			a, b := sensor.counts()
			waves, messages = waves+a, messages+b
		}
	}
	return fmt.Sprintf("%d incidents, %d readings", waves, messages)
}

func (w *world) pollAlways(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = w.poll(ctx) // the hub may be away
		}
	}
}

// settle checks everything after the last fault.
func (w *world) settle(ctx context.Context, r *Result) error {
	began := time.Now()
	publish := func(whole bool, which func(*sensor) bool) {
		var g errgroup.Group
		limited, cancel := context.WithTimeout(ctx, drainLimit)
		defer cancel()
		for _, s := range w.sites {
			for _, sensor := range s.sensors {
				if which(sensor) {
					g.Go(func() error { return sensor.oneWave(limited, whole) })
				}
			}
		}
		if err := g.Wait(); err != nil {
			w.violate("after all faults a message is not acknowledged: %v", err)
		}
	}
	standing := func(s *sensor) bool { return s.standing }
	anyone := func(*sensor) bool { return true }
	publish(false, standing)
	w.drain(ctx, true, r)
	r.DrainS = time.Since(began).Seconds()
	w.o.Progress("The hub has what it can have after %.1f s", r.DrainS)
	publish(true, standing)
	publish(true, anyone) // what was doubled comes before these: alerts keep their order
	w.drain(ctx, false, r)
	if err := until(ctx, drainLimit, "the webhooks", func(ctx context.Context) error {
		all, err := w.incidents(ctx)
		if err == nil {
			err = w.checkHistory(ctx, all)
		}
		if err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		return nil
	}); err != nil {
		w.violate("%v", err)
	}
	for _, s := range w.sites {
		s.node.stop()
		r.EdgeMB = max(r.EdgeMB, megabytes(s.node.peakResident()))
	}
	w.hubNode.stop()
	r.HubMB = megabytes(w.hubNode.peakResident())
	if r.EdgeMB*1e6 > edgeMemory || r.HubMB*1e6 > hubMemory {
		w.violate("the edge used up to %.0f MB of memory, the hub %.0f MB", r.EdgeMB, r.HubMB)
	}
	if err := w.checkLogs(); err != nil {
		w.violate("%v", err)
	}
	r.Gaps = w.ledger.gapCount()
	return ctx.Err()
}

// drain waits until hub and edges agree. What they do not agree about in time is a violation.
func (w *world) drain(ctx context.Context, standing bool, r *Result) {
	var o *outcome
	best, changed := -1, time.Now()
	err := until(ctx, drainLimit, "hub and edges to agree", func(ctx context.Context) error {
		now, err := w.compare(ctx, standing)
		if err == nil {
			o, err = now, now.bad()
			if n := len(o.lost) + len(o.doubled) + len(o.wrong) + o.missingReadings; n != best {
				best, changed = n, time.Now()
			}
		}
		if err == nil || time.Since(changed) > stuckAfter {
			return err
		}
		return errors.Join(rig.ErrNotYet, err)
	})
	if o != nil {
		r.Incidents, r.Readings, r.Missing = o.incidents, o.readings, o.missingReadings
		r.Lost, r.Doubled, r.Wrong = len(o.lost), len(o.doubled), len(o.wrong)
		for _, list := range [][]string{o.lost, o.doubled, o.wrong} {
			for _, text := range list[:min(len(list), 20)] {
				w.violate("%s", text)
			}
		}
	}
	if err != nil && (o == nil || o.bad() == nil) {
		w.violate("%v", err)
	}
}

// until is rig.Until for checks that cost the hub something: it leaves the hub half a second
// between two, and a check that is cut off by the limit does not hide what the one before found.
func until(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	var last time.Time
	failed := rig.ErrNotYet
	return rig.Until(ctx, limit, what, func(ctx context.Context) error {
		if time.Since(last) < 500*time.Millisecond {
			return failed
		}
		err := check(ctx)
		if last = time.Now(); err == nil || ctx.Err() == nil {
			failed = err
		}
		return failed
	})
}

func megabytes(bytes int64) float64 { return float64(bytes/1e5) / 10 }

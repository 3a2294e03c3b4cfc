package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices"
)

// flaky is a store that fails at random, and always for the value poison.
type flaky struct {
	mu     sync.Mutex
	rng    *rand.Rand
	rate   int // one of so many writes fails; 0: none
	stored map[float64]int
	writes int
	most   int // readings in one write
}

const poison = 666

func (f *flaky) SaveReadings(_ context.Context, all []devices.Reading) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	f.most = max(f.most, len(all))
	if f.rate > 0 && f.rng.IntN(f.rate) == 0 {
		return errFull
	}
	for _, r := range all {
		if r.Value == poison {
			return errors.New("a reading that can never be stored")
		}
	}
	for _, r := range all {
		f.stored[r.Value]++
	}
	return nil
}

// commitRig runs a committer.
func commitRig(t *testing.T, f *flaky) (c *committer, stop func()) {
	t.Helper()
	c = newCommitter(f, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	return c, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// outcome is what a message came to.
type outcome struct {
	mu   sync.Mutex
	held int
	errs []error // of the last call of done
}

func (o *outcome) done(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(err, devices.ErrHeld) {
		o.held++
		return
	}
	o.errs = append(o.errs, err)
}

// submit adds a message with one reading.
func submit(ctx context.Context, t *testing.T, c *committer, value float64) *outcome {
	t.Helper()
	o := &outcome{}
	if err := c.enter(ctx, 10); err != nil {
		o.done(err)
		return o
	}
	c.add(&item{ctx: ctx, size: 10, durable: true, readings: []devices.Reading{{Device: "river", Value: value}}, done: o.done})
	return o
}

// TestEveryMessageIsCommittedOnce, in batches, however often writes fail; one that can never be stored holds
// back no other.
func TestEveryMessageIsCommittedOnce(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			f := &flaky{rng: rand.New(rand.NewPCG(seed, 5)), rate: 4, stored: map[float64]int{}} //nolint:gosec // a test
			c, stop := commitRig(t, f)
			all := map[float64]*outcome{}
			for i := range 1000 {
				value := float64(i)
				all[value] = submit(t.Context(), t, c, value)
				if i%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			for value, o := range all {
				switch {
				case value == poison && (len(o.errs) > 0 || o.held == 0):
					t.Errorf("seed %d: what cannot be stored came to %v", seed, o.errs)
				case value != poison && (len(o.errs) != 1 || o.errs[0] != nil || f.stored[value] != 1):
					t.Errorf("seed %d: %v came to %v and is stored %d times", seed, value, o.errs, f.stored[value])
				}
			}
			if f.most < 10 || f.most > maxBatch {
				t.Errorf("seed %d: at most %d readings in one write", seed, f.most)
			}
			stop()
			if o := all[poison]; len(o.errs) != 1 || o.errs[0] == nil {
				t.Errorf("seed %d: at the end it came to %v", seed, o.errs)
			}
		})
	}
}

// TestWaitingMessagesAreBounded: beyond the bound Submit waits, and goes on when there is room.
func TestWaitingMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{rng: rand.New(rand.NewPCG(1, 1)), rate: 1, stored: map[float64]int{}} //nolint:gosec // a test
		c, stop := commitRig(t, f)
		defer stop()
		for i := range maxPending {
			submit(t.Context(), t, c, float64(i)+0.5)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.enter(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more: %v", err)
		}
		if p := c.problems(); len(p) != 1 || p[0].Code != "readings_not_stored" {
			t.Errorf("problems %+v", p)
		}
		f.mu.Lock()
		f.rate = 0
		f.mu.Unlock()
		if err := c.enter(t.Context(), 1); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(f.stored) != maxPending || len(c.problems()) != 0 {
			t.Errorf("%d are stored, problems %+v", len(f.stored), c.problems())
		}
	})
}

// TestMessagesOfAConnectionThatEnded are tried, and given up when that fails: the broker sends them again.
func TestMessagesOfAConnectionThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{rng: rand.New(rand.NewPCG(1, 1)), stored: map[float64]int{}} //nolint:gosec // a test
		c, stop := commitRig(t, f)
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		good := &outcome{}
		if err := c.enter(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.add(&item{ctx: ctx, durable: true, readings: []devices.Reading{{Value: 1}}, done: good.done})
		time.Sleep(time.Second)
		f.mu.Lock()
		f.rate = 1
		f.mu.Unlock()
		bad := &outcome{}
		if err := c.enter(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.add(&item{ctx: ctx, durable: true, readings: []devices.Reading{{Value: 2}}, done: bad.done})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(good.errs) != 1 || good.errs[0] != nil || len(bad.errs) != 1 || !errors.Is(bad.errs[0], errFull) {
			t.Errorf("they came to %v and %v", good.errs, bad.errs)
		}
	})
}

// TestAMessageThatWaitsForItsAlertsHoldsBackNoOther, and is stored when they are.
func TestAMessageThatWaitsForItsAlertsHoldsBackNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, twoSensors)
		defer r.stop()
		r.disk.set(func() { r.disk.failAlerts["river"] = true })
		river, lake := &outcome{}, &outcome{}
		for i := range 20 {
			r.intake.Submit(t.Context(), message("r", fmt.Sprint(2+i)), river.done)
			r.intake.Submit(t.Context(), message("l", fmt.Sprint(2+i)), lake.done)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(lake.errs) != 20 || len(river.errs) != 0 || river.held != 20 {
			t.Errorf("lake: %v, river: %v, held %d", lake.errs, river.errs, river.held)
		}
		r.disk.set(func() { r.disk.failAlerts, r.disk.pending = map[string]bool{}, map[string]bool{} })
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(river.errs) != 20 || river.errs[0] != nil || len(r.disk.readings) != 40 {
			t.Errorf("river: %v, %d readings", river.errs, len(r.disk.readings))
		}
	})
}

// TestSensorsAtTheirBroker: a message of another broker is not theirs, whatever its topic.
func TestSensorsAtTheirBroker(t *testing.T) {
	r := newRig(t, `
edge: a
mqtt: {listen: ":0", brokers: [{name: plant, url: "mqtt://plant"}]}
sensors: [{name: river, topic: level, broker: plant}, {name: lake, topic: level, broker: embedded}, {name: pond, topic: level}]
`)
	defer r.stop()
	for source, want := range map[string]string{"plant": "river pond", "embedded": "lake pond", "other": "pond"} {
		m := message("level", "1")
		m.Source = source
		r.disk.readings = nil
		if err := r.intake.Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, reading := range r.disk.readings {
			got += " " + reading.Device
		}
		if got != " "+want {
			t.Errorf("%s: readings of%s, expected %s", source, got, want)
		}
	}
}

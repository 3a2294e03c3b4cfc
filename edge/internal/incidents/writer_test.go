package incidents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFull = errors.New("the disk is full")

// disk is a store that fails on demand.
type disk struct {
	mu    sync.Mutex
	fails func(detection.Incident) bool
	saved []string
}

func (d *disk) SaveIncidents(_ context.Context, all []detection.Incident) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(all, d.fails) {
		return errFull
	}
	for _, inc := range all {
		d.saved = append(d.saved, fmt.Sprintf("%s/%d", inc.ID, inc.Version))
	}
	return nil
}

func (d *disk) set(fails func(detection.Incident) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = fails
}

func (d *disk) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.saved, " ")
}

func all(detection.Incident) bool  { return true }
func none(detection.Incident) bool { return false }

func alert(id string, v int) []detection.Incident {
	return []detection.Incident{{ID: id, Version: v, Device: "x"}}
}

func newWriter(d *disk) *Writer { return New(d, slog.New(slog.DiscardHandler)) }

func TestAlertsWaitForAFullDiskInOrder(t *testing.T) {
	d := &disk{fails: all}
	w := newWriter(d)
	for _, a := range [][]detection.Incident{alert("a", 1), alert("b", 1), alert("a", 2)} {
		if err := w.Save(t.Context(), "yard", a); !errors.Is(err, errFull) {
			t.Fatalf("an alert that is only in memory was reported as saved: %v", err)
		}
	}
	if p := w.Problems(); len(p) != 1 || p[0].Code != "alerts_in_memory" || p[0].Params["count"] != "3" || p[0].Params["reason"] != errFull.Error() {
		t.Errorf("problems: %+v", p)
	}
	d.set(none)
	if err := w.Save(t.Context(), "yard", alert("c", 1)); err != nil {
		t.Fatal(err)
	}
	if got := d.all(); got != "a/1 b/1 a/2 c/1" {
		t.Errorf("saved: %s", got)
	}
	if st, p := w.Stats(), w.Problems(); len(p) != 0 || st != (Stats{}) || len(w.queues) != 0 {
		t.Errorf("at the end: %+v, %+v, %d queues", p, st, len(w.queues))
	}
}

func TestWaitingAlertsAreBounded(t *testing.T) {
	d := &disk{fails: all}
	w := newWriter(d)
	_ = w.Save(t.Context(), "quiet", alert("q", 1))
	flood := make([]detection.Incident, maxWaiting+5)
	for i := range flood {
		flood[i] = detection.Incident{ID: fmt.Sprint(i), Version: 1}
	}
	_ = w.Save(t.Context(), "loud", flood)
	if st := w.Stats(); st.Waiting != maxWaiting || st.Lost != 6 {
		t.Errorf("%+v", st)
	}
	if p := w.Problems(); len(p) != 2 || p[0].Code != "alerts_lost" {
		t.Errorf("problems: %+v", p)
	}
	d.set(none)
	if err := w.Save(t.Context(), "quiet", nil); err != nil || d.all() != "q/1" {
		t.Errorf("the quiet device's alert was dropped for the loud one's: %v, %q", err, d.all())
	}
}

// TestADeviceWaitsForItsOwnAlertsOnly: an alert of one device that cannot be saved must not leave
// the messages of all others unacknowledged.
func TestADeviceWaitsForItsOwnAlertsOnly(t *testing.T) {
	d := &disk{fails: func(inc detection.Incident) bool { return inc.ID == "bad" }}
	w := newWriter(d)
	if w.Save(t.Context(), "a", alert("bad", 1)) == nil {
		t.Error("the alert was reported as saved")
	}
	if err := w.Save(t.Context(), "b", alert("good", 1)); err != nil {
		t.Errorf("another device's alert: %v", err)
	}
	if err := w.Save(t.Context(), "c", nil); err != nil {
		t.Errorf("a device without alerts: %v", err)
	}
	if w.Save(t.Context(), "a", nil) == nil {
		t.Error("a message that comes again was acknowledged before its alert was saved")
	}
	// Other incidents of the same device are not held back either.
	if w.Save(t.Context(), "a", append(alert("bad", 2), alert("other", 1)...)) == nil || d.all() != "good/1 other/1" {
		t.Errorf("saved: %s", d.all())
	}
}

func TestAnAlertThatCanNeverBeSavedIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{fails: func(inc detection.Incident) bool { return inc.ID == "bad" }}
		w := newWriter(d)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		_ = w.Save(ctx, "a", alert("bad", 1))
		time.Sleep(time.Hour)
		if st := w.Stats(); st.Waiting != 1 {
			t.Errorf("given up although nothing else was saved: %+v", st)
		}
		for i := range maxFailures {
			if err := w.Save(ctx, "b", alert(fmt.Sprint(i), 1)); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Hour)
		if st := w.Stats(); st != (Stats{Lost: 1}) {
			t.Errorf("%+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRandomFailures: whatever fails and when, the alerts of each incident are saved once each and
// in their order.
func TestRandomFailures(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) { randomFailures(t, rand.New(rand.NewPCG(seed, 2))) })
	}
}

func randomFailures(t *testing.T, rnd *rand.Rand) {
	d := &disk{fails: none}
	w := newWriter(d)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var devices sync.WaitGroup
	for _, device := range []string{"a", "b", "c"} {
		seed := rnd.Uint64()
		devices.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 3))
			for version := 1; version <= 30; version++ {
				alerts := append(alert(device+"1", version), alert(device+"2", version)...)
				_ = w.Save(ctx, device, alerts)
				time.Sleep(time.Duration(rnd.IntN(700)) * time.Millisecond)
			}
		})
	}
	for range 20 {
		bad := fmt.Sprintf("%c%d", 'a'+rnd.IntN(3), 1+rnd.IntN(2))
		d.set([]func(detection.Incident) bool{all, none, func(inc detection.Incident) bool { return inc.ID == bad }}[rnd.IntN(3)])
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
	}
	d.set(none)
	devices.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	next := map[string]int{}
	for _, s := range d.saved {
		var version int
		id, rest, _ := strings.Cut(s, "/")
		if _, err := fmt.Sscan(rest, &version); err != nil {
			t.Fatal(err)
		}
		if next[id]++; version != next[id] {
			t.Fatalf("%s: version %d follows %d", id, version, next[id]-1)
		}
	}
	for id, n := range next {
		if n != 30 {
			t.Errorf("%s: %d versions are saved", id, n)
		}
	}
	if len(next) != 6 || w.Stats() != (Stats{}) {
		t.Errorf("%d incidents, %+v", len(next), w.Stats())
	}
}

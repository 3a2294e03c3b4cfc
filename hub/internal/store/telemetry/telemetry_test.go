package telemetry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *clock) add(d time.Duration) { c.set(c.now().Add(d)) }

func day() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, r *Repository, c *clock)) {
	c := &clock{at: day()}
	dbtest.EachWith(t, Options(db.Options{Now: c.now}), func(t *testing.T, d *db.DB) {
		c.set(day())
		test(t, New(d, nil), c)
	})
}

func number(device string, at time.Time, value float64) Reading {
	return Reading{Reading: devices.Reading{Device: device, Time: at, Value: value, Quality: devices.Good}}
}

func batch(epoch string, seq uint64, readings ...Reading) Batch {
	return Batch{Edge: "weir", Epoch: epoch, Events: []Event{{Seq: seq, Readings: readings}}}
}

func mustApply(t *testing.T, r *Repository, b Batch) Applied {
	t.Helper()
	out, err := r.Apply(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newest(t *testing.T, r *Repository, device string) Newest {
	t.Helper()
	all, err := r.Newest(t.Context(), scope.All(), []Key{{"weir", device}})
	if err != nil {
		t.Fatal(err)
	}
	return all[Key{"weir", device}]
}

func TestMarksMoveWithTheirEvents(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		one := batch("a", 3, number("level", day(), 1))
		if out := mustApply(t, r, one); out != (Applied{Mark: 3, Applied: 1, Stored: 1}) {
			t.Errorf("%+v", out)
		}
		if out := mustApply(t, r, one); out != (Applied{Mark: 3, Known: 1}) {
			t.Errorf("sent again: %+v", out)
		}
		if out := mustApply(t, r, batch("b", 1, number("level", day(), 1))); out != (Applied{Mark: 1, Applied: 1}) {
			t.Errorf("sent again in another epoch: %+v", out)
		}
		for epoch, want := range map[string]uint64{"a": 3, "b": 1, "c": 0} {
			if got, err := r.Mark(t.Context(), "weir", epoch); err != nil || got != want {
				t.Errorf("mark of %s: %d, %v", epoch, got, err)
			}
		}
		for i := range keepEpochs + 10 {
			c.add(time.Second)
			mustApply(t, r, batch(fmt.Sprint("epoch", i), 1))
		}
		var n int
		if err := r.d.Read(t.Context()).One(`SELECT count(*) FROM marks`)(&n); err != nil || n > keepEpochs+1 {
			t.Errorf("%d marks, %v", n, err)
		}
	})
}

// TestNewestIsNotFrozen: a property over edges whose clocks are wrong by up to centuries. The newest
// reading is never after its receipt, and a reading with the right time replaces whatever came
// before it, however wrong its clock was.
func TestNewestIsNotFrozen(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		random := rand.New(rand.NewPCG(9, 1))
		for i := range uint64(150) {
			c.add(time.Duration(1+random.IntN(600)) * time.Second)
			wild := number("level", c.now().Add(time.Duration((random.Float64()-0.5)*math.Pow(10, 2+16*random.Float64()))), float64(i))
			if random.IntN(2) == 0 {
				wild.At = c.now().Add(-time.Duration(random.IntN(100)) * time.Second)
			}
			mustApply(t, r, batch("a", 2*i+1, wild))
			if n := newest(t, r, "level"); n.Time.After(n.Received) || n.Received.After(c.now()) {
				t.Fatalf("step %d: the newest reading is of %s, received at %s", i, n.Time, n.Received)
			}
			if random.IntN(4) > 0 {
				continue
			}
			if random.IntN(10) == 0 {
				c.add(-24 * time.Hour) // the hub's own clock is set back
			}
			c.add(10 * time.Second)
			mustApply(t, r, batch("a", 2*i+2, number("level", c.now().Add(-time.Second), -1)))
			if n := newest(t, r, "level"); n.Value != -1 || !n.Time.Equal(c.now().Add(-time.Second)) {
				t.Fatalf("step %d: after a right one, the newest reading is %+v", i, n)
			}
		}
	})
}

// TestOldReadingsDoNotReplaceTheNewest: what was kept during an outage is stored, and is not the newest.
func TestOldReadingsDoNotReplaceTheNewest(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		mustApply(t, r, batch("a", 1, number("level", day(), 2)))
		mustApply(t, r, batch("a", 2, number("level", day().Add(-time.Hour), 1)))
		if n := newest(t, r, "level"); n.Value != 2 {
			t.Errorf("%+v", n)
		}
		all, err := r.Readings(t.Context(), scope.All(), "weir", "level", day().Add(-2*time.Hour), day(), 10)
		if err != nil || len(all) != 2 || all[0].Value != 1 || all[1].Value != 2 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// TestCorrectedTimeIsStable: a correction is measured anew each time that a batch is sent; a reading that
// is sent twice is stored once all the same, under its corrected time.
func TestCorrectedTimeIsStable(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		in1970 := number("level", time.Unix(100, 0), 1)
		in1970.At = day().Add(-time.Minute)
		mustApply(t, r, batch("a", 1, in1970))
		in1970.At = in1970.At.Add(300 * time.Millisecond)
		if out := mustApply(t, r, batch("b", 1, in1970)); out.Stored != 0 {
			t.Error("the reading was stored again")
		}
		all, err := r.Readings(t.Context(), scope.All(), "weir", "level", time.Unix(0, 0), day().Add(time.Hour), 10)
		if err != nil || len(all) != 1 || !all[0].Time.Equal(day().Add(-time.Minute)) {
			t.Errorf("%+v, %v", all, err)
		}
		right := number("level", day(), 2)
		right.At = day().Add(80 * time.Millisecond)
		mustApply(t, r, batch("b", 2, right))
		if n := newest(t, r, "level"); !n.Time.Equal(day()) {
			t.Errorf("a clock that is right was corrected: %+v", n)
		}
	})
}

func TestTextsAndBadValues(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		text := Reading{Reading: devices.Reading{Device: "door", Time: day(), Text: "open\x00", Quality: devices.Good}}
		bad := Reading{Reading: devices.Reading{Device: "door", Time: day().Add(-time.Second), Value: 7, Quality: devices.Bad}}
		huge := number("door", day().Add(-2*time.Second), 1e308)
		mustApply(t, r, batch("a", 1, text, bad, huge, number("door", day().Add(-3*time.Second), 3)))
		if n := newest(t, r, "door"); n.Text != "open\uFFFD" || n.Value != 0 {
			t.Errorf("%+v", n)
		}
		all, err := r.Readings(t.Context(), scope.All(), "weir", "door", day().Add(-time.Hour), day(), 10)
		if err != nil || len(all) != 4 || all[3].Text == "" || all[3].Value != 0 || all[2].Quality != devices.Bad || all[1].Quality != devices.Bad {
			t.Errorf("%+v, %v", all, err)
		}
		curve, err := r.Curve(t.Context(), scope.All(), "weir", "door", day().Add(-time.Hour), day(), 10)
		if err != nil || !slices.Equal(curve.Mean, []float64{3}) {
			t.Errorf("%+v, %v", curve, err)
		}
	})
}

// TestScope: what is outside of the caller's sites is not there.
func TestScope(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		b := batch("a", 1, number("level", day(), 1))
		b.Site = "harbour"
		b.Events[0].Gap = &api.Gap{ID: "g", Kind: api.GapReadings, From: day(), To: day(), Count: 1, Reason: "store_full"}
		mustApply(t, r, b)
		for name, want := range map[string]int{"harbour": 1, "weir": 0} {
			sc, from := scope.Sites(name), day().Add(-time.Hour)
			n, err1 := r.Newest(t.Context(), sc, []Key{{"weir", "level"}})
			all, err2 := r.Readings(t.Context(), sc, "weir", "level", from, day(), 10)
			curve, err3 := r.Curve(t.Context(), sc, "weir", "level", from, day(), 10)
			gaps, err4 := r.Gaps(t.Context(), sc, "weir", 10)
			since, _, err5 := r.NewestSince(t.Context(), sc, Position{}, 10)
			for _, err := range []error{err1, err2, err3, err4, err5} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if got := []int{len(n), len(all), len(curve.At), len(gaps), len(since)}; !slices.Equal(got, []int{want, want, want, want, want}) {
				t.Errorf("site %s: %v", name, got)
			}
		}
	})
}

func TestGapsGrowAndAreBounded(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		g := api.Gap{ID: "g", Kind: api.GapReadings, Device: "level", From: day(), To: day(), Count: 5, Reason: "store_full"}
		larger := g
		larger.From, larger.To, larger.Count = day().Add(-time.Hour), day().Add(time.Hour), 9
		for _, v := range []api.Gap{larger, g} { // the older one may come last
			if err := r.AddGap(t.Context(), "weir", "", v); err != nil {
				t.Fatal(err)
			}
		}
		all, err := r.Gaps(t.Context(), scope.All(), "weir", 10)
		if err != nil || len(all) != 1 || all[0].Gap != (api.Gap{ID: "g", Kind: api.GapReadings, Device: "level", From: larger.From, To: larger.To, Count: 9, Reason: "store_full"}) {
			t.Errorf("%+v, %v", all, err)
		}
		err = r.d.Update(t.Context(), "test", func(tx *db.Tx) error {
			for i := range maxGaps + 10 {
				g.ID = fmt.Sprintf("%05d", i) // of those that came at the same time, the greater is the newer
				if err := saveGap(tx, "weir", "weir", g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if all, err = r.Gaps(t.Context(), scope.All(), "weir", 10_000); err != nil || len(all) != maxGaps || all[1].ID != fmt.Sprintf("%05d", maxGaps+9) {
			t.Errorf("%d gaps, %v", len(all), err)
		}
	})
}

// TestNewestSince: who follows the newest readings sees the last one of every device.
func TestNewestSince(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		random := rand.New(rand.NewPCG(9, 2))
		seen, want := map[Key]time.Time{}, map[Key]time.Time{}
		at, seq := r.Now(), uint64(0)
		for range 60 {
			for range random.IntN(8) {
				seq++
				device := fmt.Sprint("d", random.IntN(20))
				mustApply(t, r, batch("a", seq, number(device, c.now(), float64(seq))))
				want[Key{"weir", device}] = c.now()
			}
			c.add(time.Duration(random.IntN(900)) * time.Millisecond)
			for {
				some, next, err := r.NewestSince(t.Context(), scope.All(), at, 7)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range some {
					seen[n.Key] = n.Received
				}
				at = next
				if len(some) < 7 {
					break
				}
			}
			if !maps.EqualFunc(seen, want, time.Time.Equal) {
				t.Fatalf("seen %v, want %v", seen, want)
			}
		}
	})
}

// TestManyDevices: an edge cannot fill the hub with devices that it makes up.
func TestManyDevices(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		var all []Reading
		for i := range maxSeries + 50 {
			all = append(all, number(fmt.Sprint("d", i), day(), 1))
		}
		if out := mustApply(t, r, batch("a", 1, all...)); out.Stored != maxSeries || out.Dropped != 50 {
			t.Errorf("%+v", out)
		}
	})
}

// TestBatchesOfManyEdges: batches that come at the same time are all stored, each once.
func TestBatchesOfManyEdges(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		var wg sync.WaitGroup
		errs := make(chan error, 400)
		for edge := range 20 {
			for range 2 { // each sends everything twice, at the same time
				wg.Go(func() {
					for seq := range uint64(10) {
						b := batch("a", seq+1, number("level", day().Add(time.Duration(seq)*time.Second), float64(seq)))
						b.Edge = fmt.Sprint("edge", edge)
						if _, err := r.Apply(context.WithoutCancel(t.Context()), b); err != nil {
							errs <- err
						}
					}
				})
			}
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		if n, err := r.Stored(t.Context()); err != nil || n != 200 {
			t.Errorf("%d readings, %v", n, err)
		}
	})
}

// TestNoRoomForTelemetry: readings are refused, not lost, while the disk has room for alerts only.
func TestNoRoomForTelemetry(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		full := true
		r.Guard(func(context.Context) bool { return full })
		b := batch("a", 1, number("level", day(), 1))
		if _, err := r.Apply(t.Context(), b); !errors.Is(err, db.ErrFull) {
			t.Error(err)
		}
		full = false
		if out := mustApply(t, r, b); out.Stored != 1 {
			t.Errorf("%+v", out)
		}
	})
}

package telemetry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// identity is what tells a reading from others.
type identity struct {
	device string
	at     int64
	value  float64
}

// checkSummaries compares the summaries and counts with the readings.
func checkSummaries(t *testing.T, r *Repository, expiring bool) {
	t.Helper()
	var bad int
	query := `SELECT count(*) FROM summaries m WHERE stored != (SELECT count(*) FROM readings r WHERE r.series = m.series AND r.at / 600000 = m.bucket)`
	if !expiring {
		query += ` OR n != (SELECT count(*) FROM readings r WHERE r.series = m.series AND r.at / 600000 = m.bucket AND bad = 0 AND text = '')
			OR n > 0 AND (low != (SELECT min(value) FROM readings r WHERE r.series = m.series AND r.at / 600000 = m.bucket AND bad = 0 AND text = '')
			OR high != (SELECT max(value) FROM readings r WHERE r.series = m.series AND r.at / 600000 = m.bucket AND bad = 0 AND text = '')
			OR last_at != (SELECT max(at) FROM readings r WHERE r.series = m.series AND r.at / 600000 = m.bucket AND bad = 0 AND text = '')
			OR abs(sum - (SELECT sum(value) FROM readings r WHERE r.series = m.series AND r.at / 600000 = m.bucket AND bad = 0 AND text = '')) > 1e-6)`
	}
	if err := r.d.Read(t.Context()).One(query)(&bad); err != nil || bad != 0 {
		t.Fatalf("%d summaries are wrong, %v", bad, err)
	}
	if err := r.d.Read(t.Context()).One(`SELECT count(*) FROM series s WHERE stored != (SELECT count(*) FROM readings r WHERE r.series = s.id)
		OR stored != (SELECT coalesce(CAST(sum(stored) AS BIGINT), 0) FROM summaries m WHERE m.series = s.id)`)(&bad); err != nil || bad != 0 {
		t.Fatalf("%d series are wrong, %v", bad, err)
	}
}

// randomReading makes a reading of a few devices and times, so that many are the same.
func randomReading(random *rand.Rand, now time.Time) Reading {
	v := number(fmt.Sprint("d", random.IntN(3)), now.Add(-time.Duration(random.IntN(4*3600))*time.Second), float64(random.IntN(5))-2)
	switch random.IntN(10) {
	case 0:
		v.Quality = devices.Bad
	case 1:
		v.Text, v.Value = fmt.Sprint("text ", random.IntN(3)), 0
	}
	return v
}

// TestModel: random batches, sent in any number of epochs and any number of times, leave each reading
// once, and summaries and curves that agree with the readings.
func TestModel(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		random := rand.New(rand.NewPCG(9, 3))
		model := map[identity]Reading{}
		var sent []Batch
		for i := range uint64(60) {
			b := Batch{Edge: "weir", Epoch: fmt.Sprint("e", random.IntN(3))}
			for k := range uint64(1 + random.IntN(3)) {
				e := Event{Seq: 10*i + k + 1}
				for range random.IntN(30) {
					v := randomReading(random, c.now())
					e.Readings = append(e.Readings, v)
					key := identity{v.Device, v.Time.UnixMilli(), v.Key()}
					if _, ok := model[key]; !ok {
						model[key] = v
					}
				}
				b.Events = append(b.Events, e)
			}
			mustApply(t, r, b)
			sent = append(sent, b)
			again := sent[random.IntN(len(sent))]
			if random.IntN(2) == 0 {
				again.Epoch = fmt.Sprint("e", random.IntN(3))
			}
			if again.Epoch == b.Epoch || random.IntN(2) == 0 {
				mustApply(t, r, again)
			}
			c.add(time.Duration(random.IntN(300)) * time.Second)
		}
		if n, err := r.Stored(t.Context()); err != nil || n != int64(len(model)) {
			t.Fatalf("%d readings are stored of %d, %v", n, len(model), err)
		}
		checkSummaries(t, r, false)
		for range 20 {
			checkCurve(t, r, random, model, c.now())
		}
	})
}

// checkCurve compares a curve of random bounds with one that is made of the model.
func checkCurve(t *testing.T, r *Repository, random *rand.Rand, model map[identity]Reading, now time.Time) {
	t.Helper()
	device, points := fmt.Sprint("d", random.IntN(3)), 2+random.IntN(30)
	to := now.Add(-time.Duration(random.IntN(2*3600_000)) * time.Millisecond)
	from := to.Add(-time.Duration(1+random.IntN(8*3600_000)) * time.Millisecond)
	for _, raw := range []bool{true, false} {
		r.rawLimit = maxRaw
		first, last := from.UnixMilli()/bucketMillis, to.UnixMilli()/bucketMillis
		origin, step := from.UnixMilli(), (to.UnixMilli()-from.UnixMilli())/int64(points)+1
		if !raw {
			r.rawLimit = -1
			if last-first >= 2 {
				origin, step = first*bucketMillis, ((last-first)/int64(points)+1)*bucketMillis
			}
		}
		want := map[int64]*point{}
		for id, v := range model {
			if id.device != device || id.at < from.UnixMilli() || id.at > to.UnixMilli() || v.Quality == devices.Bad || v.Text != "" {
				continue
			}
			k := (id.at - origin) / step
			if want[k] == nil {
				want[k] = &point{}
			}
			want[k].merge(point{n: 1, sum: v.Value, low: v.Value, high: v.Value, last: id.at})
		}
		got, err := r.Curve(t.Context(), scope.All(), "weir", device, from, to, points)
		if err != nil {
			t.Fatal(err)
		}
		curve := makeCurve(want)
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
		if len(got.At) > points || !slices.Equal(got.At, curve.At) || !slices.Equal(got.Low, curve.Low) || !slices.Equal(got.High, curve.High) ||
			!slices.EqualFunc(got.Mean, curve.Mean, near) {
			t.Fatalf("from %s to %s in %d points, raw: %v:\n%+v\n%+v", from, to, points, raw, got, curve)
		}
	}
}

// TestExpire: deleting in steps of any size never deletes what is younger, deletes everything that is older
// in the end, and keeps counts and curves right.
func TestExpire(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		random := rand.New(rand.NewPCG(9, 4))
		for i := range uint64(16) {
			var all []Reading
			for range 50 {
				all = append(all, randomReading(random, c.now()))
			}
			mustApply(t, r, batch("a", i+1, all...))
			before := c.now().Add(-time.Duration(random.IntN(4*3600)) * time.Second)
			cut := before.UnixMilli() / bucketMillis * bucketMillis
			var young, left, after int
			// What stays: what is young, and what was received lately.
			stays := `(at >= ? OR EXISTS (SELECT 1 FROM summaries m WHERE m.series = r.series AND m.bucket = r.at / 600000 AND m.received >= ?))`
			count := `SELECT count(*) FROM readings r WHERE ` + stays
			if err := r.d.Read(t.Context()).One(count, cut, before.UnixMilli())(&young); err != nil {
				t.Fatal(err)
			}
			steps := 1 + random.IntN(200)
			for range steps {
				limit := 1 + random.IntN(20)
				n, err := r.DeleteReadingsBefore(t.Context(), before, limit)
				if err != nil || n > limit {
					t.Fatalf("%d deleted of %d, %v", n, limit, err)
				}
				if n == 0 {
					break
				}
			}
			checkSummaries(t, r, true)
			if steps > 100 { // enough for all
				for n := 1; n > 0; {
					var err error
					if n, err = r.DeleteReadingsBefore(t.Context(), before, 100); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.d.Read(t.Context()).One(`SELECT count(*) FROM readings r WHERE NOT `+stays, cut, before.UnixMilli())(&left); err != nil || left != 0 {
					t.Fatalf("%d old readings are left, %v", left, err)
				}
				checkSummaries(t, r, false)
			}
			if err := r.d.Read(t.Context()).One(count, cut, before.UnixMilli())(&after); err != nil || after != young {
				t.Fatalf("%d young readings are left of %d, %v", after, young, err)
			}
			c.add(10 * time.Minute)
		}
	})
}

// TestReadingsOfAClockThatIsBehindStay: retention counts from the receipt when an edge's clock is years behind.
func TestReadingsOfAClockThatIsBehindStay(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		mustApply(t, r, batch("a", 1, number("level", day().AddDate(-8, 0, 0), 1)))
		month := -30 * 24 * time.Hour
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{time.Minute, 0}, {29 * 24 * time.Hour, 0}, {2 * 24 * time.Hour, 1}} {
			c.add(step.after)
			if n, err := r.DeleteReadingsBefore(t.Context(), c.now().Add(month), 100); err != nil || n != step.want {
				t.Errorf("at %s: %d were deleted, %v", c.now(), n, err)
			}
		}
	})
}

// TestSeriesWithoutReadingsExpire: the newest value of a device that is gone is deleted after its readings.
func TestSeriesWithoutReadingsExpire(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		mustApply(t, r, batch("a", 1, number("gone", day(), 1)))
		c.add(48 * time.Hour)
		mustApply(t, r, batch("a", 2, number("here", c.now(), 1)))
		before := c.now().Add(-24 * time.Hour)
		if n, err := r.DeleteSeriesBefore(t.Context(), before, 10); err != nil || n != 0 {
			t.Errorf("%d series with readings were deleted, %v", n, err)
		}
		if n, err := r.DeleteReadingsBefore(t.Context(), before, 10); err != nil || n != 1 {
			t.Errorf("%d readings were deleted, %v", n, err)
		}
		if n, err := r.DeleteSeriesBefore(t.Context(), before, 10); err != nil || n != 1 {
			t.Errorf("%d series were deleted, %v", n, err)
		}
		if newest(t, r, "gone") != (Newest{}) || newest(t, r, "here").Value != 1 {
			t.Error("the wrong one was deleted")
		}
	})
}

// TestReleasePages: what was deleted makes the file of SQLite smaller.
func TestReleasePages(t *testing.T) {
	each(t, func(t *testing.T, r *Repository, c *clock) {
		var all []Reading
		for i := range 20_000 {
			all = append(all, number("level", day().Add(-time.Duration(i)*time.Second), 1))
		}
		mustApply(t, r, batch("a", 1, all...))
		for n := 1; n > 0; {
			var err error
			if n, err = r.DeleteReadingsBefore(t.Context(), day().Add(time.Hour), 5000); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.ReleasePages(t.Context(), 100_000); err != nil || r.d.Engine() != db.SQLite {
			if err != nil {
				t.Error(err)
			}
			return
		}
		var free int
		if err := r.d.Read(t.Context()).One(`PRAGMA freelist_count`)(&free); err != nil || free != 0 {
			t.Errorf("%d pages are unused, %v", free, err)
		}
	})
}

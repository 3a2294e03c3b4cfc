package telemetry

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestAdopt: what the hub's database had of telemetry is there afterwards, once, also when moving was
// interrupted at any point and began again.
func TestAdopt(t *testing.T) {
	hub := dbtest.Open(t, db.SQLite, db.Options{})
	c := &clock{at: day()}
	r := New(dbtest.Open(t, db.SQLite, Options(db.Options{Now: c.now})), nil)
	random := rand.New(rand.NewPCG(9, 8))
	want := map[identity]Reading{}
	err := hub.Update(t.Context(), "test", func(tx *db.Tx) error {
		for i := range 2500 {
			v := randomReading(random, c.now())
			if _, err := tx.Exec(`INSERT INTO readings(edge, device, at, value, quality, text) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				fmt.Sprint("edge", i%2), v.Device, db.Millis(v.Time), v.Key(), string(v.Quality), v.Text); err != nil {
				return err
			}
			key := identity{fmt.Sprint("edge", i%2, v.Device), v.Time.UnixMilli(), v.Key()}
			if _, ok := want[key]; !ok {
				want[key] = v
			}
		}
		for _, text := range []string{
			`INSERT INTO edges(name, created_at, site) VALUES ('edge0', 0, 'harbour'), ('edge1', 0, 'harbour')`,
			`INSERT INTO marks(edge, epoch, lane, seq, updated_at) VALUES ('edge0', 'a', 'telemetry', 7, 1), ('edge0', 'a', 'alerts', 8, 1)`,
			`INSERT INTO gaps(edge, id, kind, device, from_at, to_at, count, reason, received_at) VALUES ('edge0', 'g', 'readings', 'd1', 1000, 2000, 3, 'store_full', 4000)`,
			`INSERT INTO devices(edge, name, kind, read_at, value, quality, text) VALUES ('edge0', 'still', 'sensor', 5000, 1.5, 'good', ''), ('edge0', 'ahead', 'sensor', 99999999999999, 0, 'bad', 'x')`,
		} {
			if _, err := tx.Exec(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it has nothing to do
		if err := r.Adopt(t.Context(), hub); err != nil {
			t.Fatal(err)
		}
	}
	// Stopped between the two databases: the readings are in both.
	a := adoption{r: r, hub: hub, sites: map[string]string{}}
	if _, err := a.readings(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, v := range want {
		if key.device == "edge1"+v.Device {
			b := Batch{Edge: "edge1", Site: "harbour", Epoch: "x", Events: []Event{{Seq: 1, Readings: []Reading{v}}}}
			mustApply(t, r, b)
			break
		}
	}
	if err := r.AdoptReadings(t.Context(), hub); err != nil {
		t.Fatal(err)
	}
	checkSummaries(t, r, false)
	if n, err := r.Stored(t.Context()); err != nil || n != int64(len(want)) {
		t.Errorf("%d readings of %d, %v", n, len(want), err)
	}
	sc := scope.Sites("harbour")
	if all, err := r.Newest(t.Context(), sc, []Key{{"edge0", "still"}, {"edge0", "ahead"}}); err != nil || len(all) != 2 ||
		all[Key{"edge0", "still"}].Value != 1.5 || !all[Key{"edge0", "ahead"}].Time.Equal(day()) || all[Key{"edge0", "ahead"}].Quality != devices.Bad {
		t.Errorf("%+v, %v", all, err)
	}
	if gaps, err := r.Gaps(t.Context(), sc, "edge0", 10); err != nil || len(gaps) != 1 || gaps[0].Count != 3 || !gaps[0].Received.Equal(time.UnixMilli(4000)) {
		t.Errorf("%+v, %v", gaps, err)
	}
	if mark, err := r.Mark(t.Context(), "edge0", "a"); err != nil || mark != 7 {
		t.Errorf("%d, %v", mark, err)
	}
	var left int
	if err := hub.Read(t.Context()).One(`SELECT (SELECT count(*) FROM readings) + (SELECT count(*) FROM gaps) + (SELECT count(*) FROM marks)`)(&left); err != nil || left != 1 {
		t.Errorf("%d rows are left, %v", left, err)
	}
}

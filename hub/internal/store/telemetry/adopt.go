package telemetry

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

const (
	// adoptRows is how many readings are moved at a time. A crash between the two databases moves as many
	// once more, which changes nothing.
	adoptRows = 1000

	// adoptReport is how often progress is logged.
	adoptReport = 10 * time.Second
)

// Adopt takes over what the hub's own database had of telemetry before it had a database of its own, but for
// the readings: newest readings, gaps and the marks of the telemetry lane. It must be called before the
// first batch is applied. It does nothing on PostgreSQL, which never had any.
func (r *Repository) Adopt(ctx context.Context, hub *db.DB) error {
	if hub.Engine() != db.SQLite {
		return nil
	}
	a := adoption{r: r, hub: hub, sites: map[string]string{}}
	for _, step := range []func(context.Context) error{a.marks, a.gaps, a.newest} {
		if err := step(ctx); err != nil {
			return wrap(err, "taking telemetry over")
		}
	}
	return nil
}

type adoption struct {
	r     *Repository
	hub   *db.DB
	sites map[string]string // of edges
}

func (a *adoption) site(ctx context.Context, edge string) (string, error) {
	if s, ok := a.sites[edge]; ok {
		return s, nil
	}
	s := edge
	err := a.hub.Read(ctx).One(`SELECT site FROM edges WHERE name = ?`, edge)(&s)
	if errors.Is(err, db.ErrNotFound) {
		err = nil
	}
	a.sites[edge] = s
	return s, err
}

// clear deletes from the hub's database what has been taken over.
func (a *adoption) clear(ctx context.Context, text string) error {
	return a.hub.Update(ctx, "telemetry_adopt", func(t *db.Tx) error {
		_, err := t.Exec(text)
		return err
	})
}

func (a *adoption) marks(ctx context.Context) error {
	type mark struct {
		edge, epoch string
		seq, at     int64
	}
	all, err := db.Collect(func(scan func(...any) error) (m mark, err error) {
		err = scan(&m.edge, &m.epoch, &m.seq, &m.at)
		return m, err
	})(a.hub.Read(ctx).Rows(`SELECT edge, epoch, seq, updated_at FROM marks WHERE lane = ?`, string(api.LaneTelemetry)))
	if err != nil || len(all) == 0 {
		return err
	}
	err = a.r.d.Update(ctx, "telemetry_adopt", func(t *db.Tx) error {
		for _, m := range all {
			if _, err := t.Exec(`INSERT INTO marks(edge, epoch, seq, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				m.edge, m.epoch, m.seq, m.at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.clear(ctx, `DELETE FROM marks WHERE lane = 'telemetry'`)
}

func (a *adoption) gaps(ctx context.Context) error {
	all, err := db.Collect(func(scan func(...any) error) (g edgeGap, err error) {
		var from, to, lost int64
		err = scan(&g.edge, &g.ID, &g.Kind, &g.Device, &from, &to, &lost, &g.Reason, &g.received)
		g.From, g.To, g.Count = db.FromMillis(from), db.FromMillis(to), uint64(lost)
		return g, err
	})(a.hub.Read(ctx).Rows(`SELECT edge, id, kind, device, from_at, to_at, count, reason, received_at FROM gaps ORDER BY received_at, id`))
	if err != nil || len(all) == 0 {
		return err
	}
	for _, g := range all {
		if _, err := a.site(ctx, g.edge); err != nil {
			return err
		}
	}
	err = a.r.d.Update(ctx, "telemetry_adopt", func(t *db.Tx) error {
		for _, g := range all {
			if err := saveGap(t, g.edge, a.sites[g.edge], g.Gap); err != nil {
				return err
			}
			if _, err := t.Exec(`UPDATE gaps SET received_at = ? WHERE edge = ? AND id = ?`, g.received, g.edge, g.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.clear(ctx, `DELETE FROM gaps`)
}

type edgeGap struct {
	edge     string
	received int64
	api.Gap
}

func (a *adoption) newest(ctx context.Context) error {
	type row struct {
		edge, device string
		at           int64
		value        sql.NullFloat64
		quality      sql.NullString
		text         string
	}
	all, err := db.Collect(func(scan func(...any) error) (v row, err error) {
		err = scan(&v.edge, &v.device, &v.at, &v.value, &v.quality, &v.text)
		return v, err
	})(a.hub.Read(ctx).Rows(`SELECT edge, name, read_at, value, quality, text FROM devices WHERE read_at IS NOT NULL`))
	if err != nil || len(all) == 0 {
		return err
	}
	for _, v := range all {
		if _, err := a.site(ctx, v.edge); err != nil {
			return err
		}
	}
	err = a.r.d.Update(ctx, "telemetry_adopt", func(t *db.Tx) error {
		now := db.Millis(t.Now())
		for _, v := range all {
			bad := 0
			if devices.Quality(v.quality.String) == devices.Bad {
				bad = 1
			}
			at := min(v.at, now)
			if _, err := t.Exec(`INSERT INTO series(edge, device, site, newest_at, newest_value, newest_bad, newest_text, newest_received)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, v.edge, v.device, a.sites[v.edge], at, v.value.Float64, bad, v.text, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.clear(ctx, `UPDATE devices SET read_at = NULL WHERE read_at IS NOT NULL`)
}

// AdoptReadings moves the readings that the hub's own database had before, the oldest edges first, and
// returns when there is none left or ctx ends. It goes on where it was stopped. Each step is followed by
// a pause of the same length.
func (r *Repository) AdoptReadings(ctx context.Context, hub *db.DB) error {
	if hub.Engine() != db.SQLite {
		return nil
	}
	a := adoption{r: r, hub: hub, sites: map[string]string{}}
	moved, reported := 0, r.d.Now()
	for {
		began := r.d.Now()
		n, err := a.readings(ctx)
		if err != nil {
			return wrap(err, "moving readings to their own database")
		}
		moved += n
		if n == 0 || r.d.Now().Sub(reported) > adoptReport {
			reported = r.d.Now()
			if moved > 0 {
				r.log.Info("moving readings to their own database", "moved", moved, "done", n == 0)
			}
		}
		if n == 0 || !retry.Sleep(ctx, max(0, r.d.Now().Sub(began))) {
			return nil
		}
	}
}

// oldReading is a row of the hub's table of readings.
type oldReading struct {
	edge string
	at   int64
	key  float64
	devices.Reading
}

// readings moves some readings of one edge and returns how many.
func (a *adoption) readings(ctx context.Context) (int, error) {
	all, err := db.Collect(func(scan func(...any) error) (v oldReading, err error) {
		err = scan(&v.edge, &v.Device, &v.at, &v.key, &v.Quality, &v.Text)
		v.Time, v.Value = db.FromMillis(v.at), v.key
		return v, err
	})(a.hub.Read(ctx).Rows(`SELECT edge, device, at, value, quality, text FROM readings ORDER BY edge, device, at, value LIMIT ?`, adoptRows))
	if err != nil || len(all) == 0 {
		return 0, err
	}
	b := Batch{Edge: all[0].edge, adopted: true}
	if b.Site, err = a.site(ctx, b.Edge); err != nil {
		return 0, err
	}
	var readings []Reading
	last := all[0]
	for _, v := range all {
		if v.edge != b.Edge {
			break
		}
		readings = append(readings, Reading{Reading: v.Reading})
		last = v
	}
	err = a.r.d.Update(ctx, "telemetry_adopt", func(t *db.Tx) error { return saveReadings(t, b, readings, &Applied{}) })
	if err != nil {
		return 0, err
	}
	err = a.hub.Update(ctx, "telemetry_adopt", func(t *db.Tx) error {
		_, err := t.Exec(`DELETE FROM readings WHERE edge = ? AND (device, at, value) <= (?, ?, ?)`, last.edge, last.Device, last.at, last.key)
		return err
	})
	return len(readings), err
}

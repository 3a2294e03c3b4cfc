package telemetry

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// maxRaw is how many readings a curve is made of at most; one of more is made of the summaries.
const maxRaw = 20_000

// Curve is a device's values over some time, as few points as a curve needs. The four lists have the same
// length. Values that the sensor itself called bad, and texts, are left out.
type Curve struct {
	At              []int64 // milliseconds since 1970: the last value's time within each step
	Mean, Low, High []float64
}

// seriesOf returns the number of a device's series, or db.ErrNotFound when it has none in the scope.
func (r *Repository) seriesOf(ctx context.Context, sc scope.Scope, edge, device string) (id int64, err error) {
	where, sites := sc.Where("site")
	err = r.d.Read(ctx).One(`SELECT id FROM series WHERE edge = ? AND device = ? AND `+where, append([]any{edge, device}, sites...)...)(&id)
	return id, err
}

// Readings returns the values of a device between two times, oldest first; none for a device that is
// not known or outside of the scope. Their unit is not set.
func (r *Repository) Readings(ctx context.Context, sc scope.Scope, edge, device string, from, to time.Time, limit int) ([]devices.Reading, error) {
	id, err := r.seriesOf(ctx, sc, edge, device)
	if errors.Is(err, db.ErrNotFound) {
		return []devices.Reading{}, nil
	}
	if err != nil {
		return nil, wrap(err, "looking for readings of %s/%s", edge, device)
	}
	all, err := db.Collect(func(scan func(...any) error) (devices.Reading, error) {
		v := devices.Reading{Device: device}
		var at, bad int64
		err := scan(&at, &v.Value, &bad, &v.Text)
		if v.Text != "" {
			v.Value = 0 // it was a checksum
		}
		v.Time, v.Quality = db.FromMillis(at), quality(bad)
		return v, err
	})(r.d.Read(ctx).Rows(`SELECT at, value, bad, text FROM readings WHERE series = ? AND at BETWEEN ? AND ? ORDER BY at, value LIMIT ?`,
		id, db.Millis(from), db.Millis(to), limit))
	return all, wrap(err, "reading values of %s/%s", edge, device)
}

// point is a step of a curve that is being made.
type point struct {
	n              int64
	sum, low, high float64
	last           int64
}

func (p *point) merge(q point) {
	switch {
	case q.n == 0:
	case p.n == 0:
		*p = q
	default:
		p.n += q.n
		p.sum += q.sum
		p.low, p.high, p.last = min(p.low, q.low), max(p.high, q.high), max(p.last, q.last)
	}
}

// Curve thins a device's values between two times out to at most so many steps of equal length, each
// with its lowest and highest value, so that no peak is lost. Steps without values are left out.
// When there are many values, the steps begin at full ten minutes and are a multiple of them long.
func (r *Repository) Curve(ctx context.Context, sc scope.Scope, edge, device string, from, to time.Time, points int) (Curve, error) {
	id, err := r.seriesOf(ctx, sc, edge, device)
	if errors.Is(err, db.ErrNotFound) {
		return makeCurve(nil), nil
	}
	var steps map[int64]*point
	if err == nil {
		steps, err = r.steps(ctx, id, max(0, db.Millis(from)), max(0, db.Millis(to)), int64(points))
	}
	if err != nil {
		return Curve{}, wrap(err, "reading the curve of %s/%s", edge, device)
	}
	return makeCurve(steps), nil
}

func makeCurve(steps map[int64]*point) Curve {
	out := Curve{At: []int64{}, Mean: []float64{}, Low: []float64{}, High: []float64{}}
	for _, k := range slices.Sorted(maps.Keys(steps)) {
		p := steps[k]
		if p.n == 0 {
			continue
		}
		out.At = append(out.At, p.last)
		out.Mean = append(out.Mean, min(max(p.sum/float64(p.n), p.low), p.high)) // rounding may have left the range
		out.Low, out.High = append(out.Low, p.low), append(out.High, p.high)
	}
	return out
}

func (r *Repository) steps(ctx context.Context, id, from, to, points int64) (map[int64]*point, error) {
	first, last := from/bucketMillis, to/bucketMillis
	var stored int64
	err := r.d.Read(ctx).One(`SELECT coalesce(CAST(sum(stored) AS BIGINT), 0) FROM summaries WHERE series = ? AND bucket BETWEEN ? AND ?`,
		id, first, last)(&stored)
	if err != nil {
		return nil, err
	}
	if stored <= r.rawLimit || last-first < 2 {
		return r.rawSteps(ctx, id, from, to, from, (to-from)/points+1)
	}
	// The first and the last bucket may be cut off: they are read from the readings themselves.
	multiple := (last-first)/points + 1
	out, err := r.bucketSteps(ctx, id, first, first+1, last, multiple)
	if err != nil {
		return nil, err
	}
	for _, part := range [][2]int64{{from, (first+1)*bucketMillis - 1}, {last * bucketMillis, to}} {
		some, err := r.rawSteps(ctx, id, part[0], part[1], first*bucketMillis, multiple*bucketMillis)
		if err != nil {
			return nil, err
		}
		for k, p := range some {
			if out[k] == nil {
				out[k] = &point{}
			}
			out[k].merge(*p)
		}
	}
	return out, nil
}

// rawSteps makes steps of the readings between two times, numbered from origin.
func (r *Repository) rawSteps(ctx context.Context, id, from, to, origin, step int64) (map[int64]*point, error) {
	return collectSteps(r.d.Read(ctx).Rows(`SELECT (at - ?1) / ?2, count(*), sum(value), min(value), max(value), max(at) FROM readings
		WHERE series = ?3 AND at BETWEEN ?4 AND ?5 AND bad = 0 AND text = '' GROUP BY 1`, origin, step, id, from, to))
}

// bucketSteps makes steps of the summaries from one bucket up to another one, which is not included.
func (r *Repository) bucketSteps(ctx context.Context, id, origin, first, end, multiple int64) (map[int64]*point, error) {
	return collectSteps(r.d.Read(ctx).Rows(`SELECT (bucket - ?1) / ?2, CAST(sum(n) AS BIGINT), sum(sum), min(low), max(high), max(last_at) FROM summaries
		WHERE series = ?3 AND bucket >= ?4 AND bucket < ?5 AND n > 0 GROUP BY 1`, origin, multiple, id, first, end))
}

func collectSteps(rows *sql.Rows, err error) (map[int64]*point, error) {
	type numbered struct {
		k int64
		point
	}
	all, err := db.Collect(func(scan func(...any) error) (p numbered, err error) {
		err = scan(&p.k, &p.n, &p.sum, &p.low, &p.high, &p.last)
		return p, err
	})(rows, err)
	out := make(map[int64]*point, len(all))
	for _, p := range all {
		out[p.k] = &p.point
	}
	return out, err
}

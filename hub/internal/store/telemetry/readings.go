package telemetry

import (
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
)

const (
	// maxSeries bounds the devices that are stored of one edge.
	maxSeries = 10_000

	// inList is how many devices one query asks for.
	inList = 64

	// maxAhead is how far in the hub's future a reading may be stored: clocks differ a little.
	maxAhead = 5 * time.Minute

	// maxJitter is how much the correction of an edge's times may differ from the last one without
	// counting as another. A correction is measured anew each time that a reading is sent, and a
	// reading that is sent twice must get the same time twice.
	maxJitter = 10_000 // milliseconds

	// maxValue bounds the values that are summarized; a larger one counts as bad. No sum of them
	// overflows, which PostgreSQL takes for an error.
	maxValue = 1e200
)

// series is a row of the table series.
type series struct {
	id     int64
	device string
	shift  int64
	newest sql.NullInt64 // its time

	value    float64
	bad      int64
	text     string
	received int64

	added   int64 // rows stored now
	changed bool
}

// saveReadings stores readings, each once however often it is sent.
func saveReadings(t *db.Tx, b Batch, readings []Reading, out *Applied) error {
	if len(readings) == 0 {
		return nil
	}
	byName, err := openSeries(t, b, readings)
	if err != nil {
		return err
	}
	now := db.Millis(t.Now())
	byID := make(map[int64]*series, len(byName))
	rows := make([][]any, 0, len(readings))
	for _, r := range readings {
		s, ok := byName[r.Device]
		if !ok {
			out.Dropped++
			continue
		}
		byID[s.id] = s
		bad := int64(0)
		if r.Quality == devices.Bad || !(math.Abs(r.Value) <= maxValue) {
			bad = 1
		}
		r.Text = strings.ReplaceAll(r.Text, "\x00", "\uFFFD") // PostgreSQL stores no NUL
		rows = append(rows, []any{s.id, s.time(r, now), r.Key(), bad, r.Text})
	}
	sums := summaries{}
	err = insert(t, `INSERT INTO readings(series, at, value, bad, text)`, `ON CONFLICT DO NOTHING RETURNING series, at, value, bad, text`, rows,
		func(scan func(...any) error) error {
			var v stored
			if err := scan(&v.series, &v.at, &v.value, &v.bad, &v.text); err != nil {
				return err
			}
			sums.add(v)
			byID[v.series].add(v, now)
			out.Stored++
			return nil
		})
	if err != nil {
		return wrap(err, "storing readings")
	}
	received := now
	if b.adopted {
		received = 0
	}
	if err := sums.save(t, received); err != nil {
		return err
	}
	return saveSeries(t, b, byName)
}

// stored is a row of the table readings.
type stored struct {
	series, at int64
	value      float64
	bad        int64
	text       string
}

// time returns the time under which a reading is stored. It is the same for a reading that is sent
// again, unless the edge's clock has been set in between.
func (s *series) time(r Reading, now int64) int64 {
	at := db.Millis(r.Time)
	shift := int64(0)
	if !r.At.IsZero() {
		shift = db.Millis(r.At) - at
	}
	switch {
	case abs(shift-s.shift) <= maxJitter:
		shift = s.shift
	case abs(shift) <= maxJitter:
		shift = 0
	}
	if s.shift != shift {
		s.shift, s.changed = shift, true
	}
	if at += shift; at > now+maxAhead.Milliseconds() {
		return now
	}
	return max(at, 0)
}

func abs(n int64) int64 { return max(n, -n) }

// add makes a stored reading the newest one if it is. A reading is never newer than its receipt, so that
// one from a clock that is ahead is replaced by the next one. What is stored as the newest may itself
// be in the future when the hub's own clock has been set back.
func (s *series) add(v stored, now int64) {
	s.added++
	s.changed = true
	at := min(v.at, now)
	if s.newest.Valid && at < s.newest.Int64 && s.newest.Int64 <= now+maxAhead.Milliseconds() {
		return
	}
	s.newest = sql.NullInt64{Int64: at, Valid: true}
	s.value, s.bad, s.text, s.received = v.value, v.bad, v.text, now
	if v.text != "" {
		s.value = 0
	}
}

const seriesColumns = `id, device, shift, newest_at, newest_value, newest_bad, newest_text, newest_received`

func scanSeries(scan func(...any) error) (*series, error) {
	s := &series{}
	err := scan(&s.id, &s.device, &s.shift, &s.newest, &s.value, &s.bad, &s.text, &s.received)
	return s, err
}

// openSeries returns the series of the devices of readings, locked; it makes those that are missing.
func openSeries(t *db.Tx, b Batch, readings []Reading) (map[string]*series, error) {
	var names []string
	seen := map[string]bool{}
	for _, r := range readings {
		if !seen[r.Device] {
			seen[r.Device] = true
			names = append(names, r.Device)
		}
	}
	slices.Sort(names) // everybody locks in the same order
	all := make(map[string]*series, len(names))
	for part := range slices.Chunk(names, inList) {
		args := []any{b.Edge}
		for _, name := range padded(part) {
			args = append(args, name)
		}
		list := "?" + strings.Repeat(", ?", len(args)-2)
		found, err := db.Collect(scanSeries)(t.Rows(`SELECT `+seriesColumns+` FROM series
			WHERE edge = ? AND device IN (`+list+`) ORDER BY device`+t.ForUpdate(), args...))
		if err != nil {
			return nil, wrap(err, "reading series")
		}
		for _, s := range found {
			all[s.device] = s
		}
	}
	if len(all) == len(names) {
		return all, nil
	}
	return all, makeSeries(t, b, names, all)
}

func makeSeries(t *db.Tx, b Batch, names []string, all map[string]*series) error {
	var have int
	if err := t.One(`SELECT count(*) FROM series WHERE edge = ?`, b.Edge)(&have); err != nil {
		return wrap(err, "counting series")
	}
	var rows [][]any
	for _, name := range names {
		if all[name] != nil {
			continue
		}
		if have++; have > maxSeries {
			break // the caller counts the readings that it drops
		}
		rows = append(rows, []any{b.Edge, name, site(b)})
	}
	err := insert(t, `INSERT INTO series(edge, device, site)`, `ON CONFLICT(edge, device) DO UPDATE SET site = excluded.site RETURNING `+seriesColumns, rows,
		func(scan func(...any) error) error {
			s, err := scanSeries(scan)
			if err == nil {
				all[s.device] = s
			}
			return err
		})
	return wrap(err, "making series")
}

func saveSeries(t *db.Tx, b Batch, all map[string]*series) error {
	var rows [][]any
	for _, s := range all {
		if s.changed {
			rows = append(rows, []any{b.Edge, s.device, site(b), s.added, s.shift, s.newest, s.value, s.bad, s.text, s.received})
		}
	}
	slices.SortFunc(rows, func(a, b []any) int { return strings.Compare(a[1].(string), b[1].(string)) })
	err := insert(t, `INSERT INTO series(edge, device, site, stored, shift, newest_at, newest_value, newest_bad, newest_text, newest_received)`,
		`ON CONFLICT(edge, device) DO UPDATE SET site = excluded.site, stored = series.stored + excluded.stored, shift = excluded.shift,
			newest_at = excluded.newest_at, newest_value = excluded.newest_value, newest_bad = excluded.newest_bad,
			newest_text = excluded.newest_text, newest_received = excluded.newest_received`, rows, nil)
	return wrap(err, "saving series")
}

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

// Readings are stored once and sent from where they are: an event is made of the rows when it is
// sent. Its number is that of its last row, so that whatever the hub confirms, and however the
// rows were packed, the confirmation means all rows up to that number. Gaps take numbers of the
// same sequence.
//
// The last number that the hub has is kept in memory and written along with other things; when
// the newest writing is lost, readings are sent again, and the hub knows them.

// SaveReadings saves a batch of readings in one transaction. A reading whose device, time and
// value or text are known is not stored again. When telemetry.db has reached its bound, the oldest
// readings make room; those that the hub does not have become a gap.
func (s *Store) SaveReadings(ctx context.Context, batch []devices.Reading) error {
	if len(batch) == 0 {
		return nil
	}
	save := func(t *tx) error { return s.saveReadings(t, batch) }
	err := s.telemetry.write(ctx, save)
	if full(s.o.Dir, err) {
		// The disk is full. What the hub has makes room within the file; nothing else is dropped.
		if trimErr := s.telemetry.free(ctx, func(t *tx) error { return s.trimSent(t, len(batch)) }); trimErr != nil {
			return s.wrap("saving readings", errors.Join(err, trimErr))
		}
		err = s.telemetry.write(ctx, save)
	}
	return s.wrap("saving readings", err)
}

func (s *Store) saveReadings(t *tx, batch []devices.Reading) error {
	if err := s.boundReadings(t, len(batch)); err != nil {
		return err
	}
	rows := make([]any, 0, rowsPerInsert*readingColumns)
	for i, r := range batch {
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			// JSON has no such number; the decoders refuse them.
			if err := s.reportReadingGap(t, api.Gap{Kind: api.GapReadings, Device: r.Device, From: r.Time, To: r.Time, Count: 1, Reason: reasonInvalid}); err != nil {
				return err
			}
		} else {
			rows = append(rows, t.queue.number(), r.Device, r.Time.UnixMilli(), r.Key(), r.Unit, string(r.Quality), r.Text)
		}
		if len(rows) == cap(rows) || i == len(batch)-1 {
			if err := insertReadings(t, rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return s.saveSent(t)
}

// Many rows in one statement are twice as fast as one by one.
const (
	rowsPerInsert  = 50
	readingColumns = 7
	insertReading  = `INSERT INTO readings (id, device, at, value, unit, quality, text) VALUES `
	onReading      = ` ON CONFLICT DO NOTHING`
)

// insertReadings inserts rows that are not there yet: rowsPerInsert of them at once, or what is
// left one by one, so that there are two statements to prepare.
func insertReadings(t *tx, values []any) error {
	step, query := readingColumns, insertReading+`(?, ?, ?, ?, ?, ?, ?)`+onReading
	if len(values) == rowsPerInsert*readingColumns {
		step, query = len(values), insertReading+strings.Repeat(`(?, ?, ?, ?, ?, ?, ?), `, rowsPerInsert-1)+`(?, ?, ?, ?, ?, ?, ?)`+onReading
	}
	for ; len(values) > 0; values = values[step:] {
		n, err := t.exec(query, values[:step]...)
		if err != nil {
			return err
		}
		t.queue.count += uint64(n)
	}
	return nil
}

// saveSent writes down what the hub has.
func (s *Store) saveSent(t *tx) error {
	_, err := t.exec(`INSERT INTO marks (key, value) VALUES ('sent', ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE excluded.value > marks.value`, t.queue.sent)
	return err
}

// boundReadings makes room for n readings when the file has reached its bound.
func (s *Store) boundReadings(t *tx, n int) error {
	for range 1000 { // each round removes more than the batch needs
		used, err := usedBytes(t)
		if err != nil || used+int64(n)*readingBytes <= s.o.TelemetryBytes {
			return err
		}
		if err := s.trim(t, max(2*n, 2000), math.MaxInt64); err != nil {
			return err
		}
	}
	return nil
}

// readingBytes is about what a reading takes in the file, with its index.
const readingBytes = 96

func usedBytes(t *tx) (int64, error) {
	var pages, unused int64
	if err := t.queryRow("PRAGMA page_count", nil, &pages); err != nil {
		return 0, err
	}
	err := t.queryRow("PRAGMA freelist_count", nil, &unused)
	return (pages - unused) * pageSize, err
}

func (s *Store) trimSent(t *tx, n int) error {
	return s.trim(t, max(2*n, 2000), int64(t.queue.sent))
}

// trim removes the n oldest readings up to a number. Those that the hub does not have become a gap.
func (s *Store) trim(t *tx, n int, upTo int64) error {
	var last int64
	err := t.queryRow(`SELECT coalesce(max(id), 0) FROM (SELECT id FROM readings WHERE id <= ? ORDER BY id LIMIT ?)`, []any{upTo, n}, &last)
	if err != nil || last == 0 {
		return err
	}
	return s.removeReadings(t, `id <= ?1`, reasonFull, last)
}

// removeReadings deletes the readings that a condition selects; its parameters are numbered. Those
// that the hub does not have are reported as gaps, one for each device.
func (s *Store) removeReadings(t *tx, condition, reason string, args ...any) error {
	var lost []api.Gap
	unsent := fmt.Sprintf(`SELECT device, count(*), min(at), max(at) FROM readings WHERE id > ?%d AND (%s) GROUP BY device`, len(args)+1, condition)
	err := t.query(unsent, append(args[:len(args):len(args)], t.queue.sent),
		func(scan func(...any) error) error {
			var from, to int64
			g := api.Gap{Kind: api.GapReadings, Reason: reason}
			if err := scan(&g.Device, &g.Count, &from, &to); err != nil {
				return err
			}
			g.From, g.To = fromMillis(from), fromMillis(to)
			lost = append(lost, g)
			return nil
		})
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM readings WHERE `+condition, args...); err != nil {
		return err
	}
	for _, g := range lost {
		t.queue.count -= min(g.Count, t.queue.count)
		if err := s.reportReadingGap(t, g); err != nil {
			return err
		}
	}
	return nil
}

// readingsPerEvent bounds the readings that travel as one event.
const readingsPerEvent = 200

// span is the rows of an event that was read for sending.
type span struct{ first, last uint64 }

// Telemetry returns the oldest readings and gaps that the hub does not have, as at most limit
// events and at most maxBytes of data, but always one if there is one. The numbers are valid as
// long as the store is open. Only one goroutine may send telemetry.
func (s *Store) Telemetry(ctx context.Context, limit, maxBytes int) ([]api.Event, error) {
	s.telemetryOffered.Store(s.telemetry.known().next - 1)
	var out []api.Event
	var spans map[uint64]span
	err := s.telemetry.read(ctx, func(q querier) error {
		p := packer{limit: limit, maxBytes: maxBytes, clock: s.machine.now().clock, spans: map[uint64]span{}}
		sent := s.telemetry.known().sent
		if err := p.loadGaps(ctx, q, sent); err != nil {
			return err
		}
		if err := p.loadReadings(ctx, q, sent); err != nil {
			return err
		}
		out, spans = p.events, p.spans
		return nil
	})
	if err != nil {
		return nil, s.wrap("reading telemetry", err)
	}
	s.mu.Lock()
	s.spans = spans
	s.mu.Unlock()
	return out, nil
}

// TelemetryDelivered notes that the hub has everything of the telemetry lane up to committed.
func (s *Store) TelemetryDelivered(ctx context.Context, committed uint64) error {
	committed = min(committed, s.telemetryOffered.Load())
	err := s.telemetry.free(ctx, func(t *tx) error {
		if committed <= t.queue.sent {
			return nil
		}
		before := t.queue.sent
		if err := forgetSent(t, committed); err != nil {
			return err
		}
		if n, err := t.exec(`DELETE FROM gaps WHERE seq > ? AND seq <= ?`, before, committed); err != nil || n == 0 {
			return err // the mark is written with the next readings, or when the store is closed
		}
		return s.saveSent(t)
	})
	if full(s.o.Dir, err) { // nothing is written: gaps may be sent again after a restart
		err = s.telemetry.write(ctx, func(t *tx) error { return forgetSent(t, committed) })
	}
	return s.wrap("noting delivered telemetry", err)
}

// forgetSent moves the mark of what the hub has, in memory.
func forgetSent(t *tx, committed uint64) error {
	if committed <= t.queue.sent {
		return nil
	}
	var n uint64
	if err := t.queryRow(`SELECT count(*) FROM readings WHERE id > ? AND id <= ?`, []any{t.queue.sent, committed}, &n); err != nil {
		return err
	}
	n += t.queue.delivered(committed)
	t.queue.count -= min(n, t.queue.count)
	t.queue.sent = committed
	return nil
}

// dropTelemetry removes one event that Telemetry returned last: its readings become a gap. A gap
// is only removed.
func (s *Store) dropTelemetry(ctx context.Context, seq uint64) error {
	s.mu.Lock()
	rows, ok := s.spans[seq]
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("dropping an event: number %d of the telemetry lane was not sent", seq)
	}
	return s.wrap("dropping an event", s.telemetry.free(ctx, func(t *tx) error {
		n, err := t.exec(`DELETE FROM gaps WHERE seq = ?`, seq)
		if err != nil {
			return err
		}
		if n > 0 {
			t.queue.forget(seq)
			t.queue.count -= min(1, t.queue.count)
			return nil
		}
		return s.removeReadings(t, `id BETWEEN ?1 AND ?2`, reasonRefused, rows.first, rows.last)
	}))
}

// packer makes events of rows.
type packer struct {
	limit, maxBytes int
	clock           api.ClockGrade
	gaps            []gapRow // that wait, by number
	size            int
	events          []api.Event
	spans           map[uint64]span

	// The event that is being filled.
	readings    []devices.Reading
	first, last uint64
}

func (p *packer) loadGaps(ctx context.Context, q querier, sent uint64) error {
	rows, err := q.QueryContext(ctx, `SELECT seq, id, device, reason, first, last, count FROM gaps WHERE seq > ? ORDER BY seq LIMIT ?`, sent, p.limit)
	if err != nil {
		return err
	}
	return eachRow(rows, func(scan func(...any) error) error {
		row, err := scanGap(scan)
		p.gaps = append(p.gaps, row)
		return err
	})
}

func scanGap(scan func(...any) error) (gapRow, error) {
	row := gapRow{gap: api.Gap{Kind: api.GapReadings}}
	var from, to int64
	err := scan(&row.seq, &row.gap.ID, &row.gap.Device, &row.gap.Reason, &from, &to, &row.gap.Count)
	row.gap.From, row.gap.To = fromMillis(from), fromMillis(to)
	return row, err
}

func (p *packer) loadReadings(ctx context.Context, q querier, sent uint64) error {
	rows, err := q.QueryContext(ctx, `SELECT id, device, at, value, unit, quality, text FROM readings WHERE id > ? ORDER BY id LIMIT ?`, sent, p.limit*readingsPerEvent)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for !p.full() && rows.Next() {
		var r devices.Reading
		var id uint64
		var at int64
		if err := rows.Scan(&id, &r.Device, &at, &r.Value, &r.Unit, &r.Quality, &r.Text); err != nil {
			return err
		}
		if r.Text != "" {
			r.Value = 0
		}
		r.Time = fromMillis(at)
		if err := p.before(id); err != nil {
			return err
		}
		if len(p.readings) == 0 {
			p.first = id
		}
		p.readings, p.last = append(p.readings, r), id
		if len(p.readings) == readingsPerEvent {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return p.before(math.MaxUint64)
}

// before ends the event that is being filled, and appends the gaps whose place is before a
// number; without gaps it does nothing but at the end.
func (p *packer) before(id uint64) error {
	if id == math.MaxUint64 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	for len(p.gaps) > 0 && p.gaps[0].seq < id {
		if err := p.flush(); err != nil {
			return err
		}
		row := p.gaps[0]
		p.gaps = p.gaps[1:]
		data, err := json.Marshal(row.gap)
		if err != nil {
			return err
		}
		p.add(api.KindGap, span{row.seq, row.seq}, row.gap.To, data)
	}
	return nil
}

func (p *packer) flush() error {
	if len(p.readings) == 0 {
		return nil
	}
	data, err := json.Marshal(p.readings)
	if err != nil {
		return fmt.Errorf("encoding readings: %w", err)
	}
	p.add(api.KindReadings, span{p.first, p.last}, p.readings[len(p.readings)-1].Time, data)
	p.readings = p.readings[:0]
	return nil
}

// add appends an event, unless the request has no room for it.
func (p *packer) add(kind api.Kind, rows span, at time.Time, data []byte) {
	if p.full() {
		return
	}
	if p.size += len(data) + eventOverhead; p.size > p.maxBytes && len(p.events) > 0 {
		return
	}
	p.events = append(p.events, api.Event{Lane: api.LaneTelemetry, Seq: rows.last, Kind: kind, Time: at, Clock: p.clock, Data: data})
	p.spans[rows.last] = rows
}

func (p *packer) full() bool {
	return len(p.events) >= p.limit || p.size >= p.maxBytes && len(p.events) > 0
}

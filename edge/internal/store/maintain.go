package store

import (
	"context"
	"errors"
	"time"

	"gridpost/hub/api"
)

// How long readings are kept on the edge, and how densely.
const (
	keepDense = 24 * time.Hour      // every reading
	keepThin  = 30 * 24 * time.Hour // one a minute and device
	thinStep  = time.Hour           // a transaction's worth of thinning
)

// Maintain does what keeps the store healthy and bounded: it checks the files for damage, once
// after the start and then once a day; takes the disk reserve again; thins readings older than a
// day; removes what is older than 30 days; and announces evidence that has no row. Call it about
// every hour, from one goroutine. What fails does not keep the rest from being done.
//
// Age is judged by the machine's clock. While that is not synchronized, only what the hub has is
// removed by age: a clock that is wrong by decades must not delete what waits.
func (s *Store) Maintain(ctx context.Context) error {
	now := s.o.Now()
	trusted := s.machine.now().clock == api.ClockSynchronized
	old := now.Add(-keepIncidents)
	return errors.Join(
		s.reserve.Acquire(),
		s.checkFiles(ctx, now),
		s.enqueueOpen(ctx),
		s.expireReadings(ctx, now.Add(-keepThin), trusted),
		s.thinReadings(ctx, now.Add(-keepDense), trusted),
		s.adoptOrphans(ctx),
		s.expireEvidence(ctx, old, trusted),
		s.expireClips(ctx, now),
		s.expireIncidents(ctx, old),
		s.boundIncidents(ctx),
	)
}

// checkEvery is how often the whole structure of the files is checked.
const checkEvery = 24 * time.Hour

// checkFiles looks for damage that no statement has met yet. Finding some starts the repair.
func (s *Store) checkFiles(ctx context.Context, now time.Time) error {
	if age := now.Sub(s.checked); !s.checked.IsZero() && age >= 0 && age < checkEvery {
		return nil
	}
	for _, f := range []*file{s.incidents, s.telemetry} {
		if err := f.read(ctx, func(q querier) error { return quickCheck(ctx, q) }); err != nil {
			return s.wrap("checking "+f.name, err)
		}
	}
	s.checked = now
	return nil
}

// expireReadings removes readings taken before a time.
func (s *Store) expireReadings(ctx context.Context, before time.Time, waiting bool) error {
	devices, err := s.readingDevices(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		for {
			var n int64
			err := s.telemetry.free(ctx, func(t *tx) error {
				upTo := t.queue.sent
				if waiting {
					upTo = 1 << 62
				}
				var last *int64
				if err := t.queryRow(`SELECT count(*), max(at) FROM (SELECT at FROM readings WHERE device = ? AND at < ? AND id <= ? ORDER BY at LIMIT 5000)`,
					[]any{d, before.UnixMilli(), upTo}, &n, &last); err != nil || n == 0 {
					return err
				}
				return s.removeReadings(t, `device = ?1 AND at <= ?2 AND id <= ?3`, reasonExpired, d, *last, upTo)
			})
			if err != nil {
				return s.wrap("removing old readings", err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// readingDevices returns the devices that have readings, by skipping from one to the next in the
// index.
func (s *Store) readingDevices(ctx context.Context) ([]string, error) {
	var out []string
	err := s.telemetry.rows(ctx, `WITH RECURSIVE d (device) AS (SELECT min(device) FROM readings
		UNION ALL SELECT (SELECT min(device) FROM readings WHERE device > d.device) FROM d WHERE d.device IS NOT NULL)
		SELECT device FROM d WHERE device IS NOT NULL`, nil, func() { out = nil },
		func(scan func(...any) error) error {
			var d string
			err := scan(&d)
			out = append(out, d)
			return err
		})
	return out, s.wrap("listing devices with readings", err)
}

// thinReadings reduces the readings taken before a time to the last one of each minute and device.
func (s *Store) thinReadings(ctx context.Context, before time.Time, waiting bool) error {
	devices, err := s.readingDevices(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		for more := true; more; {
			err := s.telemetry.free(ctx, func(t *tx) (err error) {
				more, err = s.thinHour(t, d, before.UnixMilli(), waiting)
				return err
			})
			if err != nil {
				return s.wrap("thinning readings", err)
			}
		}
	}
	return nil
}

// thinHour thins an hour of a device's readings, from where the last time ended. more is false
// when nothing is left to thin.
func (s *Store) thinHour(t *tx, device string, end int64, waiting bool) (more bool, err error) {
	var from *int64
	err = t.queryRow(`SELECT min(at) FROM readings WHERE device = ?1 AND at < ?2
		AND at >= coalesce((SELECT until FROM thinned WHERE device = ?1), -9223372036854775808)`, []any{device, end}, &from)
	if err != nil || from == nil {
		return false, err
	}
	to := min(*from-*from%60000+thinStep.Milliseconds(), end)
	upTo := t.queue.sent
	if waiting {
		upTo = 1 << 62
	}
	err = s.removeReadings(t, `device = ?1 AND at >= ?2 AND at < ?3 AND id <= ?4 AND id NOT IN
		(SELECT max(id) FROM readings WHERE device = ?1 AND at >= ?2 AND at < ?3 GROUP BY at / 60000)`, reasonThinned, device, *from, to, upTo)
	if err != nil {
		return false, err
	}
	_, err = t.exec(`INSERT INTO thinned (device, until) VALUES (?, ?) ON CONFLICT (device) DO UPDATE SET until = excluded.until`, device, to)
	return true, err
}

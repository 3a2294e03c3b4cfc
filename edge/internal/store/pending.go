package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// incidents3 adds conditions of rules that hold and have not opened an incident
// yet. A device has as many rows as rules at most.
const incidents3 = `
CREATE TABLE pending (
	device  TEXT NOT NULL,
	rule    TEXT NOT NULL,
	at      INTEGER NOT NULL, -- when it was saved
	boot    TEXT NOT NULL,    -- boot ID of the machine then; '' when not known
	boot_ms INTEGER NOT NULL, -- milliseconds since that boot
	clock   TEXT NOT NULL,    -- grade of the clock then
	data    TEXT NOT NULL,    -- detection.Pending
	PRIMARY KEY (device, rule)
) STRICT, WITHOUT ROWID;
`

// SavePending replaces what is pending of a device. It is on the disk when it returns nil.
func (s *Store) SavePending(ctx context.Context, device string, all []detection.Pending) error {
	encoded := make([]string, len(all))
	for i, p := range all {
		data, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("saving what is pending of %s: %w", device, err)
		}
		encoded[i] = string(data)
	}
	at, now := s.o.Now().UnixMilli(), s.machine.now()
	err := s.incidents.write(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM pending WHERE device = ?`, device); err != nil {
			return err
		}
		for i, p := range all {
			_, err := t.exec(`INSERT INTO pending (device, rule, at, boot, boot_ms, clock, data) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				device, p.Rule, at, now.boot, now.bootMS, string(now.clock), encoded[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return s.wrap("saving what is pending", err)
}

// Pending returns what is pending, by device. The time since it was saved counts as time that the
// condition has held, as far as it is known: by the machine's monotonic clock if it has not been
// restarted, else by its wall clock if that was synchronized then and is now. A row that cannot be read
// is left out.
func (s *Store) Pending(ctx context.Context) (map[string][]detection.Pending, error) {
	var all map[string][]detection.Pending
	at, now := s.o.Now(), s.machine.now()
	err := s.incidents.rows(ctx, `SELECT device, rule, at, boot, boot_ms, clock, data FROM pending ORDER BY device, rule`, nil,
		func() { all = map[string][]detection.Pending{} },
		func(scan func(...any) error) error {
			var device, rule, data string
			var saved int64
			var then moment
			if err := scan(&device, &rule, &saved, &then.boot, &then.bootMS, &then.clock, &data); err != nil {
				return err
			}
			var p detection.Pending
			if err := json.Unmarshal([]byte(data), &p); err != nil || p.Device != device || p.Rule != rule {
				s.o.Logger.Error("what was pending could not be read", "device", device, "rule", rule, "error", err)
				return nil
			}
			p.Held += passed(now, at, then, fromMillis(saved))
			all[device] = append(all[device], p)
			return nil
		})
	return all, s.wrap("reading what is pending", err)
}

// passed returns how much time has certainly passed between two moments, each with its wall time.
func passed(now moment, at time.Time, then moment, saved time.Time) time.Duration {
	if ms := now.age(then); ms != nil {
		return time.Duration(*ms) * time.Millisecond
	}
	if now.clock != api.ClockSynchronized || then.clock != api.ClockSynchronized {
		return 0
	}
	return max(0, at.Sub(saved))
}

// newestReading skips readings that no rule judges: texts, and those of bad quality. It reads 100 rows at
// most.
const newestReading = `SELECT at, value, unit FROM (SELECT at, value, unit, quality, text FROM readings WHERE device = ? AND at <= ? ORDER BY at DESC LIMIT 100)
	WHERE quality = 'good' AND text = '' ORDER BY at DESC LIMIT 1`

// maxBehind is how far the machine's clock may be behind that of the last readings: without a battery, it
// goes on at the start from where it was saved last, which happens every hour.
const maxBehind = time.Hour + time.Minute

// NewestReading returns the newest reading of a device that rules judge, by the readings' times, or nil
// if there is none. Readings of the future, which a clock has left that was ahead when they arrived, are
// passed over where there are others.
func (s *Store) NewestReading(ctx context.Context, device string) (*devices.Reading, error) {
	newest, err := s.newestReading(ctx, device, s.o.Now().Add(maxBehind).UnixMilli())
	if newest == nil && err == nil {
		newest, err = s.newestReading(ctx, device, math.MaxInt64)
	}
	return newest, s.wrap("reading the newest reading", err)
}

func (s *Store) newestReading(ctx context.Context, device string, upTo int64) (newest *devices.Reading, err error) {
	err = s.telemetry.rows(ctx, newestReading, []any{device, upTo}, func() { newest = nil }, func(scan func(...any) error) error {
		r := devices.Reading{Device: device, Quality: devices.Good}
		var at int64
		if err := scan(&at, &r.Value, &r.Unit); err != nil {
			return err
		}
		r.Time = fromMillis(at)
		newest = &r
		return nil
	})
	return newest, err
}

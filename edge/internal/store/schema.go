package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"gridpost/devices"
)

// Times are integer milliseconds since 1970, UTC. data is the JSON that goes to the hub.

// incidentMigrations are those of incidents.db.
func incidentMigrations() []migration {
	return []migration{statements(incidents1), statements(incidents2), statements(incidents3), statements(incidents4), statements(incidents5)}
}

// telemetryMigrations are those of telemetry.db.
func telemetryMigrations() []migration {
	return []migration{statements(telemetry1), migrateTelemetry2, statements(telemetry3)}
}

// incidents1 is the schema that had no version yet.
const incidents1 = `
CREATE TABLE IF NOT EXISTS meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS incidents (
	id      TEXT PRIMARY KEY,
	device  TEXT NOT NULL,
	state   TEXT NOT NULL,
	version INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	data    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incidents_by_state ON incidents (state, updated);

-- seq of the last row of each lane; numbers are never used twice, also not after a deletion.
CREATE TABLE IF NOT EXISTS lanes (
	lane TEXT PRIMARY KEY,
	seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A row with a key makes way for the next one of the same lane and key, if it is still there.
CREATE TABLE IF NOT EXISTS outbox (
	lane TEXT NOT NULL,
	seq  INTEGER NOT NULL,
	kind TEXT NOT NULL,
	key  TEXT NOT NULL,
	at   INTEGER NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outbox_by_key ON outbox (lane, key) WHERE key != '';

CREATE TABLE IF NOT EXISTS evidence (
	incident TEXT NOT NULL,
	name     TEXT NOT NULL,
	size     INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	seq      INTEGER NOT NULL, -- of the announcement in the alerts lane
	uploaded INTEGER NOT NULL DEFAULT 0,
	data     TEXT NOT NULL,
	PRIMARY KEY (incident, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS evidence_by_time ON evidence (uploaded, at);
`

// incidents2 drops the stored numbering: an epoch is one run of the program. State is no longer
// stored. The outbox holds alerts alone, and when each was enqueued by the monotonic clock.
const incidents2 = `
DROP TABLE meta;
DROP TABLE lanes;
DROP TABLE IF EXISTS held;
DROP INDEX outbox_by_key;
ALTER TABLE outbox RENAME TO outbox_1;

CREATE TABLE outbox (
	seq      INTEGER PRIMARY KEY,
	kind     TEXT NOT NULL,
	incident TEXT NOT NULL,    -- ID of the incident that it belongs to; '' for gaps
	middle   INTEGER NOT NULL, -- 1: neither opens nor closes the incident; a newer alert replaces it
	at       INTEGER NOT NULL,
	boot     TEXT NOT NULL,    -- boot ID of the machine when it was enqueued; '' when not known
	boot_ms  INTEGER NOT NULL, -- milliseconds since that boot
	clock    TEXT NOT NULL,    -- grade of the clock when it was enqueued
	data     TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_by_incident ON outbox (incident, middle);
CREATE INDEX outbox_gaps ON outbox (seq) WHERE kind = 'gap';

INSERT INTO outbox
	SELECT seq, kind, coalesce(CASE WHEN NOT json_valid(data) THEN '' WHEN kind = 'incident' THEN json_extract(data, '$.id')
		ELSE json_extract(data, '$.incident') END, ''), key != '', at, '', 0, '', data
	FROM outbox_1 WHERE lane = 'alerts';
DROP TABLE outbox_1;

-- Events whose kind the hub does not know yet; seq is their number in the outbox.
CREATE TABLE held (
	seq      INTEGER PRIMARY KEY,
	kind     TEXT NOT NULL,
	incident TEXT NOT NULL,
	middle   INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	boot     TEXT NOT NULL,
	boot_ms  INTEGER NOT NULL,
	clock    TEXT NOT NULL,
	data     TEXT NOT NULL
) STRICT;
CREATE INDEX held_by_incident ON held (incident);

-- Rows that could not be used, for a person to look at.
CREATE TABLE set_aside (
	id     INTEGER PRIMARY KEY,
	source TEXT NOT NULL, -- the table
	key    TEXT NOT NULL,
	reason TEXT NOT NULL,
	at     INTEGER NOT NULL, -- when it was set aside
	data   TEXT NOT NULL
) STRICT;

-- evidence.seq is the number of the announcement in the outbox; 0: it was not announced.
DROP INDEX evidence_by_time;
CREATE INDEX evidence_by_time ON evidence (at);
CREATE INDEX evidence_waiting ON evidence (seq) WHERE uploaded = 0;
`

// incidents5 marks clips, which have bounds of their own.
const incidents5 = `
ALTER TABLE evidence ADD COLUMN clip INTEGER NOT NULL DEFAULT 0;
CREATE INDEX evidence_clips ON evidence (clip, at);
DROP INDEX evidence_waiting;
CREATE INDEX evidence_waiting ON evidence (clip, seq) WHERE uploaded = 0;
`

// telemetry1 is the schema that had no version yet.
const telemetry1 = `
CREATE TABLE IF NOT EXISTS readings (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	device  TEXT NOT NULL,
	at      INTEGER NOT NULL,
	value   REAL NOT NULL,
	unit    TEXT NOT NULL,
	quality TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS readings_by_time ON readings (at);

-- Events whose content is fixed, so that a batch that is sent twice is the same batch.
CREATE TABLE IF NOT EXISTS outbox (
	seq  INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	at   INTEGER NOT NULL,
	data TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS marks (
	key   TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// telemetry2 drops events that were packed in advance: an event is made of the readings when it
// is sent. A reading is stored once.
const telemetry2 = `
DROP INDEX readings_by_time;
DROP TABLE outbox;
DELETE FROM marks WHERE key != 'sent';
CREATE UNIQUE INDEX readings_by_content ON readings (device, at, value);

-- What was lost of the readings, until the hub has it. seq is in the order of readings.id.
CREATE TABLE gaps (
	seq    INTEGER PRIMARY KEY,
	id     TEXT NOT NULL,
	device TEXT NOT NULL,
	reason TEXT NOT NULL,
	first  INTEGER NOT NULL, -- time of the oldest reading lost
	last   INTEGER NOT NULL, -- time of the newest
	count  INTEGER NOT NULL
) STRICT;

-- Up to when the readings of a device were thinned.
CREATE TABLE thinned (
	device TEXT PRIMARY KEY,
	until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// telemetry3 adds readings that are texts. Their value is a checksum of the text (see
// devices.Reading.Key), so that the index by content tells them apart.
const telemetry3 = `ALTER TABLE readings ADD COLUMN text TEXT NOT NULL DEFAULT ''`

// migrateTelemetry2 gives readings that wait in packed events, which may have been trimmed from
// the table, their place again: behind what the hub has and before what was never packed.
func migrateTelemetry2(ctx context.Context, q execer) error {
	// Of equal readings the newest row stays, so that none that waits is lost.
	if _, err := q.ExecContext(ctx, `DELETE FROM readings WHERE id NOT IN (SELECT max(id) FROM readings GROUP BY device, at, value)`); err != nil {
		return err
	}
	var sealed int64
	err := q.QueryRowContext(ctx, `SELECT value FROM marks WHERE key = 'sealed'`).Scan(&sealed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var packed int64
	if err := q.QueryRowContext(ctx, `SELECT coalesce(sum(json_array_length(data)), 0) FROM outbox WHERE kind = 'readings' AND json_valid(data)`).Scan(&packed); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `CREATE INDEX readings_migrated ON readings (device, at, value)`); err != nil {
		return err
	}
	// Two steps, because a row must not take the number of one that has not moved yet.
	if _, err := q.ExecContext(ctx, `UPDATE readings SET id = -id WHERE id > ?`, sealed); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `UPDATE readings SET id = ? - id WHERE id < 0`, packed); err != nil {
		return err
	}
	if err := unpackReadings(ctx, q, sealed); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `DROP INDEX readings_migrated`); err != nil {
		return err
	}
	if _, err := q.ExecContext(ctx, `INSERT INTO marks (key, value) VALUES ('sent', ?)`, sealed); err != nil {
		return err
	}
	_, err = q.ExecContext(ctx, telemetry2)
	return err
}

// unpackReadings inserts the readings of packed events with the numbers after last, one event at
// a time: there may be hundreds of thousands.
func unpackReadings(ctx context.Context, q execer, last int64) error {
	for seq := int64(0); ; {
		var data string
		err := q.QueryRowContext(ctx, `SELECT seq, data FROM outbox WHERE kind = 'readings' AND json_valid(data) AND seq > ? ORDER BY seq LIMIT 1`, seq).Scan(&seq, &data)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var readings []devices.Reading
		if err := json.Unmarshal([]byte(data), &readings); err != nil {
			return fmt.Errorf("reading a packed event: %w", err)
		}
		for _, r := range readings {
			last++
			at := r.Time.UnixMilli()
			if _, err := q.ExecContext(ctx, `DELETE FROM readings WHERE device = ? AND at = ? AND value = ?`, r.Device, at, r.Value); err != nil {
				return err
			}
			if _, err := q.ExecContext(ctx, `INSERT INTO readings (id, device, at, value, unit, quality) VALUES (?, ?, ?, ?, ?, ?)`,
				last, r.Device, at, r.Value, r.Unit, string(r.Quality)); err != nil {
				return err
			}
		}
	}
}

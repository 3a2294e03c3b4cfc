-- Readings, the newest one of each device, their summaries, what edges have delivered, and what they have lost.
-- All times: milliseconds since 1970, UTC.
CREATE TABLE series (
	id              INTEGER PRIMARY KEY,
	edge            TEXT NOT NULL,
	device          TEXT NOT NULL,
	site            TEXT NOT NULL,
	stored          INTEGER NOT NULL DEFAULT 0,  -- readings that are stored
	shift           INTEGER NOT NULL DEFAULT 0,  -- what was last added to the edge's times, in milliseconds
	newest_at       INTEGER,                     -- time of the newest reading, never after its receipt; null: none
	newest_value    REAL NOT NULL DEFAULT 0,     -- 0 for a text
	newest_bad      INTEGER NOT NULL DEFAULT 0,
	newest_text     TEXT NOT NULL DEFAULT '',
	newest_received INTEGER NOT NULL DEFAULT 0,  -- when the hub got it
	UNIQUE (edge, device)
) STRICT;
CREATE INDEX series_received ON series(newest_received, id);

CREATE TABLE readings (
	series INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	value  REAL NOT NULL,               -- of a text: its checksum (devices.Reading.Key)
	bad    INTEGER NOT NULL,            -- 1: the sensor itself calls it bad
	text   TEXT NOT NULL,
	PRIMARY KEY (series, at, value)     -- the identity of a reading: sent twice, it is stored once
) STRICT, WITHOUT ROWID;

-- One row for each series and ten minutes, kept up to date in the transaction that stores the readings.
CREATE TABLE summaries (
	series  INTEGER NOT NULL,
	bucket  INTEGER NOT NULL,           -- at / 600000
	stored  INTEGER NOT NULL,           -- readings of the ten minutes
	n       INTEGER NOT NULL,           -- those of them that are good numbers: the ones summarized
	sum     REAL NOT NULL,
	low     REAL NOT NULL,
	high    REAL NOT NULL,
	last_at INTEGER NOT NULL,
	received INTEGER NOT NULL,          -- when the hub got the last one of them; 0: not known
	PRIMARY KEY (series, bucket)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
	edge       TEXT NOT NULL,
	epoch      TEXT NOT NULL,
	seq        INTEGER NOT NULL,        -- every event of the telemetry lane up to and including it is applied
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (edge, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
	edge        TEXT NOT NULL,
	id          TEXT NOT NULL,
	site        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	device      TEXT NOT NULL,
	from_at     INTEGER NOT NULL,       -- by the edge's clock
	to_at       INTEGER NOT NULL,
	lost        INTEGER NOT NULL,       -- 0: not known
	reason      TEXT NOT NULL,
	received_at INTEGER NOT NULL,
	PRIMARY KEY (edge, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX gaps_received ON gaps(edge, received_at, id);
CREATE INDEX gaps_age ON gaps(received_at);

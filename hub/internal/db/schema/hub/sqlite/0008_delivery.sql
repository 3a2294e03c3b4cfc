-- Epochs of edges, what edges have lost for good, when incidents happened by the hub's clock, and
-- several values of one sensor at one time.
ALTER TABLE edges ADD COLUMN epoch TEXT NOT NULL DEFAULT '';        -- the only one that is accepted

CREATE TABLE epochs (
	edge     TEXT NOT NULL,
	epoch    TEXT NOT NULL,
	began_at INTEGER NOT NULL,
	pending  TEXT NOT NULL DEFAULT '',      -- JSON: what its greeting changes once its next request confirms it
	PRIMARY KEY (edge, epoch)
) STRICT, WITHOUT ROWID;
INSERT INTO epochs(edge, epoch, began_at) SELECT edge, epoch, max(updated_at) FROM marks GROUP BY edge, epoch;

ALTER TABLE incidents ADD COLUMN occurred_at INTEGER NOT NULL DEFAULT 0; -- when it opened, by the hub's clock
ALTER TABLE incidents ADD COLUMN clock TEXT NOT NULL DEFAULT '';    -- grade of the edge's clock when it opened
ALTER TABLE incidents ADD COLUMN ended_by TEXT NOT NULL DEFAULT ''; -- why the hub ended its condition; empty: it did not
UPDATE incidents SET occurred_at = min(opened_at, received_at);
CREATE INDEX incidents_condition ON incidents(edge) WHERE condition = 'open';

CREATE TABLE gaps (
	edge        TEXT NOT NULL,
	id          TEXT NOT NULL,
	kind        TEXT NOT NULL,
	device      TEXT NOT NULL DEFAULT '',
	from_at     INTEGER NOT NULL,           -- by the edge's clock
	to_at       INTEGER NOT NULL,
	count       INTEGER NOT NULL,           -- 0: not known
	reason      TEXT NOT NULL,
	received_at INTEGER NOT NULL,
	PRIMARY KEY (edge, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX gaps_received ON gaps(edge, received_at, id);

DROP INDEX readings_at;
ALTER TABLE readings RENAME TO readings_before;
CREATE TABLE readings (
	edge    TEXT NOT NULL,
	device  TEXT NOT NULL,
	at      INTEGER NOT NULL,
	value   REAL NOT NULL,
	quality TEXT NOT NULL,
	PRIMARY KEY (edge, device, at, value)   -- the identity of a reading: sent twice, it is stored once
) STRICT, WITHOUT ROWID;
INSERT INTO readings(edge, device, at, value, quality) SELECT edge, device, at, value, quality FROM readings_before;
DROP TABLE readings_before;
CREATE INDEX readings_at ON readings(at);

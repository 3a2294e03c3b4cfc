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

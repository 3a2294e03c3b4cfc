-- Where alerts go, and how each of them fared.
CREATE TABLE webhooks (
	id         TEXT PRIMARY KEY,
	url        TEXT NOT NULL,
	secrets    TEXT NOT NULL,               -- JSON list, newest first
	created_at INTEGER NOT NULL,
	disabled   TEXT NOT NULL DEFAULT ''     -- why; empty: enabled
) STRICT;

CREATE TABLE alerts (
	seq      INTEGER PRIMARY KEY,           -- changes.id of the change it tells
	kind     TEXT NOT NULL,
	incident TEXT NOT NULL,
	device   TEXT NOT NULL,
	at       INTEGER NOT NULL,
	data     TEXT NOT NULL
) STRICT;

CREATE TABLE deliveries (
	id        TEXT PRIMARY KEY,
	target    TEXT NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
	seq       INTEGER NOT NULL REFERENCES alerts(seq),
	incident  TEXT NOT NULL,
	attempts  INTEGER NOT NULL DEFAULT 0,
	queued_at INTEGER NOT NULL,
	next_at   INTEGER NOT NULL,
	state     TEXT NOT NULL,
	status    INTEGER NOT NULL DEFAULT 0,
	cause     TEXT NOT NULL DEFAULT '',
	last_at   INTEGER
) STRICT;
CREATE INDEX deliveries_pending ON deliveries(target, seq) WHERE state = 'pending';
CREATE INDEX deliveries_waiting ON deliveries(target, incident, seq) WHERE state = 'pending';
CREATE INDEX deliveries_seq ON deliveries(seq);

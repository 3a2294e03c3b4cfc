-- Incidents, what people did about them, their evidence, and the feed of changes.
CREATE TABLE incidents (
	id          TEXT PRIMARY KEY,
	edge        TEXT NOT NULL,
	device      TEXT NOT NULL,
	rule        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	title       TEXT NOT NULL,
	severity    TEXT NOT NULL,
	state       TEXT NOT NULL,
	condition   TEXT NOT NULL,
	source      TEXT NOT NULL,
	opened_at   INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	updated_at  INTEGER NOT NULL,
	closed_at   INTEGER,
	place       TEXT,
	class       TEXT NOT NULL DEFAULT '',
	box         TEXT,
	value       REAL,
	lim         REAL,
	unit        TEXT NOT NULL DEFAULT '',
	count       INTEGER NOT NULL DEFAULT 0,
	edge_version INTEGER NOT NULL DEFAULT 0, -- detection.Incident.Version, so that an old alert never wins
	version     INTEGER NOT NULL DEFAULT 0,
	assignee    TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX incidents_opened ON incidents(opened_at, id);
CREATE INDEX incidents_unclosed ON incidents(opened_at, id) WHERE state != 'closed';

CREATE TABLE timeline (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	incident TEXT NOT NULL,
	at       INTEGER NOT NULL,
	kind     TEXT NOT NULL,
	who      TEXT NOT NULL,
	text     TEXT NOT NULL,
	data     TEXT
) STRICT;
CREATE INDEX timeline_incident ON timeline(incident, id);

CREATE TABLE evidence (
	incident     TEXT NOT NULL,
	name         TEXT NOT NULL,
	edge         TEXT NOT NULL,
	content_type TEXT NOT NULL,
	size         INTEGER NOT NULL,
	sha256       TEXT NOT NULL,
	at           INTEGER NOT NULL,
	received     INTEGER NOT NULL DEFAULT 0, -- bytes on disk
	complete     INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (incident, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,
	data TEXT NOT NULL,
	at   INTEGER NOT NULL
) STRICT;

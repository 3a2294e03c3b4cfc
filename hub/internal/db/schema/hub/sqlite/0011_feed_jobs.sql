-- The change feed with a counter, the site and the key of each change; jobs; histories of the feed.
CREATE TABLE feed (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	last INTEGER NOT NULL                   -- number of the newest entry
) STRICT;
INSERT INTO feed(id, last) SELECT 1, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0);

ALTER TABLE changes RENAME TO changes_before;
CREATE TABLE changes (
	id   INTEGER PRIMARY KEY,               -- dense, in the order of commits
	kind TEXT NOT NULL,
	site TEXT NOT NULL,
	key  TEXT NOT NULL,
	data TEXT NOT NULL,                     -- JSON
	at   INTEGER NOT NULL
) STRICT;
INSERT INTO changes(id, kind, site, key, data, at) SELECT id, kind, '', '', data, at FROM changes_before;
DROP TABLE changes_before;

CREATE TABLE jobs (
	id          INTEGER PRIMARY KEY,
	kind        TEXT NOT NULL,
	key         TEXT NOT NULL,              -- at most one job of a kind for each key
	due_at      INTEGER NOT NULL,
	payload     TEXT NOT NULL,              -- JSON
	version     INTEGER NOT NULL DEFAULT 0, -- grows when it is enqueued again
	attempts    INTEGER NOT NULL DEFAULT 0, -- begun since it was enqueued
	last_error  TEXT NOT NULL DEFAULT '',
	owner       TEXT NOT NULL DEFAULT '',   -- random, of one claim; empty: nobody runs it
	owned_until INTEGER NOT NULL DEFAULT 0, -- 0: nobody runs it
	UNIQUE (kind, key)
) STRICT;
CREATE INDEX jobs_due ON jobs(kind, due_at, id) WHERE owned_until = 0;
CREATE INDEX jobs_owned ON jobs(kind, owned_until) WHERE owned_until > 0;

CREATE TABLE histories (
	number      INTEGER PRIMARY KEY,        -- the newest has the greatest
	id          TEXT NOT NULL UNIQUE,       -- random
	began_after INTEGER NOT NULL,           -- the last number of the history before
	at          INTEGER NOT NULL,
	origin      TEXT NOT NULL DEFAULT ''    -- PostgreSQL: which cluster and database wrote it
) STRICT;

ALTER TABLE sessions RENAME COLUMN user TO user_name; -- a reserved word of PostgreSQL

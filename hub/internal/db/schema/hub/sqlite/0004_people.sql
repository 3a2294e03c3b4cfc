-- People, programs that act for them, what they looked at, and what they did.
CREATE TABLE users (
	name       TEXT PRIMARY KEY,
	password   TEXT NOT NULL,               -- argon2id in PHC form
	role       TEXT NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
	hash       BLOB PRIMARY KEY,            -- SHA-256 of the cookie
	user       TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions(user);

CREATE TABLE tokens (
	id         TEXT PRIMARY KEY,
	hash       BLOB NOT NULL UNIQUE,        -- SHA-256 of the token
	name       TEXT NOT NULL,
	role       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	revoked_at INTEGER
) STRICT;

CREATE TABLE login_failures (
	key        TEXT PRIMARY KEY,            -- "address ..." or "user ... address ..."
	failures   INTEGER NOT NULL,
	last_at    INTEGER NOT NULL,
	blocked_to INTEGER NOT NULL
) STRICT;

CREATE TABLE views (
	id        TEXT PRIMARY KEY,
	edge      TEXT NOT NULL,
	device    TEXT NOT NULL,
	who       TEXT NOT NULL,
	incident  TEXT NOT NULL DEFAULT '',
	reason    TEXT NOT NULL,
	began_at  INTEGER NOT NULL,
	until     INTEGER NOT NULL,
	ended_at  INTEGER,
	ended_why TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX views_began ON views(began_at, id);

CREATE TABLE audit (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	at     INTEGER NOT NULL,
	who    TEXT NOT NULL,
	action TEXT NOT NULL,
	object TEXT NOT NULL,
	detail TEXT NOT NULL DEFAULT '',
	hash   BLOB NOT NULL                    -- SHA-256 over the previous row's hash and this row
) STRICT;

-- Users get IDs, so that names can change; passwords become identities of users. Views become leases
-- with a site and the hub that serves them. The audit log gets IDs of users, its head as a row, and the
-- state of its verification.
CREATE TABLE people (
	id          TEXT PRIMARY KEY,           -- UUIDv7
	name        TEXT NOT NULL UNIQUE,       -- the present one; it is in user_names too
	role        TEXT NOT NULL,
	created_at  INTEGER NOT NULL,
	disabled_at INTEGER                     -- null: may log in
) STRICT;
INSERT INTO people(id, name, role, created_at, disabled_at)
	SELECT lower(printf('%08x-%04x-7%03x-%04x-%s', created_at >> 16, created_at & 0xffff, random() & 0xfff,
		0x8000 | (random() & 0x3fff), hex(randomblob(6)))), name, role, created_at, disabled_at FROM users;
CREATE TABLE passwords_before AS SELECT name, password, created_at FROM users;
CREATE TABLE sessions_before AS SELECT hash, user_name, created_at, expires_at FROM sessions;
DROP TABLE sessions;
DROP TABLE users;
ALTER TABLE people RENAME TO users;

-- Every name that a user has or had. A former name is reserved as long as its user exists, so that a
-- name in the audit log means one user.
CREATE TABLE user_names (
	name    TEXT PRIMARY KEY,
	user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX user_names_user ON user_names(user_id);
INSERT INTO user_names(name, user_id) SELECT name, id FROM users;

-- What a user proves to be the user with.
CREATE TABLE identities (
	kind       TEXT NOT NULL,               -- password
	subject    TEXT NOT NULL,               -- of a password: the user's ID
	user_id    TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	secret     TEXT NOT NULL,               -- of a password: argon2id in PHC form
	created_at INTEGER NOT NULL,
	PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_user ON identities(user_id);
INSERT INTO identities(kind, subject, user_id, secret, created_at)
	SELECT 'password', u.id, u.id, p.password, p.created_at FROM passwords_before p JOIN users u ON u.name = p.name;
DROP TABLE passwords_before;

CREATE TABLE sessions (
	hash       BLOB PRIMARY KEY,            -- SHA-256 of the cookie
	user_id    TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions(user_id);
CREATE INDEX sessions_expires ON sessions(expires_at);
INSERT INTO sessions(hash, user_id, created_at, expires_at)
	SELECT s.hash, u.id, s.created_at, s.expires_at FROM sessions_before s JOIN users u ON u.name = s.user_name;
DROP TABLE sessions_before;

-- Where a user has logged in from, the newest origins of each user.
CREATE TABLE login_origins (
	user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	origin  TEXT NOT NULL,                  -- an IPv4 address, or the /64 of an IPv6 address
	last_at INTEGER NOT NULL,
	PRIMARY KEY (user_id, origin)
) STRICT, WITHOUT ROWID;
CREATE INDEX login_origins_last ON login_origins(last_at);

DROP TABLE login_failures;                  -- they are counted in memory

ALTER TABLE tokens ADD COLUMN created_by_id TEXT NOT NULL DEFAULT ''; -- ID of the user; empty: created otherwise
UPDATE tokens SET created_by_id = coalesce((SELECT u.id FROM users u WHERE u.name = tokens.created_by), '');
CREATE INDEX tokens_created ON tokens(created_at, id) WHERE revoked_at IS NULL;

ALTER TABLE views RENAME TO leases;
ALTER TABLE leases ADD COLUMN site TEXT NOT NULL DEFAULT '';
ALTER TABLE leases ADD COLUMN user_id TEXT NOT NULL DEFAULT '';         -- empty: not a user
ALTER TABLE leases ADD COLUMN hub TEXT NOT NULL DEFAULT '';             -- the hub that serves it
ALTER TABLE leases ADD COLUMN ended_code TEXT NOT NULL DEFAULT '';      -- ended_why as a code
ALTER TABLE leases ADD COLUMN ended_params TEXT NOT NULL DEFAULT '{}';  -- JSON: name to value
UPDATE leases SET site = edge, user_id = coalesce((SELECT u.id FROM users u WHERE u.name = leases.who), '');
DROP INDEX views_began;
CREATE INDEX leases_began ON leases(began_at, id);
CREATE INDEX leases_site ON leases(site, began_at, id);
CREATE INDEX leases_open ON leases(hub) WHERE ended_at IS NULL;

-- The hubs that run on this database. A beat that does not change any more means that the hub is gone.
CREATE TABLE hubs (
	id         TEXT PRIMARY KEY,
	beat       INTEGER NOT NULL,
	started_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE audit ADD COLUMN user_id TEXT;  -- empty: not a user; null: an entry from before this column, hashed without it
CREATE TABLE audit_head (
	id        INTEGER PRIMARY KEY CHECK (id = 1),
	last      INTEGER NOT NULL,             -- number and hash of the newest entry
	hash      BLOB NOT NULL,
	base      INTEGER NOT NULL,             -- number and hash of the entry before the oldest that is kept
	base_hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_head(id, last, hash, base, base_hash)
	SELECT 1, coalesce(max(id), 0), coalesce((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), x''), 0, x'' FROM audit;
CREATE TABLE audit_check (
	id            INTEGER PRIMARY KEY CHECK (id = 1),
	verified      INTEGER NOT NULL,         -- every entry up to this one was verified
	verified_hash BLOB NOT NULL,
	verified_at   INTEGER NOT NULL,
	broken        INTEGER NOT NULL,         -- the first entry that does not fit; 0: none
	pass          INTEGER NOT NULL,         -- the full verification that runs has come to this entry
	pass_hash     BLOB NOT NULL,
	pass_began_at INTEGER,                  -- null: none runs
	full_at       INTEGER                   -- when the last full verification was complete; null: never
) STRICT;
INSERT INTO audit_check(id, verified, verified_hash, verified_at, broken, pass, pass_hash)
	VALUES (1, 0, x'', 0, 0, 0, x'');

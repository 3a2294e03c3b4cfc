-- Users get IDs, so that names can change; passwords become identities of users. Views become leases
-- with a site and the hub that serves them. The audit log gets IDs of users, its head as a row, and the
-- state of its verification.
ALTER TABLE users ADD COLUMN id TEXT;       -- UUIDv7
UPDATE users SET id = lpad(to_hex(created_at >> 16), 8, '0') || '-' || lpad(to_hex(created_at & 65535), 4, '0')
	|| '-7' || substr(gen_random_uuid()::text, 1, 3) || '-' || to_hex(32768 | floor(random() * 16384)::int)
	|| '-' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 12);
ALTER TABLE sessions ADD COLUMN user_id TEXT;
UPDATE sessions SET user_id = (SELECT u.id FROM users u WHERE u.name = sessions.user_name);
ALTER TABLE sessions DROP COLUMN user_name; -- with its foreign key and index
ALTER TABLE users DROP CONSTRAINT users_pkey;
ALTER TABLE users ADD PRIMARY KEY (id);
ALTER TABLE users ALTER COLUMN name TYPE TEXT COLLATE "C"; -- the order of bytes
ALTER TABLE users ADD UNIQUE (name);

-- Every name that a user has or had. A former name is reserved as long as its user exists, so that a
-- name in the audit log means one user.
CREATE TABLE user_names (
	name    TEXT PRIMARY KEY,
	user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE
);
CREATE INDEX user_names_user ON user_names(user_id);
INSERT INTO user_names(name, user_id) SELECT name, id FROM users;

-- What a user proves to be the user with.
CREATE TABLE identities (
	kind       TEXT NOT NULL,               -- password
	subject    TEXT NOT NULL,               -- of a password: the user's ID
	user_id    TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	secret     TEXT NOT NULL,               -- of a password: argon2id in PHC form
	created_at BIGINT NOT NULL,
	PRIMARY KEY (kind, subject)
);
CREATE INDEX identities_user ON identities(user_id);
INSERT INTO identities(kind, subject, user_id, secret, created_at) SELECT 'password', id, id, password, created_at FROM users;
ALTER TABLE users DROP COLUMN password;

ALTER TABLE sessions ALTER COLUMN user_id SET NOT NULL;
ALTER TABLE sessions ADD FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
CREATE INDEX sessions_user ON sessions(user_id);
CREATE INDEX sessions_expires ON sessions(expires_at);

-- Where a user has logged in from, the newest origins of each user.
CREATE TABLE login_origins (
	user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	origin  TEXT NOT NULL,                  -- an IPv4 address, or the /64 of an IPv6 address
	last_at BIGINT NOT NULL,
	PRIMARY KEY (user_id, origin)
);
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
	beat       BIGINT NOT NULL,
	started_at BIGINT NOT NULL
);

ALTER TABLE audit ADD COLUMN user_id TEXT;  -- empty: not a user; null: an entry from before this column, hashed without it
CREATE TABLE audit_head (
	id        BIGINT PRIMARY KEY CHECK (id = 1),
	last      BIGINT NOT NULL,             -- number and hash of the newest entry
	hash      BYTEA NOT NULL,
	base      BIGINT NOT NULL,             -- number and hash of the entry before the oldest that is kept
	base_hash BYTEA NOT NULL
);
INSERT INTO audit_head(id, last, hash, base, base_hash)
	SELECT 1, coalesce(max(id), 0), coalesce((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), ''::bytea), 0, ''::bytea FROM audit;
CREATE TABLE audit_check (
	id            BIGINT PRIMARY KEY CHECK (id = 1),
	verified      BIGINT NOT NULL,         -- every entry up to this one was verified
	verified_hash BYTEA NOT NULL,
	verified_at   BIGINT NOT NULL,
	broken        BIGINT NOT NULL,         -- the first entry that does not fit; 0: none
	pass          BIGINT NOT NULL,         -- the full verification that runs has come to this entry
	pass_hash     BYTEA NOT NULL,
	pass_began_at BIGINT,                  -- null: none runs
	full_at       BIGINT                   -- when the last full verification was complete; null: never
);
INSERT INTO audit_check(id, verified, verified_hash, verified_at, broken, pass, pass_hash)
	VALUES (1, 0, ''::bytea, 0, 0, 0, ''::bytea);

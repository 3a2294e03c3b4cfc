-- Edges, their certificates, their commands, and what they have delivered.
CREATE TABLE edges (
	name         TEXT PRIMARY KEY,
	created_at   INTEGER NOT NULL,          -- all times: milliseconds since 1970, UTC
	revoked_at   INTEGER,
	last_seen_at INTEGER,                   -- last authenticated contact
	online       INTEGER NOT NULL DEFAULT 0,
	version      TEXT NOT NULL DEFAULT '',
	skew_ms      INTEGER NOT NULL DEFAULT 0,
	health       TEXT                       -- JSON of api.Health
) STRICT;

CREATE TABLE edge_tokens (
	hash        BLOB PRIMARY KEY,           -- SHA-256 of the secret
	edge        TEXT NOT NULL REFERENCES edges(name),
	created_at  INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL,
	key_hash    BLOB,                       -- SHA-256 of the public key that redeemed it
	burnt_at    INTEGER                     -- first contact with the certificate
) STRICT;

CREATE TABLE edge_certificates (
	serial        TEXT PRIMARY KEY,         -- hexadecimal
	edge          TEXT NOT NULL REFERENCES edges(name),
	token_hash    BLOB,                     -- the enrolment it came from; null for a renewal
	issued_at     INTEGER NOT NULL,
	not_after     INTEGER NOT NULL,
	first_used_at INTEGER
) STRICT;
CREATE INDEX edge_certificates_edge ON edge_certificates(edge);

CREATE TABLE marks (
	edge       TEXT NOT NULL,
	epoch      TEXT NOT NULL,
	lane       TEXT NOT NULL,
	seq        INTEGER NOT NULL,            -- every event up to and including it is applied
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (edge, epoch, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE commands (
	row         INTEGER PRIMARY KEY AUTOINCREMENT,
	id          TEXT NOT NULL UNIQUE,
	edge        TEXT NOT NULL,
	body        TEXT NOT NULL,              -- JSON of api.Command
	issued_at   INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL,           -- not sent any more after
	finished_at INTEGER,
	ok          INTEGER,
	cause       TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX commands_waiting ON commands(edge, row) WHERE finished_at IS NULL;

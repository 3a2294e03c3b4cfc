-- A second factor of users who log in with a password: time-based one-time passwords (RFC 6238). The secrets are in a table
-- of their own, which nothing but the log-in reads.
ALTER TABLE users ADD COLUMN totp_at BIGINT;    -- since when a log-in needs a code; null: it does not
CREATE TABLE totp_secrets (
	user_id   TEXT PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
	secret    BYTEA NOT NULL,
	last_step BIGINT NOT NULL DEFAULT 0     -- of the last code that was accepted; no code of it or from before it is again
);
CREATE TABLE recovery_codes (
	user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	hash    BYTEA NOT NULL,                  -- SHA-256; a code has 80 random bits
	PRIMARY KEY (user_id, hash)
);

-- The entries of the audit log are keyed: their hashes are HMACs with a key that is not in the log. Entries
-- from before have no key. See hub/internal/store/audit.
ALTER TABLE audit ADD COLUMN key_id TEXT;                             -- null: an entry from before keys
ALTER TABLE audit_head ADD COLUMN key_id TEXT NOT NULL DEFAULT '';    -- of the newest entry; empty: it has none
ALTER TABLE audit_head ADD COLUMN key_place TEXT NOT NULL DEFAULT ''; -- where it was
ALTER TABLE audit_head ADD COLUMN keyed_from INTEGER NOT NULL DEFAULT 0; -- the first entry with a key; 0: none has one
ALTER TABLE audit_head ADD COLUMN seal TEXT NOT NULL DEFAULT '';      -- ID of a key, and its HMAC of base, base_hash and keyed_from
ALTER TABLE audit_check ADD COLUMN missing INTEGER NOT NULL DEFAULT 0;      -- the first entry whose key is not known here; 0: none
ALTER TABLE audit_check ADD COLUMN pass_missing INTEGER NOT NULL DEFAULT 0; -- the same, of the full verification that runs

-- The key of the audit log where hubs share a database and no file with a key is configured.
CREATE TABLE audit_keys (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	text TEXT NOT NULL
);

-- Rules whose incidents are quiet for some time. A row is of use until its time is over; the audit log has the history.
CREATE TABLE mutes (
	edge     TEXT NOT NULL,
	device   TEXT NOT NULL,
	rule     TEXT NOT NULL,
	id       TEXT NOT NULL UNIQUE,     -- UUIDv7; another one each time that the rule is muted
	site     TEXT NOT NULL,            -- of the edge
	reason   TEXT NOT NULL,
	who      TEXT NOT NULL,            -- name of a user, or "token NAME", as it was then
	began_at INTEGER NOT NULL,
	until    INTEGER NOT NULL,
	PRIMARY KEY (edge, device, rule)
) STRICT, WITHOUT ROWID;
CREATE INDEX mutes_until ON mutes(until);

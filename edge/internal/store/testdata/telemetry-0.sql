CREATE TABLE IF NOT EXISTS readings (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	device  TEXT NOT NULL,
	at      INTEGER NOT NULL,
	value   REAL NOT NULL,
	unit    TEXT NOT NULL,
	quality TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS readings_by_time ON readings (at);

-- Events whose content is fixed, so that a batch that is sent twice is the same batch.
CREATE TABLE IF NOT EXISTS outbox (
	seq  INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	at   INTEGER NOT NULL,
	data TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS marks (
	key   TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Devices, where they stand, and what they measure.
CREATE TABLE devices (
	id       INTEGER PRIMARY KEY,
	edge     TEXT NOT NULL,
	name     TEXT NOT NULL,
	kind     TEXT NOT NULL,
	place    TEXT,                          -- JSON of devices.Place
	unit     TEXT NOT NULL DEFAULT '',
	rules    TEXT NOT NULL DEFAULT '[]',
	state    TEXT NOT NULL DEFAULT 'unknown',
	cause    TEXT NOT NULL DEFAULT '',
	since    INTEGER,
	read_at  INTEGER,                       -- the newest reading
	value    REAL,
	quality  TEXT,
	UNIQUE (edge, name)
) STRICT;

CREATE VIRTUAL TABLE device_places USING rtree(id, min_lat, max_lat, min_lon, max_lon);

CREATE TABLE readings (
	edge    TEXT NOT NULL,
	device  TEXT NOT NULL,
	at      INTEGER NOT NULL,
	value   REAL NOT NULL,
	quality TEXT NOT NULL,
	PRIMARY KEY (edge, device, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX readings_at ON readings(at);

-- The bytes of evidence, where they are kept in the database: on PostgreSQL. On SQLite they are files, and
-- the table stays empty.
CREATE TABLE evidence_pieces (
	incident TEXT NOT NULL,
	name     TEXT NOT NULL,
	start    INTEGER NOT NULL,      -- position of the piece's first byte in the file
	data     BLOB NOT NULL,
	PRIMARY KEY (incident, name, start)
) STRICT;

-- The bytes of evidence: see ../sqlite/0016_evidence.sql.
CREATE TABLE evidence_pieces (
	incident TEXT NOT NULL,
	name     TEXT NOT NULL,
	start    BIGINT NOT NULL,
	data     BYTEA NOT NULL,
	PRIMARY KEY (incident, name, start)
);
-- Pictures are compressed already.
ALTER TABLE evidence_pieces ALTER COLUMN data SET STORAGE EXTERNAL;

-- Sites of edges, what tells that an edge's devices have changed, times of devices as their edges
-- reported them, and the certificate authority of hubs that share a database.
ALTER TABLE edges ADD COLUMN site TEXT NOT NULL DEFAULT '';
UPDATE edges SET site = name;
ALTER TABLE edges ADD COLUMN inventory INTEGER NOT NULL DEFAULT 0;  -- grows when the list of devices changes

ALTER TABLE devices ADD COLUMN since_reported INTEGER;              -- since, by the edge's clock

CREATE INDEX edge_tokens_edge ON edge_tokens(edge);
CREATE INDEX edge_tokens_expires ON edge_tokens(expires_at);
CREATE INDEX edge_certificates_expires ON edge_certificates(not_after);
CREATE INDEX commands_expires ON commands(expires_at);

CREATE TABLE authority (
	id  INTEGER PRIMARY KEY CHECK (id = 1),
	pem TEXT NOT NULL                   -- certificate and key; empty on SQLite, which has a file
) STRICT;

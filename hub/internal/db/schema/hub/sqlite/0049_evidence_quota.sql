-- What an edge has announced and stored, and uploads that never ended.
CREATE INDEX evidence_of_edge ON evidence(edge, complete, size, received);
CREATE INDEX evidence_pending ON evidence(recorded_at) WHERE complete = 0;

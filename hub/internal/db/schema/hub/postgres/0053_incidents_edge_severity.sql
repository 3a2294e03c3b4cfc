-- The worst incidents of one edge, without a look at all others of it.
CREATE INDEX incidents_edge_severity ON incidents(edge, severity, occurred_at, number);

-- Lists by device, the newest incidents of each first, and by outcome.
DROP INDEX incidents_device;
CREATE INDEX incidents_device ON incidents(edge, device, occurred_at DESC, number DESC);
CREATE INDEX incidents_place ON incidents(site, edge, device, occurred_at DESC, number DESC);
CREATE INDEX incidents_outcome ON incidents(outcome, occurred_at, number) WHERE outcome != '';

-- The full-text index has a token for the outcome from now on.
UPDATE incidents SET indexed = 0 WHERE outcome != '';

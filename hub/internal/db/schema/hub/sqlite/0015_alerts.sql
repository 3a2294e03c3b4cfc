-- Deliveries that wait behind an earlier one are marked, so that reading the queue visits only those that may
-- be sent; causes have codes; removed targets are deleted later.
ALTER TABLE webhooks ADD COLUMN removed_at INTEGER;                         -- null: it exists
ALTER TABLE webhooks ADD COLUMN disabled_code TEXT NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN disabled_params TEXT NOT NULL DEFAULT '{}'; -- JSON: name to value
ALTER TABLE webhooks ADD COLUMN paused_until INTEGER NOT NULL DEFAULT 0;    -- the target asked for a pause
ALTER TABLE webhooks ADD COLUMN dropped_to INTEGER NOT NULL DEFAULT 0;      -- deliveries up to this seq are to be given up

ALTER TABLE deliveries ADD COLUMN cause_code TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN cause_params TEXT NOT NULL DEFAULT '{}';
ALTER TABLE deliveries ADD COLUMN held INTEGER NOT NULL DEFAULT 0;          -- 1: waits behind an earlier one of its incident
UPDATE deliveries SET held = 1 WHERE state = 'pending' AND EXISTS (SELECT 1 FROM deliveries b WHERE b.target = deliveries.target
	AND b.incident = deliveries.incident AND b.seq < deliveries.seq AND b.state = 'pending' AND b.attempts < 5);

DROP INDEX deliveries_pending;
DROP INDEX deliveries_waiting;
CREATE INDEX deliveries_target ON deliveries(target, seq);
CREATE INDEX deliveries_due ON deliveries(target, next_at, seq) WHERE state = 'pending' AND held = 0;
CREATE INDEX deliveries_order ON deliveries(target, incident, seq) WHERE state = 'pending' AND attempts < 5;
CREATE INDEX deliveries_waiting ON deliveries(target, queued_at) WHERE state = 'pending';
CREATE INDEX deliveries_failing ON deliveries(target, last_at) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX deliveries_finished ON deliveries(queued_at) WHERE state <> 'pending';

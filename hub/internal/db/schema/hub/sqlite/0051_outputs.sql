-- Targets of several kinds, and what a message about an incident must refer to.
ALTER TABLE webhooks ADD COLUMN kind TEXT NOT NULL DEFAULT 'webhook';
ALTER TABLE webhooks ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';  -- JSON of notify.Settings
CREATE INDEX deliveries_incident ON deliveries(target, incident, number);

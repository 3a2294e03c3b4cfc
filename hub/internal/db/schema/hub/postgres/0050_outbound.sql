-- Events that leave the hub: the installation has an ID of its own, each alert has a UUID, the deliveries of a
-- target are numbered without gaps, and the back-off of a target that fails is stored.
CREATE TABLE installation (
	id   BIGINT PRIMARY KEY CHECK (id = 1),
	uuid TEXT NOT NULL                          -- hubs that share a database are one installation
);
INSERT INTO installation(id, uuid) VALUES (1, CAST(gen_random_uuid() AS TEXT));

ALTER TABLE alerts ADD COLUMN event TEXT NOT NULL DEFAULT '';       -- UUID; empty: of a version that named events by seq
ALTER TABLE alerts ADD COLUMN type TEXT NOT NULL DEFAULT '';        -- kind in events of format 2; empty: the same as kind

ALTER TABLE webhooks ADD COLUMN format BIGINT NOT NULL DEFAULT 2;  -- of events; targets of earlier versions keep 1
ALTER TABLE webhooks ADD COLUMN last_number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN failures BIGINT NOT NULL DEFAULT 0; -- in a row, while the target is only probed
UPDATE webhooks SET format = 1, last_number = (SELECT last FROM feed WHERE id = 1);

ALTER TABLE deliveries ADD COLUMN number BIGINT NOT NULL DEFAULT 0; -- among those of the target
UPDATE deliveries SET number = seq;
DROP INDEX deliveries_target;
CREATE UNIQUE INDEX deliveries_number ON deliveries(target, number);

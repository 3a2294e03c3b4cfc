-- Events that leave the hub: the installation has an ID of its own, each alert has a UUID, the deliveries of a
-- target are numbered without gaps, and the back-off of a target that fails is stored.
CREATE TABLE installation (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	uuid TEXT NOT NULL                          -- hubs that share a database are one installation
) STRICT;
INSERT INTO installation(id, uuid) VALUES (1, lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
	|| '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))));

ALTER TABLE alerts ADD COLUMN event TEXT NOT NULL DEFAULT '';       -- UUID; empty: of a version that named events by seq
ALTER TABLE alerts ADD COLUMN type TEXT NOT NULL DEFAULT '';        -- kind in events of format 2; empty: the same as kind

ALTER TABLE webhooks ADD COLUMN format INTEGER NOT NULL DEFAULT 2;  -- of events; targets of earlier versions keep 1
ALTER TABLE webhooks ADD COLUMN last_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN failures INTEGER NOT NULL DEFAULT 0; -- in a row, while the target is only probed
UPDATE webhooks SET format = 1, last_number = (SELECT last FROM feed WHERE id = 1);

ALTER TABLE deliveries ADD COLUMN number INTEGER NOT NULL DEFAULT 0; -- among those of the target
UPDATE deliveries SET number = seq;
DROP INDEX deliveries_target;
CREATE UNIQUE INDEX deliveries_number ON deliveries(target, number);

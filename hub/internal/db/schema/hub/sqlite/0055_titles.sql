-- What people call sites, devices and rules (JSON of devices.Title), and what the values 1 and 0 of a sensor mean.
-- The titles of rules are within devices.rules.
ALTER TABLE edges ADD COLUMN title TEXT NOT NULL DEFAULT '{}';       -- of its site
ALTER TABLE devices ADD COLUMN title TEXT NOT NULL DEFAULT '{}';
ALTER TABLE devices ADD COLUMN class TEXT NOT NULL DEFAULT '';       -- devices.Class; empty: other values
ALTER TABLE incidents ADD COLUMN names TEXT NOT NULL DEFAULT '{}';   -- JSON of incidents.Names

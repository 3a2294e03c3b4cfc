-- Readings that are texts. In readings their value is a checksum of the text (devices.Reading.Key), so
-- that the primary key tells them apart; in devices it is 0.
ALTER TABLE readings ADD COLUMN text TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN text TEXT NOT NULL DEFAULT '';

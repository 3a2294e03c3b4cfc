-- Causes have a code and parameters besides their English text. Rows of before have the text alone.
ALTER TABLE devices ADD COLUMN cause_code TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN cause_params TEXT NOT NULL DEFAULT '{}';   -- JSON: name to value
ALTER TABLE commands ADD COLUMN cause_code TEXT NOT NULL DEFAULT '';
ALTER TABLE commands ADD COLUMN cause_params TEXT NOT NULL DEFAULT '{}';

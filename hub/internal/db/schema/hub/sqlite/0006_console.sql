-- What the console's pages ask for: people who are kept out, the incidents of one device.
ALTER TABLE users ADD COLUMN disabled_at INTEGER;   -- null: may log in
CREATE INDEX incidents_device ON incidents(edge, device, opened_at, id);

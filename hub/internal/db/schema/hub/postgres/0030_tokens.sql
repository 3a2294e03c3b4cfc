-- Tokens expire, and it is known when one was last used. They end with the user who created them.
ALTER TABLE tokens ADD COLUMN expires_at BIGINT;   -- null: never
ALTER TABLE tokens ADD COLUMN last_used_at BIGINT; -- null: never
CREATE INDEX tokens_maker ON tokens(created_by_id, id) WHERE revoked_at IS NULL;

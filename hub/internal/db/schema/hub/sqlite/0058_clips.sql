-- Clips: video of an incident, kept and watched otherwise than its pictures.
ALTER TABLE evidence ADD COLUMN clip TEXT NOT NULL DEFAULT ''; -- what its edge says of it, in JSON; empty: nothing
CREATE INDEX evidence_clips ON evidence(recorded_at) WHERE content_type = 'video/mp4';

-- The name of the clip that is watched; empty: live video.
ALTER TABLE leases ADD COLUMN file TEXT NOT NULL DEFAULT '';

-- The role of a user or a token has a scope: null is all sites, also later ones; else a JSON array of sites.
ALTER TABLE users ADD COLUMN sites TEXT;
ALTER TABLE tokens ADD COLUMN sites TEXT;

-- What a key may be used for, how long, and what its rotation leaves behind.

ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '[]'; -- patterns, as a JSON array; empty: all
ALTER TABLE keys ADD COLUMN origins TEXT NOT NULL DEFAULT '[]'; -- as a JSON array; empty: anywhere
ALTER TABLE keys ADD COLUMN expires_ms INTEGER;
ALTER TABLE keys ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN previous_hash TEXT; -- good until the next
ALTER TABLE keys ADD COLUMN grace_until_ms INTEGER;
ALTER TABLE keys ADD COLUMN last_used_ms INTEGER; -- within an hour
ALTER TABLE keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1; -- of the row, one more with each change
ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX keys_by_previous_hash ON keys (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX keys_by_user ON keys (user);
UPDATE schema_version SET version = 3;

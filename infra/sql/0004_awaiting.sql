-- Which records wait for what their providers say that they charged. Hardly any does, so the index costs hardly a write.

ALTER TABLE usage ADD COLUMN awaiting INTEGER; -- which rows of `meter` count it: 1 the key's, 2 the user's; null: it waits for nothing
CREATE INDEX usage_awaiting ON usage (request_id) WHERE awaiting IS NOT NULL;
UPDATE schema_version SET version = 4;

-- What more is known of a request. All of it is null in records of before, and in those that were abandoned.

ALTER TABLE usage ADD COLUMN gateway_us INTEGER; -- microseconds, like the next
ALTER TABLE usage ADD COLUMN storage_us INTEGER;
ALTER TABLE usage ADD COLUMN route TEXT; -- its attempts, as a JSON array: common/wire/usage_json.py
ALTER TABLE usage ADD COLUMN session_id TEXT;
ALTER TABLE usage ADD COLUMN trace_id TEXT;
ALTER TABLE usage ADD COLUMN end_user TEXT; -- a keyed hash
UPDATE schema_version SET version = 2;

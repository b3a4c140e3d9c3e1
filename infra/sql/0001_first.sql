-- SQLite and D1 take this file as it is. Times are UTC milliseconds, truth values 0 and 1, money nano-dollars.
-- D1 binds every number as a double: only columns of INTEGER affinity turn it back into an integer.
-- WITHOUT ROWID makes a row one write instead of two; each index is one more, and D1 bills by the write.

CREATE TABLE schema_version (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL
);
INSERT INTO schema_version (only_row, version) VALUES (1, 1);

CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL UNIQUE, -- SHA-256 of the whole key, in hexadecimal
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL, -- names, sorted, as a JSON array
    plan TEXT NOT NULL,
    limits TEXT NOT NULL, -- its own, by name, as a JSON object; null is unlimited
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    plan TEXT NOT NULL,
    limits TEXT NOT NULL, -- as those of a key
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- A request id begins with the second in which its hold expires, so the primary key is the index by time, too.
CREATE TABLE usage (
    request_id TEXT PRIMARY KEY NOT NULL,
    key_id TEXT NOT NULL,
    user TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    streamed INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    image_tokens INTEGER NOT NULL,
    audio_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    provider_cost INTEGER,
    held INTEGER NOT NULL,
    held_tokens INTEGER NOT NULL,
    sub_window INTEGER NOT NULL, -- of the meter, in which the request is booked
    abandoned INTEGER NOT NULL, -- its hold expired before anybody settled it
    started_ms INTEGER NOT NULL,
    first_byte_ms INTEGER,
    total_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- One index for both readers: a key belongs to one user for good, so whoever asks for a key can name the user.
CREATE INDEX usage_by_key ON usage (user, key_id, started_ms);

-- One row for each key and each user that has limits: what common/metering/standing.py calls a standing.
CREATE TABLE meter (
    name TEXT PRIMARY KEY NOT NULL, -- `key:` or `user:`, and its id
    sub_window INTEGER NOT NULL DEFAULT 0,
    in_flight INTEGER NOT NULL DEFAULT 0,
    day_requests INTEGER NOT NULL DEFAULT 0,
    day_tokens INTEGER NOT NULL DEFAULT 0,
    committed_day INTEGER NOT NULL DEFAULT 0,
    committed_month INTEGER NOT NULL DEFAULT 0,
    committed_total INTEGER NOT NULL DEFAULT 0,
    requests_0 INTEGER NOT NULL DEFAULT 0,
    requests_1 INTEGER NOT NULL DEFAULT 0,
    requests_2 INTEGER NOT NULL DEFAULT 0,
    requests_3 INTEGER NOT NULL DEFAULT 0,
    requests_4 INTEGER NOT NULL DEFAULT 0,
    requests_5 INTEGER NOT NULL DEFAULT 0,
    requests_6 INTEGER NOT NULL DEFAULT 0,
    requests_7 INTEGER NOT NULL DEFAULT 0,
    requests_8 INTEGER NOT NULL DEFAULT 0,
    requests_9 INTEGER NOT NULL DEFAULT 0,
    requests_10 INTEGER NOT NULL DEFAULT 0,
    requests_11 INTEGER NOT NULL DEFAULT 0,
    requests_12 INTEGER NOT NULL DEFAULT 0,
    requests_13 INTEGER NOT NULL DEFAULT 0,
    tokens_0 INTEGER NOT NULL DEFAULT 0,
    tokens_1 INTEGER NOT NULL DEFAULT 0,
    tokens_2 INTEGER NOT NULL DEFAULT 0,
    tokens_3 INTEGER NOT NULL DEFAULT 0,
    tokens_4 INTEGER NOT NULL DEFAULT 0,
    tokens_5 INTEGER NOT NULL DEFAULT 0,
    tokens_6 INTEGER NOT NULL DEFAULT 0,
    tokens_7 INTEGER NOT NULL DEFAULT 0,
    tokens_8 INTEGER NOT NULL DEFAULT 0,
    tokens_9 INTEGER NOT NULL DEFAULT 0,
    tokens_10 INTEGER NOT NULL DEFAULT 0,
    tokens_11 INTEGER NOT NULL DEFAULT 0,
    tokens_12 INTEGER NOT NULL DEFAULT 0,
    tokens_13 INTEGER NOT NULL DEFAULT 0,
    holds TEXT NOT NULL DEFAULT '{}' -- the open ones, by request id, as a JSON object
) WITHOUT ROWID;

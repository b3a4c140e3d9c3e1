-- SQLite and D1 take this file as it is. Times are UTC milliseconds, truth values 0 and 1.
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
    output_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    first_byte_ms INTEGER,
    total_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- One index for both readers: a key belongs to one user for good, so whoever asks for a key can name the user.
CREATE INDEX usage_by_key ON usage (user, key_id, started_ms);

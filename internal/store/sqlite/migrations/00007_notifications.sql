-- Where notifications go, and those on their way.

-- +goose Up
-- +goose StatementBegin
ALTER TABLE events ADD COLUMN deployment_id TEXT;

CREATE TABLE channels (
    id              TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT,                              -- NULL for all
    type            TEXT NOT NULL CHECK (type IN ('webhook', 'email')),
    target          TEXT NOT NULL CHECK (target <> ''),
    ciphertext      BLOB,                              -- of the signing secret; NULL for mail
    kinds           TEXT NOT NULL CHECK (json_valid(kinds)),
    enabled         INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    failing_since   TEXT,
    last_error      TEXT,
    created_at      TEXT NOT NULL,
    created_by      TEXT,
    not_before      INTEGER NOT NULL,                  -- the last event before it was made
    seq             INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE deliveries (
    id          TEXT PRIMARY KEY NOT NULL,             -- webhook-id
    channel_id  TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    event_id    TEXT NOT NULL,
    kind        TEXT NOT NULL,
    body        BLOB NOT NULL,
    created_at  TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    at          TEXT,
    status_code INTEGER,
    error       TEXT,
    duration_ms INTEGER,
    next_at     TEXT,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped')),
    seq         INTEGER NOT NULL UNIQUE,
    UNIQUE (channel_id, event_id)
) STRICT;

CREATE INDEX deliveries_due     ON deliveries (channel_id, next_at, seq) WHERE state = 'pending';
CREATE INDEX deliveries_channel ON deliveries (channel_id, seq);
CREATE INDEX deliveries_over    ON deliveries (created_at) WHERE state <> 'pending';

CREATE TABLE outbox (
    only INTEGER PRIMARY KEY CHECK (only = 1), -- one row
    seq  INTEGER NOT NULL                      -- the last event whose deliveries were made
) STRICT;

INSERT INTO outbox (only, seq) SELECT 1, coalesce(max(seq), 0) FROM events;
-- +goose StatementEnd

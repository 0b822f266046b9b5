-- What Berth keeps beside the seed's tables.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE installation (
    only       INTEGER PRIMARY KEY CHECK (only = 1), -- one row
    id         TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- Versions of environment values. They are added, never changed: specs and
-- history refer to them by id.
CREATE TABLE secret_versions (
    id              TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT NOT NULL,
    name            TEXT NOT NULL,
    ciphertext      BLOB NOT NULL,
    created_at      TEXT NOT NULL
) STRICT;

CREATE INDEX secret_versions_organization ON secret_versions (organization_id, name);

CREATE TABLE registry_credentials (
    registry   TEXT PRIMARY KEY NOT NULL,
    username   TEXT NOT NULL,
    ciphertext BLOB NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

-- A volume outlives its tenant, so it refers to the organization only.
CREATE TABLE volumes (
    name            TEXT PRIMARY KEY NOT NULL, -- in the engine
    organization_id TEXT NOT NULL,
    mount           TEXT NOT NULL,
    engine_id       TEXT,
    created_at      TEXT,                      -- when it was first seen to exist; its absence is data loss from then on
    kept_at         TEXT,                      -- when its tenant was deprovisioned without it
    deleted_at      TEXT                       -- when it was gone by order
) STRICT;

CREATE INDEX volumes_organization ON volumes (organization_id, name) WHERE deleted_at IS NULL;

CREATE TABLE requests (
    actor_id        TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint     BLOB NOT NULL,
    deployment_id   TEXT REFERENCES tenant_deployments (id) ON DELETE RESTRICT,
    status          INTEGER,                   -- of the final answer; NULL until it was given
    answer          BLOB,
    created_at      TEXT NOT NULL,
    PRIMARY KEY (actor_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_age        ON requests (created_at);
CREATE INDEX requests_deployment ON requests (deployment_id) WHERE deployment_id IS NOT NULL;

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY NOT NULL,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,         -- SHA-256 of the text, which is never stored
    role         TEXT NOT NULL CHECK (role <> ''),
    created_at   TEXT NOT NULL,
    expires_at   TEXT,
    last_used_at TEXT,
    revoked_at   TEXT,
    seq          INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE events (
    id              TEXT PRIMARY KEY NOT NULL,
    organization_id TEXT,                      -- NULL for what concerns no tenant
    occurred_at     TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind <> ''),
    message         TEXT NOT NULL,
    seq             INTEGER NOT NULL UNIQUE
) STRICT;

CREATE INDEX events_organization ON events (organization_id, seq);
-- +goose StatementEnd

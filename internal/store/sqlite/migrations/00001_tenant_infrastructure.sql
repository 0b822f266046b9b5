-- The seed's four tables: every column by its name and in its order, then,
-- below the line "beyond the seed", what Berth needs beside them.
--
-- Where this differs from the seed, and why:
--   * Unknown is NULL. Defaults that would claim knowledge (the seed's
--     DEFAULT 0 on counters nobody filled) are gone.
--   * Uniqueness covers living rows. A deprovisioned tenant stays as a
--     tombstone with its history, so foreign keys restrict and never cascade.
--   * created_by and deployed_by hold the id of an actor, which may be a token
--     or Berth itself; there is no table of users to refer to.
--   * Numbers are 8 bytes wide (INTEGER, REAL): the seed's DECIMAL(3,2) cores
--     and DECIMAL(5,2) percent end at 9.99 and 999.99. The PostgreSQL twin uses
--     NUMERIC(6,2) for cores and NUMERIC(9,2) for percent.
--
-- Ids are UUIDs in lower case. Times are UTC, RFC 3339 with microseconds
-- ("2026-01-02T03:04:05.000006Z"), the precision of PostgreSQL's TIMESTAMPTZ;
-- their width is fixed, so they sort as text. 1 MB is 1,048,576 bytes.
-- seq is the order in which rows were written: lists and cursors follow it,
-- because a clock may jump and two rows may share a microsecond.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE tenant_containers (
    id                   TEXT PRIMARY KEY NOT NULL,
    organization_id      TEXT NOT NULL,
    tenant_name          TEXT NOT NULL,
    container_id         TEXT,            -- the engine's
    container_name       TEXT NOT NULL,
    image_tag            TEXT NOT NULL CHECK (image_tag <> ''),
    external_port        INTEGER CHECK (external_port BETWEEN 1 AND 65535),
    internal_port        INTEGER CHECK (internal_port BETWEEN 1 AND 65535),
    tenant_url           TEXT NOT NULL,
    cpu_limit            REAL NOT NULL CHECK (cpu_limit > 0), -- cores
    memory_limit_mb      INTEGER NOT NULL CHECK (memory_limit_mb > 0),
    disk_limit_mb        INTEGER NOT NULL CHECK (disk_limit_mb > 0),
    status               TEXT NOT NULL CHECK (status IN ('pending', 'provisioning', 'running', 'stopped', 'sleeping', 'failed', 'deprovisioning')),
    last_started_at      TEXT,
    last_stopped_at      TEXT,
    health_status        TEXT NOT NULL CHECK (health_status IN ('unknown', 'starting', 'healthy', 'unhealthy')),
    last_health_check_at TEXT,
    environment_vars     TEXT NOT NULL CHECK (json_valid(environment_vars)), -- variable name to secret version id
    volume_mounts        TEXT NOT NULL CHECK (json_valid(volume_mounts)),    -- [{"volume": …, "mount": …}], follows table volumes
    created_at           TEXT NOT NULL,
    updated_at           TEXT NOT NULL,
    created_by           TEXT,
    -- beyond the seed
    slug                 TEXT NOT NULL CHECK (slug <> ''),
    search_text          TEXT NOT NULL,   -- name and slug, case folded
    engine_id            TEXT,            -- the engine that holds its volumes
    subnet               TEXT,
    want                 TEXT NOT NULL CHECK (want IN ('running', 'stopped', 'gone')),
    generation           INTEGER NOT NULL CHECK (generation >= 0),
    image_digest         TEXT,            -- NULL until the engine has looked
    blueprint            TEXT NOT NULL,   -- name@version
    replicas             INTEGER NOT NULL CHECK (replicas > 0),
    cause                TEXT,            -- why it is failed or unhealthy
    deprovisioned_at     TEXT,            -- NULL for a living tenant
    revision             INTEGER NOT NULL,
    seq                  INTEGER NOT NULL UNIQUE
) STRICT;

CREATE UNIQUE INDEX tenant_containers_organization ON tenant_containers (organization_id) WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX tenant_containers_slug         ON tenant_containers (slug)            WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX tenant_containers_name         ON tenant_containers (container_name)  WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX tenant_containers_container    ON tenant_containers (container_id)    WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX tenant_containers_port         ON tenant_containers (external_port)   WHERE deprovisioned_at IS NULL;
CREATE UNIQUE INDEX tenant_containers_subnet       ON tenant_containers (subnet)          WHERE deprovisioned_at IS NULL;
-- Target of foreign keys that carry the organization.
CREATE UNIQUE INDEX tenant_containers_owner        ON tenant_containers (id, organization_id);
CREATE INDEX tenant_containers_list                ON tenant_containers (seq)             WHERE deprovisioned_at IS NULL;
CREATE INDEX tenant_containers_tombstones          ON tenant_containers (organization_id, seq) WHERE deprovisioned_at IS NOT NULL;

CREATE TABLE tenant_health (
    id                TEXT PRIMARY KEY NOT NULL,
    container_id      TEXT NOT NULL,
    checked_at        TEXT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('healthy', 'unhealthy', 'timeout')),
    response_time_ms  INTEGER,            -- rounded up
    http_status_code  INTEGER,            -- NULL if there was no answer
    error_message     TEXT,
    cpu_usage_percent REAL,               -- 100 is one core
    memory_usage_mb   INTEGER,
    disk_usage_mb     INTEGER,
    check_type        TEXT,
    check_endpoint    TEXT,
    created_at        TEXT NOT NULL,
    -- beyond the seed
    organization_id   TEXT NOT NULL,
    seq               INTEGER NOT NULL UNIQUE,
    FOREIGN KEY (container_id, organization_id) REFERENCES tenant_containers (id, organization_id) ON DELETE RESTRICT
) STRICT;

CREATE INDEX tenant_health_organization ON tenant_health (organization_id, seq);
CREATE INDEX tenant_health_container    ON tenant_health (container_id, organization_id);

CREATE TABLE tenant_resource_usage (
    id                    TEXT PRIMARY KEY NOT NULL,
    container_id          TEXT NOT NULL,
    recorded_at           TEXT NOT NULL,
    period_start          TEXT NOT NULL,
    period_end            TEXT NOT NULL,
    cpu_usage_percent_avg REAL,           -- 100 is one core
    cpu_usage_percent_max REAL,
    cpu_throttling_count  INTEGER,
    memory_usage_mb_avg   INTEGER,
    memory_usage_mb_max   INTEGER,
    memory_limit_mb       INTEGER,
    oom_kill_count        INTEGER,
    network_rx_bytes      INTEGER,
    network_tx_bytes      INTEGER,
    disk_usage_mb         INTEGER,
    disk_io_read_mb       INTEGER,
    disk_io_write_mb      INTEGER,
    request_count         INTEGER,
    error_count           INTEGER,
    avg_response_time_ms  INTEGER,
    created_at            TEXT NOT NULL,
    -- beyond the seed
    organization_id       TEXT NOT NULL,
    FOREIGN KEY (container_id, organization_id) REFERENCES tenant_containers (id, organization_id) ON DELETE RESTRICT
) STRICT;

CREATE INDEX tenant_resource_usage_period    ON tenant_resource_usage (organization_id, period_start);
CREATE INDEX tenant_resource_usage_container ON tenant_resource_usage (container_id, organization_id);

CREATE TABLE tenant_deployments (
    id                     TEXT PRIMARY KEY NOT NULL,
    container_id           TEXT NOT NULL,
    deployment_type        TEXT NOT NULL CHECK (deployment_type IN ('provision', 'update', 'restart', 'scale', 'rollback', 'config', 'stop', 'deprovision')),
    status                 TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'failed', 'superseded')),
    previous_image_tag     TEXT,
    new_image_tag          TEXT NOT NULL CHECK (new_image_tag <> ''),
    previous_config        TEXT CHECK (json_valid(previous_config)), -- a whole spec; secrets by version id, never by value
    new_config             TEXT NOT NULL CHECK (json_valid(new_config)),
    started_at             TEXT,          -- when the loop took it up
    completed_at           TEXT,          -- NULL until it is over
    error_message          TEXT,
    can_rollback           INTEGER NOT NULL CHECK (can_rollback IN (0, 1)),
    rollback_deployment_id TEXT REFERENCES tenant_deployments (id) ON DELETE RESTRICT,
    deployed_by            TEXT,
    deployment_notes       TEXT,
    created_at             TEXT NOT NULL,
    -- beyond the seed
    organization_id        TEXT NOT NULL,
    generation             INTEGER NOT NULL CHECK (generation >= 0),
    want                   TEXT NOT NULL CHECK (want IN ('running', 'stopped', 'gone')),
    previous_want          TEXT CHECK (previous_want IN ('running', 'stopped', 'gone')),
    volumes                TEXT CHECK (volumes IN ('keep', 'delete')),
    seq                    INTEGER NOT NULL UNIQUE,
    FOREIGN KEY (container_id, organization_id) REFERENCES tenant_containers (id, organization_id) ON DELETE RESTRICT
) STRICT;

-- At most one deployment of a tenant is open.
CREATE UNIQUE INDEX tenant_deployments_open ON tenant_deployments (container_id) WHERE status = 'pending';
CREATE INDEX tenant_deployments_history     ON tenant_deployments (organization_id, seq);
CREATE INDEX tenant_deployments_container   ON tenant_deployments (container_id, organization_id);
CREATE INDEX tenant_deployments_rollback    ON tenant_deployments (rollback_deployment_id) WHERE rollback_deployment_id IS NOT NULL;
-- +goose StatementEnd

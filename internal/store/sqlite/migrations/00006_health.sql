-- The record of probes: single ones for a time, then their sums.

-- +goose Up
-- +goose StatementBegin
-- Of what is summed, and of what is dropped.
CREATE INDEX tenant_health_time ON tenant_health (checked_at, seq);

CREATE TABLE tenant_health_rollups (
    container_id           TEXT NOT NULL,
    organization_id        TEXT NOT NULL,
    resolution             TEXT NOT NULL CHECK (resolution IN ('hour', 'day')),
    period_start           TEXT NOT NULL,
    healthy_count          INTEGER NOT NULL CHECK (healthy_count >= 0),
    unhealthy_count        INTEGER NOT NULL CHECK (unhealthy_count >= 0),
    timeout_count          INTEGER NOT NULL CHECK (timeout_count >= 0),
    response_time_ms_total INTEGER NOT NULL, -- of all counts together
    response_time_ms_max   INTEGER NOT NULL,
    PRIMARY KEY (container_id, resolution, period_start),
    FOREIGN KEY (container_id, organization_id) REFERENCES tenant_containers (id, organization_id) ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_health_rollups_organization ON tenant_health_rollups (organization_id, resolution, period_start);
CREATE INDEX tenant_health_rollups_time         ON tenant_health_rollups (resolution, period_start);
-- +goose StatementEnd

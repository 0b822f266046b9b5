-- Usage in three resolutions, and where the counters stood.
--
-- The seed's *_mb columns hold what was rounded to megabytes; the columns in
-- bytes are what it was rounded from.

-- +goose Up
-- +goose StatementBegin
ALTER TABLE tenant_resource_usage ADD COLUMN resolution TEXT NOT NULL DEFAULT 'minute' CHECK (resolution IN ('minute', 'hour', 'day'));
ALTER TABLE tenant_resource_usage ADD COLUMN memory_usage_bytes_avg INTEGER;
ALTER TABLE tenant_resource_usage ADD COLUMN memory_usage_bytes_max INTEGER;
ALTER TABLE tenant_resource_usage ADD COLUMN disk_usage_bytes INTEGER;
ALTER TABLE tenant_resource_usage ADD COLUMN disk_io_read_bytes INTEGER;
ALTER TABLE tenant_resource_usage ADD COLUMN disk_io_write_bytes INTEGER;
ALTER TABLE tenant_resource_usage ADD COLUMN avg_response_time_us INTEGER;
ALTER TABLE tenant_resource_usage ADD COLUMN samples INTEGER NOT NULL DEFAULT 0;

DROP INDEX tenant_resource_usage_period;
CREATE UNIQUE INDEX tenant_resource_usage_period ON tenant_resource_usage (organization_id, resolution, period_start);
CREATE INDEX tenant_resource_usage_age           ON tenant_resource_usage (resolution, period_start);

-- Where each tenant's counters stood when its last period ended.
CREATE TABLE usage_marks (
    organization_id TEXT PRIMARY KEY NOT NULL,
    period_end      TEXT NOT NULL,
    counters        TEXT NOT NULL CHECK (json_valid(counters)) -- by container
) STRICT;
-- +goose StatementEnd

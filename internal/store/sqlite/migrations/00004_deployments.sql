-- How a deployment went.

-- +goose Up
ALTER TABLE tenant_deployments ADD COLUMN steps TEXT CHECK (json_valid(steps)); -- [{"name": …, "startedAt": …, "endedAt": …, "error": …}]

-- How a deployment went.

-- +goose Up
-- +goose StatementBegin
ALTER TABLE tenant_deployments ADD COLUMN steps TEXT CHECK (json_valid(steps)); -- [{"name": …, "startedAt": …, "endedAt": …, "error": …}]
-- +goose StatementEnd

-- What is over is dropped after a time: see docs/retention.md.

-- +goose Up
-- +goose StatementBegin
CREATE INDEX tenant_containers_removed ON tenant_containers (deprovisioned_at) WHERE deprovisioned_at IS NOT NULL;
DROP INDEX tenant_deployments_rollback;
CREATE INDEX tenant_deployments_rollback ON tenant_deployments (rollback_deployment_id, seq) WHERE rollback_deployment_id IS NOT NULL;
CREATE INDEX tokens_expiry       ON tokens (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX tokens_revoked      ON tokens (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX invitations_expiry  ON invitations (expires_at);
CREATE INDEX invitations_revoked ON invitations (revoked_at) WHERE revoked_at IS NOT NULL;

-- Whoever deletes: a tenant that lives and a deployment that is open stay.
CREATE TRIGGER tenant_containers_keep_living BEFORE DELETE ON tenant_containers WHEN OLD.deprovisioned_at IS NULL
BEGIN SELECT RAISE(ABORT, 'a tenant that lives is never deleted'); END;
CREATE TRIGGER tenant_deployments_keep_open BEFORE DELETE ON tenant_deployments WHEN OLD.status = 'pending'
BEGIN SELECT RAISE(ABORT, 'a deployment that is open is never deleted'); END;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP TRIGGER tenant_deployments_keep_open;
DROP TRIGGER tenant_containers_keep_living;
DROP INDEX invitations_revoked;
DROP INDEX invitations_expiry;
DROP INDEX tokens_revoked;
DROP INDEX tokens_expiry;
DROP INDEX tenant_deployments_rollback;
CREATE INDEX tenant_deployments_rollback ON tenant_deployments (rollback_deployment_id) WHERE rollback_deployment_id IS NOT NULL;
DROP INDEX tenant_containers_removed;
-- +goose StatementEnd

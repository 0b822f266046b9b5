-- Every index costs each row of the history a page; nothing looks by these:
-- what belongs to a tenant is found by its organization.

-- +goose Up
-- +goose StatementBegin
DROP INDEX tenant_health_container;
DROP INDEX tenant_resource_usage_container;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE INDEX tenant_health_container         ON tenant_health (container_id, organization_id);
CREATE INDEX tenant_resource_usage_container ON tenant_resource_usage (container_id, organization_id);
-- +goose StatementEnd

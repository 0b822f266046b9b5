-- Blueprints in versions, and what tenants of several services need.

-- +goose Up
-- +goose StatementBegin
-- Versions are added, never changed: deployments refer to them by name@version.
CREATE TABLE blueprints (
    name       TEXT NOT NULL CHECK (name <> ''),
    version    INTEGER NOT NULL CHECK (version > 0),
    hash       TEXT NOT NULL CHECK (hash <> ''), -- of source
    source     BLOB NOT NULL,                    -- the compose file, byte for byte
    created_at TEXT NOT NULL,
    created_by TEXT,
    seq        INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (name, version)
) STRICT;

ALTER TABLE tenant_containers ADD COLUMN image_pins TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(image_pins)); -- service to pin, for those whose image is not image_digest
ALTER TABLE tenant_containers ADD COLUMN release INTEGER NOT NULL DEFAULT 0 CHECK (release >= 0);   -- generation that last changed what runs
ALTER TABLE tenant_containers ADD COLUMN released INTEGER NOT NULL DEFAULT 0 CHECK (released >= 0); -- newest release whose services that run once ended well

ALTER TABLE tenant_deployments ADD COLUMN adopt INTEGER NOT NULL DEFAULT 0 CHECK (adopt IN (0, 1));
-- +goose StatementEnd

-- Organizations, who belongs to them, and who asks.
--
-- Of what proves who somebody is, only SHA-256 is here. Scopes are names with
-- spaces between them, so that no change of their order changes what they allow.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE organizations (
    id           TEXT PRIMARY KEY NOT NULL,
    name         TEXT NOT NULL,
    self_service TEXT NOT NULL DEFAULT '', -- scopes: what its own people may do to its tenant
    created_at   TEXT NOT NULL
) STRICT;

-- Every tenant that is or was belongs to one.
INSERT INTO organizations (id, name, created_at)
SELECT organization_id, tenant_name, (SELECT min(created_at) FROM tenant_containers WHERE organization_id = c.organization_id)
FROM tenant_containers c WHERE seq = (SELECT seq FROM tenant_containers WHERE organization_id = c.organization_id
    ORDER BY deprovisioned_at IS NOT NULL, seq DESC LIMIT 1);

CREATE TABLE users (
    id          TEXT PRIMARY KEY NOT NULL,
    email       TEXT NOT NULL,        -- as given
    email_key   TEXT NOT NULL UNIQUE, -- without case
    name        TEXT NOT NULL,
    operator    INTEGER NOT NULL CHECK (operator IN (0, 1)),
    created_at  TEXT NOT NULL,
    disabled_at TEXT
) STRICT;

CREATE TABLE identities (
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE memberships (
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE RESTRICT,
    role            TEXT NOT NULL CHECK (role IN ('admin', 'member', 'deployer')),
    created_at      TEXT NOT NULL,
    PRIMARY KEY (user_id, organization_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_organization ON memberships (organization_id, user_id);

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY NOT NULL,
    hash         BLOB NOT NULL UNIQUE, -- SHA-256 of the secret, which is never stored
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    address      TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    last_seen_at TEXT,
    revoked_at   TEXT,
    seq          INTEGER NOT NULL UNIQUE
) STRICT;

CREATE INDEX sessions_user    ON sessions (user_id, seq);
CREATE INDEX sessions_expiry  ON sessions (expires_at);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE invitations (
    id              TEXT PRIMARY KEY NOT NULL,
    hash            BLOB NOT NULL UNIQUE, -- SHA-256 of the secret, which is never stored
    email           TEXT NOT NULL,
    organization_id TEXT REFERENCES organizations (id) ON DELETE RESTRICT, -- NULL for the installation
    role            TEXT NOT NULL CHECK (role <> ''),
    created_by      TEXT,
    created_at      TEXT NOT NULL,
    expires_at      TEXT NOT NULL,
    accepted_at     TEXT,
    accepted_by     TEXT REFERENCES users (id) ON DELETE RESTRICT,
    revoked_at      TEXT,
    seq             INTEGER NOT NULL UNIQUE
) STRICT;

CREATE INDEX invitations_organization ON invitations (organization_id, seq);

ALTER TABLE tokens ADD COLUMN organization_id TEXT REFERENCES organizations (id) ON DELETE RESTRICT; -- NULL for one of no organization
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '';                                      -- '' is all of the role's
ALTER TABLE tokens ADD COLUMN created_by TEXT;

CREATE INDEX tokens_organization ON tokens (organization_id, seq);
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- What an earlier Berth does not know must not be all-powerful there.
DELETE FROM tokens WHERE organization_id IS NOT NULL OR scopes <> '' OR role <> 'operator';
DROP INDEX tokens_organization;
ALTER TABLE tokens DROP COLUMN created_by;
ALTER TABLE tokens DROP COLUMN scopes;
ALTER TABLE tokens DROP COLUMN organization_id;
DROP TABLE invitations;
DROP TABLE sessions;
DROP TABLE memberships;
DROP TABLE identities;
DROP TABLE users;
DROP TABLE organizations;
-- +goose StatementEnd

-- Who did what, and who was refused. There is no way down: what is here must
-- not go.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE audit_log (
    seq             INTEGER PRIMARY KEY NOT NULL, -- in the order of writing, all chains
    id              TEXT NOT NULL UNIQUE,
    organization_id TEXT NOT NULL,                -- '' for the installation's chain
    chain_seq       INTEGER NOT NULL,             -- in its chain, from 1
    occurred_at     TEXT NOT NULL,
    actor_id        TEXT NOT NULL,
    actor_name      TEXT NOT NULL,
    actor_role      TEXT NOT NULL,
    address         TEXT NOT NULL,
    request_id      TEXT NOT NULL,
    action          TEXT NOT NULL CHECK (action <> ''),
    target          TEXT NOT NULL,
    outcome         TEXT NOT NULL CHECK (outcome IN ('done', 'denied')),
    code            TEXT NOT NULL,
    before          TEXT NOT NULL,                -- JSON, or ''
    after           TEXT NOT NULL,                -- JSON, or ''
    prev_hash       BLOB NOT NULL,                -- empty for the first of a chain
    hash            BLOB NOT NULL,
    UNIQUE (organization_id, chain_seq)
) STRICT;

CREATE INDEX audit_log_organization ON audit_log (organization_id, seq);

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;

CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_log_append BEFORE INSERT ON audit_log
WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM audit_log)
    OR NEW.chain_seq <> 1 + (SELECT coalesce(max(chain_seq), 0) FROM audit_log WHERE organization_id = NEW.organization_id)
    OR EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
-- +goose StatementEnd

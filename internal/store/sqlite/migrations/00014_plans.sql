-- What is read by engine, and what is dropped by age, is found by an index.

-- +goose Up
-- +goose StatementBegin
CREATE INDEX tenant_containers_engine ON tenant_containers (engine_id, seq) WHERE deprovisioned_at IS NULL;
CREATE INDEX events_time              ON events (occurred_at, seq);

-- Before SQLite 3.45, json_valid(NULL) is 0, which is no JSON: the integrity
-- check of an older sqlite3, such as Debian 12's, called every row damaged whose
-- previous_config or steps is not known. No row changes, and none is read in
-- another way: the two checks say now what they meant. The new indexes above make
-- every connection read the schema again.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
        'CHECK (json_valid(previous_config))', 'CHECK (previous_config IS NULL OR json_valid(previous_config))'),
        'CHECK (json_valid(steps))', 'CHECK (steps IS NULL OR json_valid(steps))')
WHERE type = 'table' AND name = 'tenant_deployments';
PRAGMA writable_schema = RESET;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP INDEX events_time;
DROP INDEX tenant_containers_engine;
-- +goose StatementEnd

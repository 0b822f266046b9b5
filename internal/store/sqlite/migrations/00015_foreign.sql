-- Foreign objects that were told of: each is told of once, however long it stays
-- and whatever comes of it.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE foreign_objects (
    engine_id TEXT NOT NULL,
    kind      TEXT NOT NULL,
    object_id TEXT NOT NULL, -- the engine's; the name of what has none
    found_at  TEXT NOT NULL,
    PRIMARY KEY (engine_id, kind, object_id)
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP TABLE foreign_objects;
-- +goose StatementEnd

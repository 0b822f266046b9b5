-- Images that Berth had an engine pull, and may take away again.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE pulled_images (
    engine_id TEXT NOT NULL,
    pin       TEXT NOT NULL,
    reference TEXT NOT NULL,
    pulled_at TEXT NOT NULL,
    PRIMARY KEY (engine_id, pin)
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd

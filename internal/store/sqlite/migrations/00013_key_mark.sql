-- By what a database knows the keys that its secrets are sealed with.

-- +goose Up
-- +goose StatementBegin
ALTER TABLE installation ADD COLUMN ciphertext BLOB; -- sealed with them; NULL until a first start with keys
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
ALTER TABLE installation DROP COLUMN ciphertext;
-- +goose StatementEnd

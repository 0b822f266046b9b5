-- By what a database knows the keys that its secrets are sealed with.

-- +goose Up
ALTER TABLE installation ADD COLUMN ciphertext BLOB; -- sealed with them; NULL until a first start with keys

-- +goose Down
ALTER TABLE installation DROP COLUMN ciphertext;

-- +goose Up
-- Who there is. A token's column scope is read by older programs only: 'owner' lets them
-- do everything, any other word nothing.
CREATE TABLE account (
    name     TEXT PRIMARY KEY,
    document TEXT NOT NULL
);

ALTER TABLE token ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN document TEXT NOT NULL DEFAULT '{}';
ALTER TABLE token ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
UPDATE token SET id = 'tok_' || substr(hash, 1, 32);
CREATE UNIQUE INDEX token_by_id ON token (id);

ALTER TABLE model ADD COLUMN team TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE model DROP COLUMN team;
DROP INDEX token_by_id;
ALTER TABLE token DROP COLUMN used;
ALTER TABLE token DROP COLUMN document;
ALTER TABLE token DROP COLUMN id;
DROP TABLE account;

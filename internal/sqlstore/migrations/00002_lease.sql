-- +goose Up
-- Who of several servers writes. Times are microseconds by the clock of the database.
CREATE TABLE lease (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    term    BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

-- +goose Down
DROP TABLE lease;

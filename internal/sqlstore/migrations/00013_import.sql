-- +goose Up
-- What came from other servers, by its id there. A row is there before the thing itself, so
-- that an import that was broken off knows its own. Its mark says what it was like there when
-- all of it had come, its note what is not as it was there: each report says it again.
CREATE TABLE imported (
    source    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    source_id TEXT NOT NULL,
    id        TEXT NOT NULL,
    team      TEXT NOT NULL,
    place     TEXT NOT NULL,
    mark      TEXT NOT NULL,
    note      TEXT NOT NULL,
    PRIMARY KEY (source, kind, source_id)
);

-- +goose Down
DROP TABLE imported;

-- +goose Up
-- Keys are base64, and sealed. An older program leaves these tables as they are: without
-- them nothing that is encrypted would ever open again.
CREATE TABLE IF NOT EXISTS data_key (
    space   TEXT NOT NULL,
    version BIGINT NOT NULL,
    state   TEXT NOT NULL,
    wrapper TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (space, version)
);

CREATE TABLE IF NOT EXISTS key_use (
    space   TEXT NOT NULL,
    version BIGINT NOT NULL,
    kind    TEXT NOT NULL,
    PRIMARY KEY (space, version, kind)
);

CREATE TABLE IF NOT EXISTS object_key (
    object  TEXT NOT NULL,
    space   TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed  TEXT NOT NULL,
    PRIMARY KEY (object, space)
);
CREATE INDEX IF NOT EXISTS object_key_by_space ON object_key (space, version, object);

CREATE TABLE IF NOT EXISTS secret (
    team     TEXT NOT NULL,
    name     TEXT NOT NULL,
    version  BIGINT NOT NULL, -- of the data key; 0 for a reference
    sealed   TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (team, name)
);

-- +goose Down
-- Nothing: see above.
SELECT 1;

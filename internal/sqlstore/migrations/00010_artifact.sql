-- +goose Up
-- Files of runs and models, by directory and name, so that a directory is listed by one range
-- of an index; the directories that have something in them; whose first segments are; blobs
-- that may be unused; uploads in parts. An older program leaves these tables as they are.
CREATE TABLE IF NOT EXISTS artifact (
    dir     TEXT NOT NULL,
    name    TEXT NOT NULL,
    digest  TEXT NOT NULL,
    size    BIGINT NOT NULL,
    type    TEXT NOT NULL,
    team    TEXT NOT NULL,
    actor   TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (dir, name)
);
CREATE INDEX IF NOT EXISTS artifact_by_digest ON artifact (digest);

CREATE TABLE IF NOT EXISTS artifact_dir (
    path   TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    name   TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS artifact_dir_by_parent ON artifact_dir (parent, name);

CREATE TABLE IF NOT EXISTS artifact_root (
    name TEXT PRIMARY KEY,
    team TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS artifact_unused (
    digest TEXT PRIMARY KEY
);

CREATE TABLE IF NOT EXISTS upload (
    id      TEXT PRIMARY KEY,
    path    TEXT NOT NULL,
    type    TEXT NOT NULL,
    team    TEXT NOT NULL,
    actor   TEXT NOT NULL,
    parts   BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    done    TEXT NOT NULL -- digest; empty while it is under way
);
CREATE INDEX IF NOT EXISTS upload_by_expiry ON upload (expires);

CREATE TABLE IF NOT EXISTS upload_part (
    upload TEXT NOT NULL,
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    size   BIGINT NOT NULL,
    PRIMARY KEY (upload, number)
);
CREATE INDEX IF NOT EXISTS upload_part_by_digest ON upload_part (digest);

-- +goose Down
-- Nothing: without them the files could not be found any more.
SELECT 1;

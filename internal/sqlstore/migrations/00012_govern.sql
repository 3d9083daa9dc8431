-- +goose Up
-- Who may move an alias, and whose approval that needs. Lifted 0: in force.
CREATE TABLE alias_rule (
    id       TEXT PRIMARY KEY,
    model    TEXT NOT NULL, -- or team; the other is empty
    team     TEXT NOT NULL,
    created  BIGINT NOT NULL,
    lifted   BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX alias_rule_by_model ON alias_rule (model, created);
CREATE INDEX alias_rule_by_team ON alias_rule (team, created);

-- Requests for approval of a move. Waiting 0: done or rejected.
CREATE TABLE alias_request (
    id       TEXT PRIMARY KEY,
    number   BIGINT NOT NULL UNIQUE,
    model    TEXT NOT NULL,
    alias    TEXT NOT NULL,
    waiting  BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX alias_request_by_alias ON alias_request (model, alias, number);
CREATE INDEX alias_request_waiting ON alias_request (number) WHERE waiting = 1;

-- Where an alias pointed when, and by which request it got there.
ALTER TABLE alias_change ADD COLUMN request TEXT NOT NULL DEFAULT '';
CREATE INDEX alias_change_by_alias ON alias_change (model, alias, seq);
CREATE INDEX alias_change_by_time ON alias_change (model, alias, time, seq);

-- Keys that sign versions, the private half sealed. Retired 0: it signs. An older program
-- leaves this table and the next two as they are: signatures and cards are for good.
CREATE TABLE IF NOT EXISTS signing_key (
    id      TEXT PRIMARY KEY,
    public  TEXT NOT NULL,
    sealed  TEXT NOT NULL,
    created BIGINT NOT NULL,
    retired BIGINT NOT NULL
);

-- Signatures of versions, as sigstore bundles.
CREATE TABLE IF NOT EXISTS signature (
    model   TEXT NOT NULL,
    number  BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    key     TEXT NOT NULL,
    bundle  TEXT NOT NULL,
    created BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    PRIMARY KEY (model, number, seq)
);

-- Model cards of versions, each text that they ever had.
CREATE TABLE IF NOT EXISTS model_card (
    model   TEXT NOT NULL,
    number  BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    text    TEXT NOT NULL,
    created BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    PRIMARY KEY (model, number, seq)
);

-- Which deployments brought a version somewhere. Model empty: of an older program, to be
-- filled in from the document.
ALTER TABLE deployment ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE deployment ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployment ADD COLUMN revision TEXT NOT NULL DEFAULT '';
CREATE INDEX deployment_by_version ON deployment (model, version, number);
CREATE INDEX deployment_by_revision ON deployment (revision) WHERE revision <> '';

-- +goose Down
DROP INDEX deployment_by_revision;
DROP INDEX deployment_by_version;
ALTER TABLE deployment DROP COLUMN revision;
ALTER TABLE deployment DROP COLUMN version;
ALTER TABLE deployment DROP COLUMN model;
DROP INDEX alias_change_by_time;
DROP INDEX alias_change_by_alias;
ALTER TABLE alias_change DROP COLUMN request;
DROP TABLE alias_request;
DROP TABLE alias_rule;

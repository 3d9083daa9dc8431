-- +goose Up
-- The registry as MLflow's clients know it. Of tables whose constraints change a copy is
-- made, for SQLite cannot change them. Versions are removed by a mark: their numbers are
-- never given again.
ALTER TABLE model ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE model ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
ALTER TABLE model ADD COLUMN updated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE model ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE model ADD COLUMN prompt BIGINT NOT NULL DEFAULT 0; -- 1: a prompt, by its tags
UPDATE model SET
    created = COALESCE((SELECT MIN(v.created) FROM version v WHERE v.model = model.name), 0),
    updated = COALESCE((SELECT MAX(v.created) FROM version v WHERE v.model = model.name), 0),
    actor = COALESCE((SELECT v.actor FROM version v WHERE v.model = model.name AND v.number = 1), '');
CREATE INDEX model_by_update ON model (updated DESC, name);
CREATE INDEX model_by_team ON model (team);

-- The highest number of a model that had a name before: numbers go on from there.
CREATE TABLE model_retired (
    name   TEXT PRIMARY KEY,
    latest BIGINT NOT NULL
);

CREATE TABLE version_new (
    model        TEXT NOT NULL REFERENCES model (name) ON UPDATE CASCADE,
    number       BIGINT NOT NULL,
    digest       TEXT NOT NULL, -- empty: the files lie elsewhere
    source       TEXT NOT NULL,
    place        TEXT NOT NULL DEFAULT '', -- where the files lie, if they are not here and not at the source
    created      BIGINT NOT NULL,
    actor        TEXT NOT NULL,
    updated      BIGINT NOT NULL DEFAULT 0,
    deleted      BIGINT NOT NULL DEFAULT 0, -- 0: it is there
    stage        TEXT NOT NULL DEFAULT 'None',
    description  TEXT NOT NULL DEFAULT '',
    run_id       TEXT NOT NULL DEFAULT '',
    run_link     TEXT NOT NULL DEFAULT '',
    logged_model TEXT NOT NULL DEFAULT '',
    files        TEXT NOT NULL, -- the last column: it may be large, and lists do not read it
    PRIMARY KEY (model, number)
);
INSERT INTO version_new (model, number, digest, source, created, actor, updated, files)
    SELECT model, number, digest, source, created, actor, created, files FROM version;

CREATE TABLE alias_new (
    model  TEXT NOT NULL,
    alias  TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, number) REFERENCES version_new (model, number) ON UPDATE CASCADE
);
INSERT INTO alias_new (model, alias, number) SELECT model, alias, number FROM alias;

DROP TABLE alias;
DROP TABLE version;
ALTER TABLE version_new RENAME TO version;
ALTER TABLE alias_new RENAME TO alias;

CREATE INDEX alias_by_version ON alias (model, number);
CREATE INDEX version_by_digest ON version (model, digest, number);
CREATE INDEX version_by_number ON version (model, number DESC) WHERE deleted = 0;
CREATE INDEX version_by_stage ON version (model, stage, number) WHERE deleted = 0;
CREATE INDEX version_by_update ON version (updated DESC, model, number DESC) WHERE deleted = 0;
CREATE INDEX version_by_update_of_model ON version (model, updated DESC, number DESC) WHERE deleted = 0;
CREATE INDEX version_by_creation_of_model ON version (model, created DESC, number DESC) WHERE deleted = 0;
CREATE INDEX version_by_run ON version (run_id, model, number) WHERE deleted = 0;
CREATE INDEX version_by_source ON version (substr(source, 1, 100)) WHERE deleted = 0;

-- Values may be larger than a database puts into an index.
CREATE TABLE model_tag (
    model TEXT NOT NULL REFERENCES model (name) ON UPDATE CASCADE ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
);
CREATE INDEX model_tag_by_value ON model_tag (key, substr(value, 1, 64), model);

CREATE TABLE version_tag (
    model  TEXT NOT NULL REFERENCES model (name) ON UPDATE CASCADE ON DELETE CASCADE,
    number BIGINT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (model, number, key)
);
CREATE INDEX version_tag_by_value ON version_tag (key, substr(value, 1, 64), model, number);

-- +goose Down
-- The older tables hold a digest of a model once, and know no version without one. What
-- does not fit is left out: an upgrade to an older program looks for it first.
CREATE TABLE version_old (
    model   TEXT NOT NULL REFERENCES model (name),
    number  BIGINT NOT NULL,
    digest  TEXT NOT NULL,
    files   TEXT NOT NULL,
    source  TEXT NOT NULL,
    created BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    PRIMARY KEY (model, number),
    UNIQUE (model, digest)
);
INSERT INTO version_old (model, number, digest, files, source, created, actor)
    SELECT model, number, digest, files, source, created, actor FROM version v
    WHERE deleted = 0 AND digest <> ''
    AND NOT EXISTS (SELECT 1 FROM version n WHERE n.model = v.model AND n.digest = v.digest AND n.number > v.number AND n.deleted = 0);

CREATE TABLE alias_old (
    model  TEXT NOT NULL,
    alias  TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, number) REFERENCES version_old (model, number)
);
INSERT INTO alias_old (model, alias, number)
    SELECT model, alias, number FROM alias a WHERE EXISTS (SELECT 1 FROM version_old v WHERE v.model = a.model AND v.number = a.number);

DROP TABLE version_tag;
DROP TABLE model_tag;
DROP TABLE alias;
DROP TABLE version;
ALTER TABLE version_old RENAME TO version;
ALTER TABLE alias_old RENAME TO alias;
DROP TABLE model_retired;
DROP INDEX model_by_team;
DROP INDEX model_by_update;
ALTER TABLE model DROP COLUMN prompt;
ALTER TABLE model DROP COLUMN actor;
ALTER TABLE model DROP COLUMN updated;
ALTER TABLE model DROP COLUMN created;
ALTER TABLE model DROP COLUMN description;

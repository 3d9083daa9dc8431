-- +goose Up
-- Experiments, runs and logged models, as MLflow's clients keep them. Times are
-- milliseconds, as those send them. An older program leaves these tables as they are.
CREATE TABLE IF NOT EXISTS experiment (
    id       BIGINT PRIMARY KEY,
    team     TEXT NOT NULL,
    name     TEXT NOT NULL,
    location TEXT NOT NULL,
    stage    TEXT NOT NULL,
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL,
    tags     TEXT NOT NULL,
    UNIQUE (team, name)
);

CREATE TABLE IF NOT EXISTS experiment_tag (
    experiment BIGINT NOT NULL REFERENCES experiment (id),
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (experiment, key)
);

-- num is what the other tables call a run: an eighth of its id.
CREATE TABLE IF NOT EXISTS run (
    num          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    experiment   BIGINT NOT NULL REFERENCES experiment (id),
    name         TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    status       TEXT NOT NULL,
    start_time   BIGINT NOT NULL,
    end_time     BIGINT,
    artifact_uri TEXT NOT NULL,
    stage        TEXT NOT NULL,
    linked       SMALLINT NOT NULL
);
CREATE INDEX IF NOT EXISTS run_by_start ON run (experiment, stage, start_time DESC, id);

-- state is all that was logged in a run, of metrics the latest; tail are measurements that
-- do not fill a segment yet. unindexed says that run_metric does not have all of it yet.
CREATE TABLE IF NOT EXISTS run_state (
    run       INTEGER PRIMARY KEY REFERENCES run (num),
    segments  INTEGER NOT NULL,
    unindexed SMALLINT NOT NULL,
    state     BYTEA NOT NULL,
    tail      BYTEA NOT NULL
);
CREATE INDEX IF NOT EXISTS run_state_unindexed ON run_state (run) WHERE unindexed = 1;

-- Measurements in the order in which they came, some hundred a row.
CREATE TABLE IF NOT EXISTS metric_segment (
    run      INTEGER NOT NULL REFERENCES run (num),
    number   INTEGER NOT NULL,
    earliest BIGINT NOT NULL,
    latest   BIGINT NOT NULL,
    data     BYTEA NOT NULL,
    PRIMARY KEY (run, number)
);

-- What the states of runs say, to search by it.
CREATE TABLE IF NOT EXISTS run_metric (
    run        INTEGER NOT NULL REFERENCES run (num),
    key        TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    value      DOUBLE PRECISION NOT NULL,
    nan        SMALLINT NOT NULL,
    PRIMARY KEY (run, key)
);
CREATE INDEX IF NOT EXISTS run_metric_by_value ON run_metric (experiment, key, nan, value, run);

CREATE TABLE IF NOT EXISTS run_param (
    run        INTEGER NOT NULL REFERENCES run (num),
    key        TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (run, key)
);
CREATE INDEX IF NOT EXISTS run_param_by_value ON run_param (experiment, key, substr(value, 1, 100), run);

CREATE TABLE IF NOT EXISTS run_tag (
    run        INTEGER NOT NULL REFERENCES run (num),
    key        TEXT NOT NULL,
    experiment BIGINT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (run, key)
);
CREATE INDEX IF NOT EXISTS run_tag_by_value ON run_tag (experiment, key, substr(value, 1, 100), run);

CREATE TABLE IF NOT EXISTS dataset (
    num         INTEGER PRIMARY KEY,
    experiment  BIGINT NOT NULL REFERENCES experiment (id),
    name        TEXT NOT NULL,
    digest      TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source      TEXT NOT NULL,
    schema      TEXT NOT NULL,
    profile     TEXT NOT NULL,
    UNIQUE (experiment, name, digest)
);

CREATE TABLE IF NOT EXISTS run_dataset (
    run     INTEGER NOT NULL REFERENCES run (num),
    dataset INTEGER NOT NULL REFERENCES dataset (num),
    context TEXT,
    tags    TEXT NOT NULL,
    PRIMARY KEY (run, dataset)
);
CREATE INDEX IF NOT EXISTS run_dataset_by_dataset ON run_dataset (dataset, run);

CREATE TABLE IF NOT EXISTS run_model (
    run   INTEGER NOT NULL REFERENCES run (num),
    kind  TEXT NOT NULL,
    model TEXT NOT NULL,
    step  BIGINT NOT NULL,
    PRIMARY KEY (run, kind, model, step)
);
CREATE INDEX IF NOT EXISTS run_model_by_model ON run_model (model, kind, run);

CREATE TABLE IF NOT EXISTS logged_model (
    id             TEXT PRIMARY KEY,
    experiment     BIGINT NOT NULL REFERENCES experiment (id),
    name           TEXT NOT NULL,
    artifact_uri   TEXT NOT NULL,
    created        BIGINT NOT NULL,
    updated        BIGINT NOT NULL,
    status         TEXT NOT NULL,
    status_message TEXT NOT NULL,
    type           TEXT NOT NULL,
    source_run     TEXT,
    creator        TEXT NOT NULL,
    stage          TEXT NOT NULL,
    params         TEXT NOT NULL,
    tags           TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS logged_model_by_created ON logged_model (experiment, stage, created DESC, id);
CREATE INDEX IF NOT EXISTS logged_model_by_run ON logged_model (source_run);

CREATE TABLE IF NOT EXISTS logged_model_param (
    model TEXT NOT NULL REFERENCES logged_model (id),
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
);

CREATE TABLE IF NOT EXISTS logged_model_tag (
    model TEXT NOT NULL REFERENCES logged_model (id),
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
);

CREATE TABLE IF NOT EXISTS logged_model_metric (
    model          TEXT NOT NULL REFERENCES logged_model (id),
    key            TEXT NOT NULL,
    timestamp      BIGINT NOT NULL,
    step           BIGINT NOT NULL,
    run            TEXT NOT NULL,
    value          DOUBLE PRECISION NOT NULL,
    nan            SMALLINT NOT NULL,
    dataset_name   TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    PRIMARY KEY (model, key, timestamp, step, run, value, nan, dataset_name, dataset_digest)
);

-- +goose Down
SELECT 1;

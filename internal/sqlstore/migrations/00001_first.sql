-- +goose Up
-- Times are microseconds since 1970, UTC. Documents are JSON. The text runs on SQLite and
-- on PostgreSQL.
CREATE TABLE model (
    name   TEXT PRIMARY KEY,
    latest BIGINT NOT NULL
);

CREATE TABLE version (
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

CREATE TABLE alias (
    model  TEXT NOT NULL,
    alias  TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, number) REFERENCES version (model, number)
);

CREATE TABLE alias_change (
    model       TEXT NOT NULL,
    seq         BIGINT NOT NULL,
    alias       TEXT NOT NULL,
    from_number BIGINT NOT NULL,
    to_number   BIGINT NOT NULL,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    time        BIGINT NOT NULL,
    PRIMARY KEY (model, seq)
);

CREATE TABLE endpoint (
    key      TEXT PRIMARY KEY,
    document TEXT NOT NULL
);

CREATE TABLE deployment (
    id        TEXT PRIMARY KEY,
    number    BIGINT NOT NULL UNIQUE,
    endpoint  TEXT NOT NULL,
    status    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    retry_key TEXT NOT NULL, -- empty: the request may not be repeated
    document  TEXT NOT NULL
);
CREATE INDEX deployment_by_endpoint ON deployment (endpoint, number);
CREATE UNIQUE INDEX deployment_running ON deployment (endpoint) WHERE status = 'running';
CREATE UNIQUE INDEX deployment_retried ON deployment (actor, retry_key) WHERE retry_key <> '';

CREATE TABLE refusal (
    endpoint TEXT NOT NULL,
    digest   TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (endpoint, digest)
);

CREATE TABLE veto (
    gateway TEXT NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (gateway, seq)
);

CREATE TABLE token (
    seq       BIGINT NOT NULL UNIQUE,
    hash      TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    scope     TEXT NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    revoked   BIGINT NOT NULL
);

CREATE TABLE event (
    seq     BIGINT PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    time    BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
);
CREATE INDEX event_by_subject ON event (subject, seq);

-- +goose Up
-- Addresses that are told of events, and what waits to be sent to them. The cursor is the
-- last event of the record that was looked at.
CREATE TABLE webhook (
    id       TEXT PRIMARY KEY,
    team     TEXT NOT NULL,   -- empty: of the installation
    created  BIGINT NOT NULL,
    status   TEXT NOT NULL,
    revision BIGINT NOT NULL,
    since    BIGINT NOT NULL, -- only later events are for it
    failing  BIGINT NOT NULL, -- 0: the last attempt has arrived
    failures BIGINT NOT NULL,
    trouble  TEXT NOT NULL,
    mlflow   BIGINT NOT NULL, -- 1: it is told of an event that MLflow knows
    sealed   TEXT NOT NULL,   -- the secret, base64; empty: none
    document TEXT NOT NULL
);
CREATE INDEX webhook_by_team ON webhook (team, created, id);
CREATE INDEX webhook_by_created ON webhook (created, id);

CREATE TABLE webhook_delivery (
    hook     TEXT NOT NULL REFERENCES webhook (id),
    seq      BIGINT NOT NULL, -- of the event
    part     BIGINT NOT NULL,
    id       TEXT NOT NULL UNIQUE,
    event    TEXT NOT NULL,
    state    TEXT NOT NULL,
    next     BIGINT NOT NULL, -- attempt, or when it was finished
    created  BIGINT NOT NULL,
    tries    BIGINT NOT NULL,
    attempts TEXT NOT NULL, -- JSON
    body     TEXT NOT NULL,
    PRIMARY KEY (hook, seq, part)
);
CREATE INDEX webhook_delivery_by_state ON webhook_delivery (hook, state, seq, part);

CREATE TABLE webhook_cursor (
    name TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE webhook_cursor;
DROP TABLE webhook_delivery;
DROP TABLE webhook;

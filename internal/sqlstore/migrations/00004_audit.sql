-- +goose Up
-- Searching the record of events, and the logs of other platforms that this one witnesses.
CREATE INDEX event_by_actor ON event (actor, seq);
CREATE INDEX event_by_action ON event (action, seq);
CREATE INDEX event_by_time ON event (time);

CREATE TABLE witnessed (
    log      TEXT PRIMARY KEY,
    document TEXT NOT NULL
);

-- +goose Down
DROP TABLE witnessed;
DROP INDEX event_by_time;
DROP INDEX event_by_action;
DROP INDEX event_by_actor;

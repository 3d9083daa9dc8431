-- +goose Up
-- How far the events of a source that numbers them itself are recorded.
CREATE TABLE event_source (
    name TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL
);

-- Additions to the policies that the program brings, and who wanted, approved or rejected
-- them. A version is numbered when it is proposed; what is in force is the newest approval.
CREATE TABLE policy (
    version  BIGINT PRIMARY KEY,
    status   TEXT NOT NULL,
    decided  BIGINT NOT NULL, -- order of approvals, 0 for none
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX policy_open ON policy (status) WHERE status = 'proposed';

-- Reviews of who may do what, one a quarter or more.
CREATE TABLE review (
    id       TEXT PRIMARY KEY,
    number   BIGINT NOT NULL UNIQUE,
    status   TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE UNIQUE INDEX review_open ON review (status) WHERE status = 'open';

-- +goose Down
DROP TABLE review;
DROP TABLE policy;
DROP TABLE event_source;

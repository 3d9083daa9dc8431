-- +goose Up
-- How people sign in: credentials, sessions, invitations and codes. Secrets are here as
-- hashes, and seeds sealed. Expires 0: never.
CREATE TABLE signin (
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    lookup   TEXT NOT NULL, -- empty: none
    account  TEXT NOT NULL,
    expires  BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE UNIQUE INDEX signin_by_lookup ON signin (kind, lookup) WHERE lookup <> '';
CREATE INDEX signin_by_account ON signin (kind, account);
CREATE INDEX signin_by_expiry ON signin (expires) WHERE expires <> 0;

-- +goose Down
DROP TABLE signin;

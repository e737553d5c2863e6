-- What is remembered until it expires, under a key that is a hash: answers to repeated requests. Rows are deleted by maintenance.
CREATE TABLE remembered (
    key        bytea PRIMARY KEY,
    value      bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX remembered_expires_at ON remembered (expires_at);

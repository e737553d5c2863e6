-- What is remembered until it expires, under a key that is a hash: answers to repeated requests. Rows are deleted by maintenance.
CREATE TABLE remembered (
    key        BLOB PRIMARY KEY,
    value      BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_expires_at ON remembered (expires_at);

-- Times are whole seconds since the Unix epoch; lists are JSON arrays.

CREATE TABLE clients (
    client_id             TEXT    NOT NULL PRIMARY KEY,
    client_name           TEXT,
    grant_types           TEXT    NOT NULL,
    scope                 TEXT    NOT NULL,
    token_format          TEXT,
    signing_alg           TEXT,
    audience              TEXT    NOT NULL,
    resource_server       TEXT    NOT NULL,
    token_ledger          TEXT,
    access_token_lifetime INTEGER,
    disabled              INTEGER NOT NULL,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    version               INTEGER NOT NULL
) WITHOUT ROWID;

-- The id orders a client's secrets: the highest is the newest.
CREATE TABLE client_secrets (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  TEXT NOT NULL REFERENCES clients ON DELETE CASCADE,
    hash       BLOB NOT NULL,
    expires_at INTEGER
);
CREATE INDEX client_secrets_client ON client_secrets (client_id);

-- One row a token, in the order of its time-ordered id, so that inserts go to the end of the tree.
CREATE TABLE tokens (
    jti         BLOB    NOT NULL PRIMARY KEY,
    expires_at  INTEGER NOT NULL,
    client_id   TEXT    NOT NULL,
    user_id     TEXT,
    scope       TEXT    NOT NULL,
    aud         TEXT    NOT NULL,
    format      INTEGER NOT NULL,
    secret_hash BLOB
) WITHOUT ROWID;
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- Ids are never used again (AUTOINCREMENT): they are the position up to which a reader has read.
CREATE TABLE revocations (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    target_kind TEXT    NOT NULL,
    target_id   TEXT    NOT NULL,
    cutoff_ms   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
);
CREATE INDEX revocations_expires_at ON revocations (expires_at);
-- Whether there was a client of this name before.
CREATE INDEX revocations_client ON revocations (target_id) WHERE target_kind = 'client';

CREATE TABLE signing_keys (
    kid                TEXT    NOT NULL PRIMARY KEY,
    algorithm          TEXT    NOT NULL,
    public_key         BLOB    NOT NULL,
    sealed_private_key TEXT    NOT NULL,
    created_at         INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    actor       TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    target_kind TEXT    NOT NULL,
    target_id   TEXT    NOT NULL,
    detail      TEXT    NOT NULL
);

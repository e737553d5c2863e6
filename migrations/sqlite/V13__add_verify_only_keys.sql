-- Public keys of another issuer, or of this one before it moved here: they verify tokens until `kept_until`, and never sign.
CREATE TABLE verify_only_keys (
    kid        TEXT PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    public_key BLOB NOT NULL,
    issuer     TEXT NOT NULL,
    published  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    kept_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whether a key that is published may sign before `signs_from_ms`, as soon as every recent caller of the key sets has fetched it.
ALTER TABLE signing_keys ADD COLUMN when_seen INTEGER NOT NULL DEFAULT 0;

-- Who fetched the published key sets. `generation` grows with each new key: which keys were in the set that was fetched last.
CREATE TABLE key_fetchers (
    document   TEXT NOT NULL,
    address    TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    fetches    INTEGER NOT NULL,
    PRIMARY KEY (document, address, user_agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_fetchers_last_seen ON key_fetchers (last_seen);

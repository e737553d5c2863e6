-- Public keys of another issuer, or of this one before it moved here: they verify tokens until `kept_until`, and never sign.
CREATE TABLE verify_only_keys (
    kid        text COLLATE "C" PRIMARY KEY,
    algorithm  text NOT NULL,
    public_key bytea NOT NULL,
    issuer     text NOT NULL,
    published  boolean NOT NULL,
    created_at timestamptz NOT NULL,
    kept_until timestamptz NOT NULL
);

-- Whether a key that is published may sign before `signs_from_ms`, as soon as every recent caller of the key sets has fetched it.
ALTER TABLE signing_keys ADD COLUMN when_seen boolean NOT NULL DEFAULT false;

-- Who fetched the published key sets. `generation` grows with each new key: which keys were in the set that was fetched last.
CREATE TABLE key_fetchers (
    document   text COLLATE "C" NOT NULL,
    address    text COLLATE "C" NOT NULL,
    user_agent text COLLATE "C" NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    generation bigint NOT NULL,
    fetches    bigint NOT NULL,
    PRIMARY KEY (document, address, user_agent)
);
CREATE INDEX key_fetchers_last_seen ON key_fetchers (last_seen);

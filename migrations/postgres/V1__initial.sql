-- Tables live in the connection's default schema. Names that order a list compare bytewise, as they do on SQLite.

CREATE TABLE clients (
    client_id             text COLLATE "C" PRIMARY KEY,
    client_name           text,
    grant_types           text[]      NOT NULL,
    scope                 text        NOT NULL,
    token_format          text,
    signing_alg           text,
    audience              text[]      NOT NULL,
    resource_server       text[]      NOT NULL,
    token_ledger          text,
    access_token_lifetime bigint,
    disabled              boolean     NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    version               bigint      NOT NULL
);

-- The id orders a client's secrets: the highest is the newest.
CREATE TABLE client_secrets (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id  text COLLATE "C" NOT NULL REFERENCES clients ON DELETE CASCADE,
    hash       bytea NOT NULL,
    expires_at timestamptz
);
CREATE INDEX client_secrets_client ON client_secrets (client_id);

-- One row a token. No index by client: it would cost every insert. Partitions are made ahead and dropped whole.
CREATE TABLE tokens (
    jti         uuid        NOT NULL,
    expires_at  timestamptz NOT NULL,
    client_id   text        NOT NULL,
    user_id     text,
    scope       text        NOT NULL,
    aud         text        NOT NULL,
    format      smallint    NOT NULL,
    secret_hash bytea,
    PRIMARY KEY (jti, expires_at)
) PARTITION BY RANGE (expires_at);

-- For tokens whose partition was not made in time. Its rows are purged one by one, hence the index.
CREATE TABLE tokens_default PARTITION OF tokens DEFAULT;
CREATE INDEX tokens_default_expires_at ON tokens_default (expires_at);

-- Readers follow the logs by transaction id, from the oldest one that was still running when they looked last:
-- an identity column is handed out before the commit, so following that would skip rows that commit late.
CREATE TABLE revocations (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid        bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    target_kind text   NOT NULL,
    target_id   text   NOT NULL,
    cutoff_ms   bigint NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX revocations_txid ON revocations (txid);
CREATE INDEX revocations_expires_at ON revocations (expires_at);
-- Whether there was a client of this name before.
CREATE INDEX revocations_client ON revocations (target_id) WHERE target_kind = 'client';

CREATE TABLE signing_keys (
    kid                text  PRIMARY KEY,
    algorithm          text  NOT NULL,
    public_key         bytea NOT NULL,
    sealed_private_key text  NOT NULL,
    created_at         timestamptz NOT NULL
);

CREATE TABLE audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid        bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    at          timestamptz NOT NULL,
    actor       text   NOT NULL,
    action      text   NOT NULL,
    target_kind text   NOT NULL,
    target_id   text   NOT NULL,
    detail      jsonb  NOT NULL
);
CREATE INDEX audit_log_txid ON audit_log (txid);

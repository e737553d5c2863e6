//! The closed table of configuration keys.

use std::fmt::Write;

/// What applies when a key is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text, as if it had been given.
    Value(&'static str),
    /// Something worked out elsewhere; these words say what.
    Derived(&'static str),
}

impl Fallback {
    /// For people: the value or what it is derived from.
    pub fn text(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Derived(text) => text,
        }
    }
}

/// How careful printing must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Printed as it is.
    Public,
    /// A URL that may hold a password: printed without it. May be given as a file.
    Url,
    /// Never printed. May be given as a file.
    Secret,
}

/// One thing that can be configured.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Environment variable.
    pub env: &'static str,
    /// Dotted path in the TOML file.
    pub path: &'static str,
    /// What applies when it is not given.
    pub default: Fallback,
    /// For the documentation: one sentence.
    pub meaning: &'static str,
    /// How careful printing must be.
    pub secrecy: Secrecy,
    /// Whether anything uses it yet; if not, giving it earns a warning.
    pub used: bool,
}

impl Key {
    /// Whether `<env>_FILE` and `<path>_file` name a file with the value.
    pub fn has_file_form(&self) -> bool {
        self.secrecy != Secrecy::Public
    }
}

const fn key(env: &'static str, path: &'static str, default: Fallback, meaning: &'static str) -> Key {
    Key {
        env,
        path,
        default,
        meaning,
        secrecy: Secrecy::Public,
        used: true,
    }
}

const fn secret(env: &'static str, path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        env,
        path,
        default: Derived(default),
        meaning,
        secrecy: Secrecy::Secret,
        used: true,
    }
}

const fn unused(key: Key) -> Key {
    Key { used: false, ..key }
}

use Fallback::{Derived, Value};

/// Every key, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("OAUTH2_SERVER_HOST", "server.host", Value("127.0.0.1"), "Address that the public listener binds."),
    key("OAUTH2_SERVER_PORT", "server.port", Value("8080"), "Port of the public listener."),
    key("OAUTH2_SERVER_WORKERS", "server.workers", Derived("available parallelism"), "Worker threads that serve requests, 1 to 1024."),
    key("OAUTH2_SERVER_DRAIN_DELAY", "server.drain_delay", Value("1"),
        "Seconds (or `500ms`, `2s`) that accepting goes on after SIGTERM while `/ready` answers 503, so that load balancers notice; 0 allowed."),
    key("OAUTH2_SERVER_TRUSTED_PROXIES", "server.trusted_proxies", Derived("none"),
        "Networks of the proxies that are believed what `X-Forwarded-For` or `Forwarded` says of a client's address, separated by commas."),
    key("OAUTH2_MANAGEMENT_HOST", "management.host", Value("127.0.0.1"), "Address that the management listener binds."),
    key("OAUTH2_MANAGEMENT_PORT", "management.port", Value("8081"), "Port of the management listener."),
    Key { secrecy: Secrecy::Url, ..key("OAUTH2_DATABASE_URL", "database.url", Value("sqlite://data/oauth2.db"),
        "The store: `sqlite://PATH` (relative to the working directory; `sqlite:///…` is absolute) or `postgres://…`.") },
    key("OAUTH2_DATABASE_PASSWORD_FILE", "database.password_file", Derived("the URL's password"), "File with the Postgres password alone, read again whenever a connection is opened, so that it may change."),
    key("OAUTH2_DATABASE_POOLER", "database.pooler", Value("none"), "What is between the server and Postgres: `none`, or `transaction` for a pooler that lends connections by the transaction, as pgbouncer does. One that was not named is refused."),
    key("OAUTH2_DATABASE_MAX_CONNECTIONS", "database.max_connections", Value("10"), "Postgres connections at the most, 2 to 10000. Each worker records tokens through one of its own, up to half of them."),
    key("OAUTH2_DATABASE_MIN_CONNECTIONS", "database.min_connections", Value("2"), "Idle Postgres connections kept open."),
    key("OAUTH2_DATABASE_CONNECT_TIMEOUT", "database.connect_timeout", Value("5"), "Seconds that opening a connection may take."),
    key("OAUTH2_DATABASE_IDLE_TIMEOUT", "database.idle_timeout", Value("600"), "Seconds after which an idle connection above the minimum is closed."),
    key("OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS", "database.acquire_timeout_ms", Value("250"), "Milliseconds to wait for a pooled connection before the answer is 503."),
    key("OAUTH2_ISSUER", "issuer", Derived("the public listener's URL, on loopback only"),
        "Issuer identifier: an https URL without query or fragment (http on loopback only). Required when the public listener is not on loopback."),
    secret("OAUTH2_ADMIN_TOKEN", "admin.token", "SQLite: generated into `admin_token` beside the database; Postgres: none",
        "Static bearer token for `/admin/v1`, 32 characters or more."),
    secret("OAUTH2_KEY_ENCRYPTION_KEY", "key.encryption_key", "SQLite: generated into `key_encryption_key` beside the database; Postgres: required",
        "Encrypts the signing keys at rest: standard base64 of 32 bytes (`openssl rand -base64 32`)."),
    secret("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS", "key.encryption_key_previous", "none",
        "The one before, while it is changed: it opens what `key rewrap` has not sealed anew yet."),
    key("OAUTH2_KEYS_ROTATION_DAYS", "keys.rotation_days", Value("90"), "Days that a key signs before a new one follows it by itself; 0 = never."),
    key("OAUTH2_KEYS_JWKS_MAX_AGE", "keys.jwks_max_age", Value("300"), "Seconds that verifiers may keep the published keys, 0 to 86400. A new key is published for so long and the skew before it signs."),
    key("OAUTH2_KEYS_CLOCK_SKEW", "keys.clock_skew", Value("60"), "Seconds (or `500ms`) that clocks and nodes may be behind each other where keys follow each other."),
    key("OAUTH2_TOKENS_LEDGER", "tokens.ledger", Value("durable"), "`durable`: each token is committed to the store before it is answered; `stateless`: self-contained tokens are not recorded."),
    key("OAUTH2_TOKENS_FORMAT", "tokens.format", Value("paseto"), "Format of access tokens where the client does not say: `paseto`, `jwt` or `opaque`."),
    key("OAUTH2_ACCESS_TOKEN_EXPIRATION", "access_token.expiration", Value("1800"), "Seconds that an access token lives, 1 to 2592000."),
    unused(key("OAUTH2_REFRESH_TOKEN_EXPIRATION", "refresh_token.expiration", Value("604800"), "Seconds that a refresh token lives. Accepted; not used yet.")),
    secret("OAUTH2_JWT_SECRET", "jwt.secret", "none", "Shared with verifiers that know no better than HS256, 32 characters or more: clients that are registered with `signing_alg` HS256 get their JWTs under it."),
    unused(secret("OAUTH2_SESSION_KEY", "session.key", "none", "Accepted, 32 characters or more; not used yet.")),
    key("OAUTH2_LIMITS_TOKEN", "limits.token", Derived("no limit"), "Token requests of a client that has no rate of its own: `100/s`, `6000/m`, `10/h`, with a burst `100/s:200`."),
    key("OAUTH2_LIMITS_INTROSPECTION", "limits.introspection", Derived("no limit"), "The same for tokens that a client introspects; each of a batch counts."),
    key("OAUTH2_LIMITS_REVOCATION", "limits.revocation", Derived("no limit"), "The same for revocation requests."),
    key("OAUTH2_LIMITS_MODE", "limits.mode", Value("enforce"), "`enforce`: what passes a client's rate is refused with 429; `observe`: it is counted."),
    key("OAUTH2_LIMITS_AUTH_FAILURES", "limits.auth_failures", Value("100/m"), "Failed authentications that a client may have at one address (IPv6: at one /64)."),
    key("OAUTH2_LIMITS_AUTH_FAILURES_MODE", "limits.auth_failures_mode", Value("enforce"), "`enforce`: more of them are answered 429; `observe`: 401, and counted. The right secret is never refused."),
    key("OAUTH2_LIMITS_AUTH_FAILURE_KEYS", "limits.auth_failure_keys", Value("1048576"), "Clients and addresses with failures that are kept count of, 1024 to 4194304: 16 bytes each."),
    key("OAUTH2_QUOTAS_HOUR", "quotas.hour", Derived("no quota"), "Tokens that a client without a quota of its own may be issued from one full hour (UTC) to the next."),
    key("OAUTH2_QUOTAS_DAY", "quotas.day", Derived("no quota"), "The same from midnight (UTC) to midnight."),
    key("OAUTH2_QUOTAS_MONTH", "quotas.month", Derived("no quota"), "The same from the first of a month (UTC) to the next."),
    key("OAUTH2_QUOTAS_MODE", "quotas.mode", Value("enforce"), "`enforce`: a token more than a client's quota is refused with 429; `observe`: it is counted."),
    key("OAUTH2_QUOTAS_STILL_VALID_TOKENS", "quotas.still_valid_tokens", Value("1000"), "A client with more tokens that are still valid counts as one that does not keep them, in the metric `clients_not_caching`."),
    key("OAUTH2_AUDIT_RETENTION_DAYS", "audit.retention_days", Value("400"), "Days that audit rows are kept; 0 = for ever."),
    key("OAUTH2_AUDIT_AUTH_FAILURES", "audit.auth_failures", Value("60"), "Failed authentications a minute that have audit rows of their own; the others of a minute are one row together."),
    key("OAUTH2_LOG_LEVEL", "log.level", Value("info"), "What is logged: a level, or `target=level` directives separated by commas."),
    key("OAUTH2_LOG_FORMAT", "log.format", Value("auto"), "`json`, `human`, or `auto`: human on a terminal, JSON off it."),
];

/// The key with this TOML path.
pub fn by_path(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The known name most like `name`, if any is like it at all.
pub fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, &candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The configuration table of the documentation, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from("| Variable | TOML path | Default | Meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = match key.default {
            Value(value) => format!("`{value}`"),
            Derived(words) => words.to_owned(),
        };
        let file = if key.has_file_form() { " (`_FILE`)" } else { "" };
        let _ = writeln!(
            text,
            "| `{}`{file} | `{}` | {default} | {} |",
            key.env, key.path, key.meaning
        );
    }
    text
}

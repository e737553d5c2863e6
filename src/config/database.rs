//! `[database]`: the store and its connections.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oauth2_store::{Location, Pooler, ReadReplica, StoreOptions, check_url, client_key_file};

use super::key::Fallback::{Derived, Value};
use super::key::{Key, Secrecy, key};
use super::parse::{duration, file_path, number};
use super::values::Values;

/// The database URL.
pub(super) const URL: Key = Key {
    secrecy: Secrecy::Url,
    ..key(
        "OAUTH2_DATABASE_URL",
        "database.url",
        Value("sqlite://data/oauth2.db"),
        "The database: `sqlite://PATH` (relative to the working directory; `sqlite:///…` is absolute) or `postgres://…`.",
    )
};
const PASSWORD_FILE: Key = key(
    "OAUTH2_DATABASE_PASSWORD_FILE",
    "database.password_file",
    Derived("the URL's password"),
    "File that holds only the Postgres password. It is read each time a connection is opened, so the password may be changed \
     without a restart.",
);
const POOLER: Key = key(
    "OAUTH2_DATABASE_POOLER",
    "database.pooler",
    Value("none"),
    "Pooler between the server and Postgres: `none`, or `transaction` for one in transaction mode, such as pgbouncer. A pooler \
     in transaction mode is rejected unless it is set here.",
);
pub(super) const LISTEN_URL: Key = Key {
    secrecy: Secrecy::Url,
    ..key(
        "OAUTH2_DATABASE_LISTEN_URL",
        "database.listen_url",
        Derived("`OAUTH2_DATABASE_URL`"),
        "`postgres://…` URL of the same database without the pooler, for the one connection on which a node listens to the others. Not \
         used with `OAUTH2_REDIS_URL`.",
    )
};
const READ_URL: Key = Key {
    secrecy: Secrecy::Url,
    ..key(
        "OAUTH2_DATABASE_READ_URL",
        "database.read_url",
        Derived("none: the primary answers every read"),
        "`postgres://…` URL of the same database on a streaming replica, for introspection of opaque tokens and for lists. It may name several \
         replicas. Where a replica cannot answer, the primary does.",
    )
};
const READ_MAX_LAG: Key = key(
    "OAUTH2_DATABASE_READ_MAX_LAG",
    "database.read_max_lag",
    Value("1"),
    "A replica that is further behind the primary than this is not read from. Seconds, 1 to 60.",
);
const READ_MAX_CONNECTIONS: Key = key(
    "OAUTH2_DATABASE_READ_MAX_CONNECTIONS",
    "database.read_max_connections",
    Value("5"),
    "Maximum number of connections to the replica, 1 to 10000.",
);
const MAX_CONNECTIONS: Key = key(
    "OAUTH2_DATABASE_MAX_CONNECTIONS",
    "database.max_connections",
    Value("10"),
    "Maximum number of Postgres connections, 2 to 10000. Up to half of them are dedicated connections of workers, one each, for \
     recording tokens.",
);
const MIN_CONNECTIONS: Key = key(
    "OAUTH2_DATABASE_MIN_CONNECTIONS",
    "database.min_connections",
    Value("2"),
    "Number of idle Postgres connections that are kept open.",
);
const CONNECT_TIMEOUT: Key = key(
    "OAUTH2_DATABASE_CONNECT_TIMEOUT",
    "database.connect_timeout",
    Value("5"),
    "Timeout for opening a connection, in seconds.",
);
const IDLE_TIMEOUT: Key = key(
    "OAUTH2_DATABASE_IDLE_TIMEOUT",
    "database.idle_timeout",
    Value("600"),
    "Seconds after which an idle connection above the minimum is closed.",
);
const ACQUIRE_TIMEOUT_MS: Key = key(
    "OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS",
    "database.acquire_timeout_ms",
    Value("250"),
    "Milliseconds that a request waits for a pooled connection before it is answered with 503.",
);

pub(super) const KEYS: &[Key] = &[
    URL,
    PASSWORD_FILE,
    POOLER,
    LISTEN_URL,
    READ_URL,
    READ_MAX_LAG,
    READ_MAX_CONNECTIONS,
    MAX_CONNECTIONS,
    MIN_CONNECTIONS,
    CONNECT_TIMEOUT,
    IDLE_TIMEOUT,
    ACQUIRE_TIMEOUT_MS,
];

/// The store and its connections.
#[derive(Clone)]
pub struct Database {
    options: StoreOptions,
}

// Written by hand because the URL may hold a password.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl Database {
    pub(super) fn read(values: &mut Values, directory: &Path) -> Option<Self> {
        let location = values.get(&URL, |text| parse_url(text, directory));
        let max = values.get(&MAX_CONNECTIONS, |text| number(text, 2, 10_000));
        let min = values.get(&MIN_CONNECTIONS, |text| number(text, 0, 10_000));
        let password = values.optional(&PASSWORD_FILE, |text| file_path(text, directory));
        if let Some(Location::Postgres(url)) = &location
            && let Some(key) = client_key_file(url)
        {
            values.add_secret_file(&URL, Some("sslkey"), key);
        }
        if let Some(Some(path)) = &password {
            values.add_secret_file(&PASSWORD_FILE, None, path.clone());
        }
        let pooler = values.get(&POOLER, parse_pooler);
        let listen_at = values.optional(&LISTEN_URL, |text| check_postgres_url(text).map(Location::Postgres));
        let read_at = read_replica(values, location.as_ref());
        let connect = values.get(&CONNECT_TIMEOUT, positive_duration);
        let idle = values.get(&IDLE_TIMEOUT, positive_duration);
        let acquire = values.get(&ACQUIRE_TIMEOUT_MS, |text| number::<u64>(text, 1, 60_000));
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let problem = format!("must be at most {max}, the value of {}", MAX_CONNECTIONS.env);
            values.fail(&MIN_CONNECTIONS, &problem);
        }
        if matches!((&location, &listen_at), (Some(Location::Sqlite(_)), Some(Some(_)))) {
            values.warn(&LISTEN_URL, "has no effect: a store on SQLite has one node");
        }
        let options = StoreOptions {
            location: location?,
            max_connections: max?,
            // Subcommands record no tokens. `serve` replaces this by its number of token stores.
            ledger_writers: 1,
            min_connections: min?,
            password_file: password?,
            pooler: pooler?,
            listen_at: listen_at?,
            read_at: read_at?,
            connect_timeout: connect?,
            idle_timeout: idle?,
            min_lock_wait: Duration::ZERO,
            acquire_timeout: Duration::from_millis(acquire?),
        };
        Some(Self { options })
    }

    /// The options to open the store with.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Whether a node listens to others at another URL than its own.
    pub(super) fn has_listen_url(&self) -> bool {
        self.options.listen_at.is_some()
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self.options.location {
            Location::Sqlite(_) => "sqlite",
            Location::Postgres(_) => "postgres",
        }
    }

    /// The absolute path of an SQLite database; `None` on Postgres.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.options.location {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }

    /// The same with another location: an SQLite database.
    #[must_use]
    pub fn at_sqlite(&self, path: PathBuf) -> Self {
        let mut options = self.options.clone();
        options.location = Location::Sqlite(path);
        Self { options }
    }

    /// The directory of an SQLite database, which also holds generated secrets; `None` on Postgres.
    pub fn data_directory(&self) -> Option<PathBuf> {
        self.sqlite_path().and_then(Path::parent).map(Path::to_owned)
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    const MAX_SECONDS: u32 = 86_400;
    let value = duration(text, MAX_SECONDS)?;
    if value.is_zero() {
        return Err(format!("must be a number of seconds above 0, at most {MAX_SECONDS}"));
    }
    Ok(value)
}

fn parse_pooler(text: &str) -> Result<Pooler, String> {
    match text {
        "none" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        _ => Err("must be one of none, transaction".to_owned()),
    }
}

/// `None`: invalid; `Some(None)`: there is none.
#[expect(
    clippy::option_option,
    reason = "as a section: an outer `None` is an error that is recorded"
)]
fn read_replica(values: &mut Values, location: Option<&Location>) -> Option<Option<ReadReplica>> {
    let url = values.optional(&READ_URL, check_postgres_url);
    let max_lag = values.get(&READ_MAX_LAG, max_lag);
    let max_connections = values.get(&READ_MAX_CONNECTIONS, |text| number(text, 1, 10_000));
    let Some(url) = url? else {
        return max_lag.and(max_connections).map(|_| None);
    };
    if matches!(location, Some(Location::Sqlite(_))) {
        let problem = format!(
            "needs a store on Postgres: {} names an SQLite file, which has no replica",
            URL.env
        );
        values.fail(&READ_URL, &problem);
        return None;
    }
    if let Some(key) = client_key_file(&url) {
        values.add_secret_file(&READ_URL, Some("sslkey"), key);
    }
    Some(Some(ReadReplica {
        url,
        max_connections: max_connections?,
        max_lag: max_lag?,
    }))
}

/// At least as long as two polls of the primary's position, which are up to 400 ms apart.
fn max_lag(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "must be a number of seconds, 1 to 60";
    let value = duration(text, 60).map_err(|_| ALLOWED.to_owned())?;
    if value < Duration::from_secs(1) {
        return Err(ALLOWED.to_owned());
    }
    Ok(value)
}

fn check_postgres_url(text: &str) -> Result<String, String> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("must begin with postgres:// or postgresql://".to_owned());
    }
    check_url(text).map(|()| text.to_owned())
}

fn parse_url(text: &str, directory: &Path) -> Result<Location, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return check_url(text).map(|()| Location::Postgres(text.to_owned()));
    }
    let Some(path) = text.strip_prefix("sqlite://") else {
        return Err("must begin with sqlite://, postgres:// or postgresql://".to_owned());
    };
    if path.is_empty() || path.ends_with('/') || path.contains(['?', '\0']) || path == ":memory:" {
        return Err("must be the path of a file after sqlite://, without parameters".to_owned());
    }
    Ok(Location::Sqlite(directory.join(path)))
}

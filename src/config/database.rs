//! `[database]`: which store, and its pool.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oauth2_actors::store::{Location, Pooler, StoreOptions, check_url};

use super::values::{Values, duration, number};

/// Which store, and how it may be used.
#[derive(Clone)]
pub struct Database {
    options: StoreOptions,
}

// The options hold a URL with a password.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl Database {
    pub(super) fn read(values: &mut Values, directory: &Path) -> Option<Self> {
        let location = values.get("database.url", |text| parse_url(text, directory));
        let max = values.get("database.max_connections", |text| number(text, 2, 10_000));
        let min = values.get("database.min_connections", |text| number(text, 0, 10_000));
        let password = values.optional("database.password_file", |text| {
            if text.is_empty() {
                Err("must name a file".to_owned())
            } else {
                Ok(directory.join(text))
            }
        });
        let pooler = values.get("database.pooler", parse_pooler);
        let connect = values.get("database.connect_timeout", positive_duration);
        let idle = values.get("database.idle_timeout", positive_duration);
        let acquire = values.get("database.acquire_timeout_ms", |text| number::<u64>(text, 1, 60_000));
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let problem = format!("must not be above OAUTH2_DATABASE_MAX_CONNECTIONS, which is {max}");
            values.fail_key("database.min_connections", &problem);
        }
        let options = StoreOptions {
            location: location?,
            max_connections: max?,
            // A command records no tokens; a server says how many of its workers do.
            ledger_writers: 1,
            min_connections: min?,
            password_file: password?,
            pooler: pooler?,
            connect_timeout: connect?,
            idle_timeout: idle?,
            acquire_timeout: Duration::from_millis(acquire?),
        };
        Some(Self { options })
    }

    /// What the store is opened with.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self.options.location {
            Location::Sqlite(_) => "sqlite",
            Location::Postgres(_) => "postgres",
        }
    }

    /// The file of an embedded store, absolute; `None` on Postgres.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.options.location {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }

    /// The directory of an embedded store, where its secrets lie; `None` on Postgres.
    pub fn data_directory(&self) -> Option<PathBuf> {
        self.sqlite_path().and_then(Path::parent).map(Path::to_owned)
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let value = duration(text, 86_400)?;
    if value.is_zero() {
        return Err("must be a number of seconds above 0".to_owned());
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

fn parse_url(text: &str, directory: &Path) -> Result<Location, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return check_url(text).map(|()| Location::Postgres(text.to_owned()));
    }
    let Some(path) = text.strip_prefix("sqlite://") else {
        return Err("must begin with sqlite://, postgres:// or postgresql://".to_owned());
    };
    if path.is_empty() || path.ends_with('/') || path.contains(['?', '\0']) || path == ":memory:" {
        return Err("must name a file after sqlite://, without parameters".to_owned());
    }
    Ok(Location::Sqlite(directory.join(path)))
}

//! What must be there before the server can serve: a store of its own, the schema, the signing keys.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use oauth2_actors::error::StoreError;
use oauth2_actors::model::{AuditEntry, KeyAlgorithm, StoredKey};
use oauth2_actors::store::Store;
use serde_json::json;

use crate::config::Config;
use crate::failure::Failure;
use crate::tokens::generate::{Times, generate};
use crate::tokens::keyring::{KeyError, Keyring};
use crate::tokens::sealing::Seals;

/// Holds the embedded store for this process. The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct StoreLock(#[expect(dead_code, reason = "held, not read")] Option<File>);

/// Refuses to serve from an SQLite file that another server serves from. Other subcommands work beside it.
pub fn lock(config: &Config) -> Result<StoreLock, Failure> {
    let Some(database) = config.database.sqlite_path() else {
        return Ok(StoreLock(None));
    };
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file =
        opened.map_err(|error| Failure::Environment(format!("{} cannot be opened: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let (database, holder) = (database.display(), holder.trim());
            return Err(Failure::Environment(format!(
                "another server ({holder}) serves from {database}; stop it, or name another file in OAUTH2_DATABASE_URL"
            )));
        }
        Err(TryLockError::Error(error)) => {
            return Err(Failure::Environment(format!(
                "{} cannot be locked: {error}",
                path.display()
            )));
        }
    }
    // Who holds it is for people; a failure to say so changes nothing.
    let _ = file.set_len(0).and_then(|()| file.rewind());
    let _ = write!(
        file,
        "process {} on {}",
        std::process::id(),
        config.server.listener.authority()
    );
    Ok(StoreLock(Some(file)))
}

/// Whether an embedded store may hold signing keys. On Postgres nothing depends on it, and it may be out of reach.
pub async fn is_sealed(config: &Config, store: &Store) -> bool {
    if config.database.data_directory().is_none() || matches!(store.schema_version().await, Ok(None)) {
        return false;
    }
    // One that cannot be read, or has an old schema, does not say that it has none.
    !store.keys().await.is_ok_and(|keys| keys.is_empty())
}

/// Why a store cannot be served from.
#[derive(Debug)]
pub enum Unfit {
    /// The store itself.
    Store(StoreError),
    /// Its signing keys.
    Keys(KeyError),
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Store(error) => error.into(),
            Unfit::Keys(error) => Self::Refused(format!("{error}; give that one in OAUTH2_KEY_ENCRYPTION_KEY")),
        }
    }
}

/// What brings a store to where it can be served from.
#[derive(Clone)]
pub struct Bootstrap {
    /// The store.
    pub store: Store,
    /// Whether the schema may be changed.
    pub migrate: bool,
    /// Seals new signing keys.
    pub seals: Seals,
    /// Unix milliseconds.
    pub now_ms: i64,
    /// Seconds that tokens live where a client does not say.
    pub lifetime: u32,
}

impl Bootstrap {
    /// Brings the schema up to date and makes the keys that are missing. Answers whether the store was new.
    pub async fn run(&self) -> Result<bool, Unfit> {
        let version = self.store.schema_version().await?;
        let wanted = self.store.wanted_schema_version();
        if self.migrate {
            self.store.migrate().await?;
        } else if version != Some(wanted) {
            let found = version.map_or("not there".to_owned(), |version| format!("at version {version}"));
            return Err(Unfit::Store(StoreError::Corrupt(format!(
                "the schema is {found}, this binary wants version {wanted}; run oauth2_server migrate"
            ))));
        }
        let stored = self.store.keys().await?;
        let missing = KeyAlgorithm::ALWAYS
            .iter()
            .filter(|wanted| !stored.iter().any(|key| key.algorithm == **wanted));
        let times = Times {
            now_ms: self.now_ms,
            wait: Duration::ZERO,
            token_lifetime: self.lifetime.into(),
        };
        let made: Result<Vec<StoredKey>, _> = missing
            .map(|algorithm| generate(*algorithm, &self.seals, times))
            .collect();
        let made = made.map_err(Unfit::Keys)?;
        // Without the key that sealed them the server would start, and never be ready.
        Keyring::open("", &self.seals, &stored, None).map_err(Unfit::Keys)?;
        if !made.is_empty() {
            let audit = AuditEntry {
                actor: "server".to_owned(),
                action: "key.create",
                detail: json!({}),
            };
            self.store.ensure_keys(&made, &audit).await?;
        }
        self.store.lengthen_keys(self.lifetime.into()).await?;
        self.make_room().await;
        Ok(version.is_none())
    }

    /// Has the partitions made that the first tokens go to, before anybody waits. What cannot be done now is done by the
    /// regular upkeep.
    async fn make_room(&self) {
        let made = async {
            // By the store's clock: a wrong one here must not let anything expire.
            let now = self.store.ping().await? / 1000;
            self.store.maintain(now as i64, self.lifetime.into()).await
        };
        if let Err(error) = made.await {
            tracing::warn!(%error, "the store's first upkeep did not finish");
        }
    }

    /// Runs until it is done, for as long as a database server is merely out of reach. An error is final; so is every error
    /// of an embedded store, where it means a file that somebody must see to.
    pub async fn run_until_done(&self) -> Result<bool, Unfit> {
        let mut pause = Duration::from_millis(50);
        let mut told = false;
        loop {
            match self.run().await {
                Err(Unfit::Store(error @ (StoreError::Unavailable(_) | StoreError::Timeout)))
                    if self.store.kind() == "postgres" =>
                {
                    if std::mem::replace(&mut told, true) {
                        tracing::debug!(%error, "still waiting for the store");
                    } else {
                        tracing::warn!(%error, "waiting for the store");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                done => return done,
            }
        }
    }
}

//! Prepares a store for serving: the schema, the first signing keys, the partitions of the first tokens.

use std::time::Duration;

use oauth2_store::Store;
use oauth2_store::StoreError;
use oauth2_store::model::{KeyAlgorithm, StoredKey};

use crate::config::Config;
use crate::failure::Failure;
use crate::keys::KeyError;
use crate::keys::generate::{KeyTimes, generate};
use crate::keys::keyring::Keyring;
use crate::keys::wrapping::KeyWrapper;
use crate::service::error::ServiceError;
use crate::service::operator::Operator;

/// Pauses between attempts to reach a database server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Whether an embedded store may hold signing keys. Of Postgres it is not asked, since that may be unreachable.
pub(super) async fn may_hold_keys(config: &Config, store: &Store) -> bool {
    if config.database.data_directory().is_none() || matches!(store.schema_version().await, Ok(None)) {
        return false;
    }
    // A store that cannot be read, or has an old schema, may hold some.
    !store.keys().await.is_ok_and(|keys| keys.is_empty())
}

/// Why a store cannot be prepared.
#[derive(Debug)]
pub(super) enum BootstrapError {
    /// The store itself.
    Store(StoreError),
    /// Its signing keys.
    Keys(KeyError),
}

impl From<StoreError> for BootstrapError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeyError> for BootstrapError {
    fn from(error: KeyError) -> Self {
        Self::Keys(error)
    }
}

impl From<BootstrapError> for Failure {
    fn from(error: BootstrapError) -> Self {
        match error {
            BootstrapError::Store(error) => error.into(),
            BootstrapError::Keys(error) => ServiceError::from(error).into(),
        }
    }
}

/// What the preparation needs.
pub(super) struct Bootstrap {
    /// The store.
    pub(super) store: Store,
    /// Whether migrations may be applied.
    pub(super) migrate: bool,
    /// Wraps new signing keys.
    pub(super) wrapper: KeyWrapper,
    /// Unix milliseconds.
    pub(super) now_ms: i64,
    /// The server's default token lifetime, seconds.
    pub(super) default_lifetime: u32,
}

impl Bootstrap {
    /// Prepares the store. Waits for a database server that is unreachable or accepts no writes; every other error, and every
    /// error of an embedded store, is final.
    pub(super) async fn run_until_reachable(&self) -> Result<(), BootstrapError> {
        let mut pause = FIRST_PAUSE;
        let mut logged = false;
        loop {
            match self.run().await {
                Err(BootstrapError::Store(
                    error @ (StoreError::Unavailable(_)
                    | StoreError::Timeout
                    | StoreError::NotWritable(_)
                    | StoreError::Denied(_)),
                )) if self.store.kind() == "postgres" => {
                    if std::mem::replace(&mut logged, true) {
                        tracing::debug!(%error, "still waiting for the store");
                    } else {
                        tracing::warn!(%error, "waiting for the store");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                done => {
                    // It accepted none while this waited. Otherwise the server would not be ready until the next probe.
                    let health = self.store.write_health();
                    if !health.is_writable() || health.is_denied() {
                        let _ = self.store.probe_writes(true).await;
                    }
                    return done;
                }
            }
        }
    }

    async fn run(&self) -> Result<(), BootstrapError> {
        let version = self.store.schema_version().await?;
        let expected = self.store.required_schema_version();
        if self.migrate {
            self.store.migrate().await?;
        } else if version != Some(expected) {
            let found = version.map_or("missing".to_owned(), |version| format!("at version {version}"));
            return Err(BootstrapError::Store(StoreError::Corrupt(format!(
                "the schema is {found}, this program requires version {expected}; run oauth2_server migrate"
            ))));
        }
        self.create_first_keys().await?;
        self.store.extend_key_retention(self.default_lifetime.into()).await?;
        self.create_partitions().await;
        Ok(())
    }

    /// Creates the keys that every server signs with, where they are missing.
    async fn create_first_keys(&self) -> Result<(), BootstrapError> {
        let stored = self.store.keys().await?;
        let missing = KeyAlgorithm::REQUIRED
            .iter()
            .filter(|algorithm| !stored.iter().any(|key| key.algorithm == **algorithm));
        let times = KeyTimes {
            now_ms: self.now_ms,
            wait: Duration::ZERO,
            token_lifetime: self.default_lifetime.into(),
        };
        let new: Result<Vec<StoredKey>, _> = missing
            .map(|algorithm| generate(*algorithm, &self.wrapper, times))
            .collect();
        let new = new?;
        // With another key encryption key the server would start, and never become ready.
        Keyring::open("", &self.wrapper, &stored, None)?;
        for key in new {
            let audit = Operator::server().audit("key.create", crate::service::keys::detail(&key));
            self.store.ensure_keys(&[key], &audit).await?;
        }
        Ok(())
    }

    /// Creates the partitions of the first tokens before the first request. A failure is left to the regular maintenance.
    async fn create_partitions(&self) {
        let created = async {
            // By the store's clock: a wrong local clock must not let anything expire.
            let now = self.store.ping().await? / 1000;
            self.store.maintain(now as i64, self.default_lifetime.into()).await
        };
        if let Err(error) = created.await {
            tracing::warn!(%error, "the first maintenance of the store failed");
        }
    }
}

//! The services of a subcommand: over a store of its own, without actors.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use oauth2_actors::directory::Directory;
use oauth2_actors::metrics::{Exporter, Instruments};
use oauth2_actors::quota_keeper::{self, Counters};
use oauth2_actors::revocation_cache::{PublishedRevocations, read_log};
use oauth2_actors::runtime::clock::{Clock, IdClock, Reservation, StoreClock};
use oauth2_store::{LogPosition, ServerChange, Store, StoreError, StoreOptions};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::services::{Base, Services};
use super::{bus, embedded_store, keys};
use crate::config::embedded::{self, SecretError};
use crate::config::{Config, system_user};
use crate::failure::Failure;
use crate::keys::wrapping::KeyWrapper;
use crate::service::diagnosis::Diagnosis;
use crate::service::error::ServiceError;
use crate::service::ledger_access::LedgerAccess;
use crate::service::operator::Operator;
use crate::service::published_keys::PublishedKeys;
use crate::service::store_access::{self, StoreAccess};
use crate::service::views::Views;
use crate::tokens::verified::VerifiedTokens;

/// A subcommand has no caller that waits; the store bounds each of its operations.
const NO_DEADLINE: Duration = Duration::from_hours(24 * 365);

/// How long a step waits for the write lock of another process.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How long a subcommand waits for a connection at least: on a busy machine, the first one takes longer than a request would wait.
const FIRST_CONNECTION: Duration = Duration::from_secs(2);

/// Bytes of either set of tokens: a subcommand meets few of them twice.
const TOKEN_CACHE: usize = 64 * 1024;

/// The services of a subcommand.
pub struct Direct {
    /// The use cases.
    pub services: Services,
    store: Store,
    views: Views,
    ids: Arc<IdClock>,
    clock: Arc<StoreClock>,
    counters: Arc<Counters>,
    default_lifetime: u32,
    /// How far the log of revocations was read.
    position: Mutex<LogPosition>,
}

/// A schema that was brought up to date.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// `sqlite` or `postgres`.
    pub store: &'static str,
    /// The schema's version.
    pub version: i64,
    /// Migrations that were applied now.
    pub applied: usize,
}

/// An empty store that ends with this value.
pub struct Scratch {
    /// The configuration that names it.
    pub config: Config,
    _directory: TempDir,
}

impl Direct {
    /// Opens a store whose schema is of this version.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        if let Some(path) = config.database.sqlite_path()
            && !path.exists()
        {
            let problem = format!("there is no store at {}; run: oauth2_server migrate", path.display());
            return Err(Failure::Environment(problem));
        }
        let store = open_store(config).await?;
        let expected = store.required_schema_version();
        match store.schema_version().await? {
            Some(version) if version == expected => {}
            Some(version) => {
                let problem = format!(
                    "the schema of the store has version {version}, this program requires version {expected}; run: oauth2_server migrate"
                );
                return Err(Failure::Environment(problem));
            }
            None => {
                let problem = "the store has no schema; run: oauth2_server migrate";
                return Err(Failure::Environment(problem.to_owned()));
            }
        }
        Self::new(config, store).await
    }

    /// As [`Self::open`]; creates an embedded store that does not exist.
    pub async fn open_or_create(config: &Config) -> Result<Self, Failure> {
        if config.database.sqlite_path().is_some_and(|path| !path.exists()) {
            migrate(config).await?;
        }
        Self::open(config).await
    }

    /// For a command that changes nothing: an empty store in a temporary directory, if the embedded store does not exist yet.
    pub fn scratch(config: &Config) -> Result<Option<Scratch>, Failure> {
        if config.database.sqlite_path().is_none_or(Path::exists) {
            return Ok(None);
        }
        let directory = tempfile::tempdir().map_err(Failure::environment)?;
        let mut config = config.clone();
        config.database = config.database.at_sqlite(directory.path().join("empty.db"));
        Ok(Some(Scratch {
            config,
            _directory: directory,
        }))
    }

    async fn new(config: &Config, store: Store) -> Result<Self, Failure> {
        let clock = Arc::new(StoreClock::of_this_machine());
        let ids = Arc::new(IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>));
        read_time(&store, &clock, &ids).await?;
        let wrapper = wrapper(config);
        let keys = Arc::new(ArcSwap::from_pointee(PublishedKeys::none()));
        let verified = Arc::new(VerifiedTokens::new(TOKEN_CACHE as u64));
        // Without a key encryption key, keys still verify.
        let any_wrapper = KeyWrapper {
            current: [0; 32],
            previous: None,
        };
        let usable = wrapper.as_ref().ok().cloned().flatten().unwrap_or(any_wrapper);
        let apply_keys = keys::apply(config, usable, &keys, &verified);
        let views = Views {
            directory: Arc::new(Directory::new(apply_keys)),
            revocations: PublishedRevocations::default(),
            // Read by `refresh` before each use.
            staleness_budget: Duration::MAX,
            server_change: ServerChange::default(),
        };
        let counters = Arc::new(Counters::default());
        let exporter = Exporter::new().map_err(Failure::environment)?;
        let base = Base {
            store: StoreAccess::Direct(store_access::Direct {
                store: store.clone(),
                announce: bus::announce(config, &store, wrapper.as_ref().ok().and_then(Option::as_ref), &clock),
            }),
            views: views.clone(),
            keys,
            wrapper,
            verified,
            issued_bytes: TOKEN_CACHE,
            slow_signers: 1,
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
            counters: Arc::clone(&counters),
            leases: None,
            // A subcommand asks no other server.
            fallback: None,
            instruments: Arc::new(Instruments::new(&exporter.meter(), store.kind())),
        };
        Ok(Self {
            services: Services::new(config, &base).map_err(Failure::environment)?,
            store,
            views,
            ids,
            clock,
            counters,
            default_lifetime: config.tokens.access_token_lifetime,
            position: Mutex::default(),
        })
    }

    /// Reads what the verification and the issuance of a client's tokens depend on, as servers follow it: the client, the keys, the
    /// revocations, and the store's clock.
    pub async fn refresh(&self, client_id: &str) -> Result<(), ServiceError> {
        read_time(&self.store, &self.clock, &self.ids).await?;
        let sent = Instant::now();
        let mut position = self.position.lock().await;
        *position = loop {
            let revocations = self.views.revocations.load_full();
            if let Some(read) = read_log(&self.store, *position, &revocations, &self.ids).await? {
                revocations.freshness().stamp(sent);
                break read;
            }
            self.views.revocations.store(Arc::default());
            *position = LogPosition::default();
        };
        Ok(self.views.directory.read_one(&self.store, client_id).await?)
    }

    /// As [`Self::refresh`], before tokens are issued to the client. The keys must be kept until these tokens have expired: no server
    /// knows the token lifetime of this process's configuration.
    pub async fn refresh_for_issuance(&self, client_id: &str) -> Result<(), ServiceError> {
        self.services.keys.check(self.deadline()).await?;
        let client = self.services.clients.find(client_id, self.deadline()).await?;
        let lifetime = client.access_token_lifetime.unwrap_or(self.default_lifetime);
        self.store.extend_key_retention(lifetime.into()).await?;
        self.refresh(client_id).await?;
        // The ids that follow; the next read of the time reserves for the ones after them.
        self.ids.new_id()?;
        Ok(read_time(&self.store, &self.clock, &self.ids).await?)
    }

    /// Saves how many tokens this process issued to clients with quotas.
    pub async fn save_counts(&self) -> Result<(), ServiceError> {
        Ok(quota_keeper::save(&self.store, &self.counters, &self.clock, |_, _| ()).await?)
    }

    /// A way to record tokens.
    pub fn ledger(&self) -> LedgerAccess {
        LedgerAccess::batch(self.store.ledger_writer())
    }

    /// The deadline of a call.
    pub fn deadline(&self) -> Instant {
        Instant::now() + NO_DEADLINE
    }

    /// The store's clock, Unix seconds.
    pub fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}

/// Reads the store's clock, and agrees with its servers on the time of token ids.
async fn read_time(store: &Store, clock: &StoreClock, ids: &IdClock) -> Result<(), StoreError> {
    let sent_ms = clock.local_ms();
    let time = store.time().await?;
    clock.observe(time.now_ms, sent_ms);
    match ids.agree(&time) {
        Some(reservation) => {
            let Reservation {
                reserved_ms,
                known,
                slew,
            } = reservation;
            store.reserve_ids(reserved_ms, known, slew).await
        }
        None => Ok(()),
    }
}

/// The system user who runs a subcommand.
pub fn operator() -> Operator {
    Operator::command_line(&system_user())
}

/// Creates the data directory of an embedded store, and brings the schema up to date.
pub async fn migrate(config: &Config) -> Result<Migration, Failure> {
    check_files(config)?;
    embedded::create_data_directory(config)?;
    let mut created = embedded_store::create(config, true).await?;
    let store = open_store(config).await?;
    created += embedded_store::create_schema(config, &store, true).await?;
    Ok(Migration {
        applied: created + store.migrate().await?,
        store: store.kind(),
        version: store.required_schema_version(),
    })
}

/// Fails if the database was lost although files next to it belong to one.
pub fn check_files(config: &Config) -> Result<(), Failure> {
    embedded_store::check_files(config)
}

/// Opens a store for diagnosis, whatever its schema is.
pub async fn diagnose(config: &Config) -> Result<Diagnosis, Failure> {
    Ok(Diagnosis {
        store: open_store(config).await?,
        wrapper: wrapper(config),
        issuer: config.issuer.clone(),
        key_timing: config.keys,
        token_lifetime: config.tokens.access_token_lifetime,
    })
}

/// Copies an embedded store into a file, which is complete or not there: while a server uses the store, and whatever its schema is.
/// `force`: replace an existing file.
pub async fn backup(config: &Config, file: &Path, force: bool) -> Result<u64, Failure> {
    let Some(database) = config.database.sqlite_path() else {
        let problem = "backup copies an SQLite database; for Postgres, run: pg_dump --format=custom --file=FILE URL";
        return Err(Failure::Invalid(problem.to_owned()));
    };
    if !std::fs::metadata(database).is_ok_and(|found| found.len() > 0) {
        let problem = format!("there is no store at {}", database.display());
        return Err(Failure::Environment(problem));
    }
    let cannot_write =
        |error: &std::io::Error| Failure::Environment(format!("{} cannot be written: {error}", file.display()));
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // Only the owner can read it. It is removed unless the copy is complete.
    let draft = tempfile::NamedTempFile::new_in(directory).map_err(|error| cannot_write(&error))?;
    let store = open_store(config).await?;
    if store.schema_version().await?.is_none() {
        let problem = format!("{} has no tables: there is nothing to copy", database.display());
        return Err(Failure::Environment(problem));
    }
    store.copy_into(draft.path()).await?;
    let bytes = draft.as_file().sync_all().and_then(|()| draft.as_file().metadata());
    let bytes = bytes.map_err(|error| cannot_write(&error))?.len();
    let persisted = if force {
        draft.persist(file)
    } else {
        draft.persist_noclobber(file)
    };
    if let Err(error) = persisted {
        return Err(match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(file),
            _ => cannot_write(&error.error),
        });
    }
    // The name must survive a power failure too.
    let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| cannot_write(&error))?;
    Ok(bytes)
}

fn exists(file: &Path) -> Failure {
    Failure::Invalid(format!(
        "{} exists already; name another file, or set --force",
        file.display()
    ))
}

/// Opens the store of a subcommand. A step of a long job waits for the lock of a server rather than ending the job half done.
async fn open_store(config: &Config) -> Result<Store, Failure> {
    embedded_store::check_files(config)?;
    let options = config.database.options();
    let options = StoreOptions {
        min_lock_wait: LOCK_WAIT,
        acquire_timeout: options.acquire_timeout.max(FIRST_CONNECTION),
        ..options.clone()
    };
    Ok(Store::open(&options).await?)
}

/// The key encryption key, if there is one.
fn wrapper(config: &Config) -> Result<Option<KeyWrapper>, ServiceError> {
    embedded::existing_key_wrapper(config).map_err(|error| match error {
        SecretError::Invalid(problem) => ServiceError::Key(problem),
        SecretError::Io(problem) => ServiceError::File(problem),
    })
}

//! Opens connections for the pool and for the ledger, with the session settings that the store relies on.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use bb8_postgres::bb8::ManageConnection;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::backends::{BACKEND_ID, Backends};
use super::connection::{Connection, Session};
use super::failure::to_store_error;
use super::generation::Generations;
use super::hosts::{Hosts, Opened};
use super::tls;
use super::url::{self, TlsOptions, Verification};
use crate::error::{Result, StoreError};
use crate::options::{Pooler, StoreOptions};
use crate::server_change::ServerChange;

mod not_opened;

use not_opened::{Asked, NotOpened};

/// The settings of a dedicated session. `synchronous_commit = remote_apply` is kept: it is stronger than `on`.
const SESSION_SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SET statement_timeout = 1000; SET idle_in_transaction_session_timeout = 10000";

/// Begins a transaction on a pooled session. It sets everything, because other clients may have left other settings.
const BEGIN_POOLED: &str = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = 1000;
    SET LOCAL idle_in_transaction_session_timeout = 10000";
/// The same for a server that is configured with `synchronous_commit = remote_apply`.
const BEGIN_POOLED_REMOTE_APPLY: &str =
    "BEGIN; SET LOCAL synchronous_commit = remote_apply; SET LOCAL statement_timeout = 1000;
    SET LOCAL idle_in_transaction_session_timeout = 10000";

/// Number of connections opened to detect a pooler. While a pooler still opens connections of its own, it may give two of ours
/// different backends, but hardly all of these.
const PROBE_CONNECTIONS: usize = 4;

/// What runs a connection.
pub(super) type Driver = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Opens connections for the pool.
#[derive(Clone)]
pub struct Opener {
    config: Arc<Config>,
    hosts: Arc<Hosts>,
    tls_options: Arc<TlsOptions>,
    /// File that holds the password, read each time a connection is opened.
    password_file: Option<Arc<Path>>,
    /// Whether the password in the URL has a `%`, which is decoded.
    has_percent_in_password: bool,
    /// The addresses of the server, for error messages.
    address: Arc<str>,
    connect_timeout: Duration,
    pooler: Pooler,
    backends: Arc<Backends>,
    generations: Generations,
    server_change: ServerChange,
    last_failure: Arc<Mutex<Option<StoreError>>>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    /// Of several hosts, connections are to the one that accepts writes.
    pub(super) fn new(url: &str, options: &StoreOptions, last_failure: Arc<Mutex<Option<StoreError>>>) -> Result<Self> {
        Self::with_default(TargetSessionAttrs::ReadWrite, url, options, last_failure)
    }

    /// Of several hosts, connections are to any.
    pub(super) fn for_reads(
        url: &str,
        options: &StoreOptions,
        last_failure: Arc<Mutex<Option<StoreError>>>,
    ) -> Result<Self> {
        Self::with_default(TargetSessionAttrs::Any, url, options, last_failure)
    }

    fn with_default(
        of_several: TargetSessionAttrs,
        url: &str,
        options: &StoreOptions,
        last_failure: Arc<Mutex<Option<StoreError>>>,
    ) -> Result<Self> {
        let (mut config, tls_options) =
            url::parse(url).map_err(|problem| StoreError::Corrupt(format!("the database URL {problem}")))?;
        config
            .application_name("oauth2_server")
            .connect_timeout(options.connect_timeout)
            .tcp_user_timeout(Duration::from_secs(3))
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3);
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(of_several);
        }
        // Fails now rather than at the first connection if a file is missing or invalid.
        tls::connector(&tls_options)?;
        let opener = Self {
            address: address(&config).into(),
            config: Arc::new(config),
            hosts: Arc::default(),
            tls_options: Arc::new(tls_options),
            password_file: options.password_file.as_deref().map(Into::into),
            has_percent_in_password: url::has_percent_in_password(url),
            connect_timeout: options.connect_timeout,
            pooler: options.pooler,
            backends: Arc::default(),
            generations: Generations::default(),
            server_change: ServerChange::default(),
            last_failure,
        };
        opener.config_with_password()?;
        Ok(opener)
    }

    /// Describes for operators how connections are protected.
    pub(super) fn transport_security(&self) -> String {
        match (self.tls_options.mode, self.tls_options.verification) {
            ("disable", _) => "no TLS (sslmode=disable)".to_owned(),
            ("prefer", _) => "TLS if the server supports it, unverified (sslmode=prefer)".to_owned(),
            (mode, Verification::None) => format!("TLS, unverified (sslmode={mode})"),
            (mode, Verification::Authority) => format!("TLS, certificate authority verified (sslmode={mode})"),
            (mode, Verification::HostName) => {
                format!("TLS, certificate authority and host name verified (sslmode={mode})")
            }
        }
    }

    /// See [`stale`](super::names::Names::stale).
    pub(super) fn stale_addresses(&self) -> u64 {
        self.hosts.names.stale()
    }

    /// When connections went over to another host.
    pub(super) fn server_change(&self) -> &ServerChange {
        &self.server_change
    }

    /// A TLS connector with the current contents of the certificate files.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect> {
        tls::connector(&self.tls_options)
    }

    /// The driver's configuration with the current content of the password file.
    fn config_with_password(&self) -> Result<Config> {
        let mut config = Config::clone(&self.config);
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                StoreError::Corrupt(format!(
                    "the database password file {} cannot be read: {error}",
                    path.display()
                ))
            })?;
            config.password(text.trim_end_matches(['\r', '\n']));
        }
        Ok(config)
    }

    async fn open(&self) -> std::result::Result<Connection, StoreError> {
        self.backends.check()?;
        let mut generation = self.generations.now();
        let tls = self.tls()?;
        let opened = self
            .reach(|config| async {
                let manager = PostgresConnectionManager::new(config, tls.clone());
                let client = manager.connect().await?;
                let value = match self.pooler {
                    Pooler::None => first_value(&client, &format!("{BACKEND_ID}; {SESSION_SETTINGS}")).await?,
                    Pooler::Transaction => first_value(&client, "SHOW synchronous_commit").await?,
                };
                Ok((client, value))
            })
            .await?;
        if opened.is_elsewhere {
            generation = self.generations.now();
        }
        let (client, value) = opened.value;
        let (claim, session) = match self.pooler {
            // A server that reports no backend cannot be checked for a pooler.
            Pooler::None if value.is_empty() => (None, Session::Dedicated(HashMap::new())),
            Pooler::None => (Some(self.backends.claim(value)?), Session::Dedicated(HashMap::new())),
            Pooler::Transaction => {
                let begin = if value == "remote_apply" {
                    BEGIN_POOLED_REMOTE_APPLY
                } else {
                    BEGIN_POOLED
                };
                (
                    None,
                    Session::Pooled {
                        begin,
                        in_transaction: false,
                    },
                )
            }
        };
        Ok(Connection::new(claim, client, session, generation))
    }

    /// Opens a connection that the caller drives, outside the pool.
    pub(super) async fn connect_alone(&self) -> Result<(Client, Driver)> {
        let tls = self.tls()?;
        let connect = |config: Config| {
            let tls = tls.clone();
            async move { config.connect(tls).await }
        };
        Ok(self.reach(connect).await?.value)
    }

    /// Opens something on the first of the hosts that it succeeds on.
    async fn reach<T, F>(&self, open: impl Fn(Config) -> F) -> Result<Opened<T>>
    where
        F: Future<Output = std::result::Result<T, Error>>,
    {
        let config = self.config_with_password()?;
        let open = |config| {
            let resolved = self.hosts.names.resolved(config);
            async { open(resolved.await?).await.map_err(NotOpened::Driver) }
        };
        let opening = self.hosts.open(&config, open);
        // The driver's own limit covers one address; this one covers name resolution, all addresses and the settings.
        match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(Ok(opened)) => {
                if opened.is_elsewhere {
                    self.generations.end_all();
                    // Two poolers lead to the same server.
                    if self.pooler == Pooler::None {
                        self.server_change.record();
                    }
                }
                Ok(opened)
            }
            Ok(Err(error)) => Err(self.asked().describe(&error)),
            Err(_) => Err(self.no_name_server().unwrap_or_else(|| {
                StoreError::Unavailable(format!(
                    "cannot connect to {}: the server did not respond in time",
                    self.address
                ))
            })),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            address: &self.address,
            tls_options: &self.tls_options,
            password_file: self.password_file.as_deref(),
            has_percent_in_password: self.has_percent_in_password,
        }
    }

    /// The error while no name server has responded for a host.
    pub(super) fn no_name_server(&self) -> Option<StoreError> {
        let name = self.hosts.names.unanswered()?;
        let text = format!("cannot connect to {}: no name server responds for {name}", self.address);
        Some(StoreError::Unavailable(text))
    }

    /// Opens a few connections at the same time, and fails if they prove an undeclared pooler. Connections that cannot be opened
    /// prove nothing.
    pub(super) async fn detect_pooler(&self) -> Result<()> {
        let mut held = Vec::new();
        while self.pooler == Pooler::None && held.len() < PROBE_CONNECTIONS {
            match self.open().await {
                Ok(connection) => held.push(connection),
                Err(StoreError::Corrupt(text)) => return Err(StoreError::Corrupt(text)),
                // The server may accept no further connection.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// The first value that statements return; empty if they return none.
async fn first_value(client: &Client, sql: &str) -> std::result::Result<String, Error> {
    let messages = client.simple_query(sql).await?;
    let mut values = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(values.next().unwrap_or_default().to_owned())
}

/// The addresses of the server, without the other parts of the URL.
fn address(config: &Config) -> String {
    let names = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        Host::Unix(_) => None,
    });
    // If a password contains an unencoded `@`, the driver takes the rest of the password for a host name.
    if names.chain(config.get_dbname()).any(|name| name.contains('@')) {
        return "the host after the first @ of the database URL (an @ in a password must be written %40)".to_owned();
    }
    let ports = config.get_ports();
    let host_and_port = |(index, host): (usize, &Host)| {
        // As in the driver: one port per host, one port for all hosts, or the default port.
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(directory) => format!("{} (port {port})", directory.display()),
        }
    };
    let all: Vec<_> = config.get_hosts().iter().enumerate().map(host_and_port).collect();
    all.join(", ")
}

impl ManageConnection for Opener {
    type Connection = Connection;
    type Error = StoreError;

    async fn connect(&self) -> std::result::Result<Connection, StoreError> {
        let opened = self.open().await;
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = opened.as_ref().err().cloned();
        opened
    }

    async fn is_valid(&self, connection: &mut Connection) -> std::result::Result<(), StoreError> {
        connection
            .client
            .simple_query("")
            .await
            .map(drop)
            .map_err(|e| to_store_error(&e))
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

//! How connections are opened, and when the pool closes them.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use bb8_postgres::bb8::ManageConnection;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::backends::{Backends, WHICH};
use super::connection::{Connection, Session};
use super::failure::to_store_error;
use super::url::{self, Check, Protection};
use super::{Result, StoreError, StoreOptions, tls};
use crate::store::Pooler;

/// What a session of one's own is told first. A stronger `synchronous_commit` than `on` is left as it is.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SET statement_timeout = 1000; SET idle_in_transaction_session_timeout = 10000";

/// How each transaction of a session that is lent begins: others may have left anything in it.
const LENT: &str = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = 1000;
    SET LOCAL idle_in_transaction_session_timeout = 10000";
const LENT_REMOTE: &str = "BEGIN; SET LOCAL synchronous_commit = remote_apply; SET LOCAL statement_timeout = 1000;
    SET LOCAL idle_in_transaction_session_timeout = 10000";

/// Connections that are opened to compare their sessions. A pooler that has just begun to open some of its own may give two of ours
/// different ones, but not so many.
const LOOKS: usize = 4;

/// Opens connections for the pool.
#[derive(Clone)]
pub struct Opener {
    config: Arc<Config>,
    protection: Arc<Protection>,
    /// A file with the password, read whenever a connection is opened.
    password_file: Option<Arc<Path>>,
    /// Where the server should be, for messages.
    place: Arc<str>,
    connect_timeout: Duration,
    pooler: Pooler,
    backends: Arc<Backends>,
    last_failure: Arc<Mutex<Option<StoreError>>>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    pub(super) fn new(url: &str, options: &StoreOptions, last_failure: Arc<Mutex<Option<StoreError>>>) -> Result<Self> {
        let (mut config, protection) =
            url::read(url).map_err(|problem| StoreError::Corrupt(format!("the database URL {problem}")))?;
        config
            .application_name("oauth2_server")
            .connect_timeout(options.connect_timeout)
            .tcp_user_timeout(Duration::from_secs(3))
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3);
        // With several hosts, only the one that takes writes is of use.
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        // What is wrong with the files shows now, not at the first connection.
        tls::connector(&protection)?;
        let opener = Self {
            place: place(&config).into(),
            config: Arc::new(config),
            protection: Arc::new(protection),
            password_file: options.password_file.as_deref().map(Into::into),
            connect_timeout: options.connect_timeout,
            pooler: options.pooler,
            backends: Arc::default(),
            last_failure,
        };
        opener.target()?;
        Ok(opener)
    }

    /// How connections are protected, for people.
    pub(super) fn protection(&self) -> String {
        match (self.protection.mode, self.protection.check) {
            ("disable", _) => "in the clear (sslmode=disable)".to_owned(),
            ("prefer", _) => "TLS if the server speaks it, unverified (sslmode=prefer)".to_owned(),
            (mode, Check::Nothing) => format!("TLS, unverified (sslmode={mode})"),
            (mode, Check::Authority) => format!("TLS, the authority verified (sslmode={mode})"),
            (mode, Check::Host) => format!("TLS, authority and host name verified (sslmode={mode})"),
        }
    }

    /// What TLS needs now.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect> {
        tls::connector(&self.protection)
    }

    /// Where to connect and as whom, by what the password's file holds now.
    fn target(&self) -> Result<Config> {
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
        let manager = PostgresConnectionManager::new(self.target()?, self.tls()?);
        let opening = async {
            let client = manager.connect().await?;
            let answer = match self.pooler {
                Pooler::None => first(&client, &format!("{WHICH}; {SETTINGS}")).await?,
                Pooler::Transaction => first(&client, "SHOW synchronous_commit").await?,
            };
            Ok::<_, Error>((client, answer))
        };
        // The driver's own bound covers one address; this one covers names, several addresses and the settings too.
        let (client, answer) = match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                return Err(match tls::objection(&error, &self.protection, &self.place) {
                    Some(objection) => StoreError::Corrupt(objection),
                    None => self.failure(&error),
                });
            }
            Err(_) => {
                return Err(StoreError::Unavailable(format!(
                    "no connection to {}: the server did not take one in time",
                    self.place
                )));
            }
        };
        let (claim, session) = match self.pooler {
            // A server that does not say which process it is cannot be told from another.
            Pooler::None if answer.is_empty() => (None, Session::Own(HashMap::new())),
            Pooler::None => (Some(self.backends.claim(answer)?), Session::Own(HashMap::new())),
            Pooler::Transaction => {
                let begin = if answer == "remote_apply" { LENT_REMOTE } else { LENT };
                (None, Session::Lent { begin, open: false })
            }
        };
        Ok(Connection {
            claim,
            client,
            session,
            in_use: false,
        })
    }

    /// Whether a second connection beside an open one shows that a pooler is in between. One that cannot be had shows nothing.
    pub(super) async fn find_pooler(&self) -> Result<()> {
        let mut held = Vec::new();
        while self.pooler == Pooler::None && held.len() < LOOKS {
            match self.open().await {
                Ok(connection) => held.push(connection),
                Err(StoreError::Corrupt(found)) => return Err(StoreError::Corrupt(found)),
                // There may be no room for another one: then nobody knows.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// What statements answer first; empty where that is nothing.
async fn first(client: &Client, sql: &str) -> std::result::Result<String, Error> {
    let answers = client.simple_query(sql).await?;
    let mut values = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(values.next().unwrap_or_default().to_owned())
}

impl Opener {
    fn failure(&self, error: &Error) -> StoreError {
        // A pooler's words for what it does not pass on; nothing but another URL or another set-up of it helps.
        if let Some(db) = error.as_db_error()
            && db.message().starts_with("unsupported startup parameter")
        {
            return StoreError::Corrupt(format!(
                "{}: take it out of the database URL, or name it in the pooler's ignore_startup_parameters",
                db.message()
            ));
        }
        if let (Some(file), Some(db)) = (&self.password_file, error.as_db_error())
            && db.code().code().starts_with("28")
        {
            return StoreError::Corrupt(format!(
                "{} (SQLSTATE {}): see to the password in {} and to the user in the database URL",
                db.message(),
                db.code().code(),
                file.display()
            ));
        }
        match to_store_error(error) {
            // The server's own sentences name what they are about.
            StoreError::Unavailable(text) if error.as_db_error().is_none() => {
                StoreError::Unavailable(format!("no connection to {}: {text}", self.place))
            }
            other => other,
        }
    }
}

/// Every address of the server, without anything else that the URL holds.
fn place(config: &Config) -> String {
    let named = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        Host::Unix(_) => None,
    });
    // A password with an `@` that nobody encoded: what the driver takes for a name is the rest of it.
    if named.chain(config.get_dbname()).any(|name| name.contains('@')) {
        return "the host after the first @ of the database URL (an @ in a password must be written %40)".to_owned();
    }
    let ports = config.get_ports();
    let address = |(index, host): (usize, &Host)| {
        // As the driver does: one port a host, or one for all of them, or the usual one.
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(directory) => format!("{} (port {port})", directory.display()),
        }
    };
    let all: Vec<_> = config.get_hosts().iter().enumerate().map(address).collect();
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

//! The configuration: environment `OAUTH2_*` over an optional TOML file over defaults.
//!
//! [`keys::KEYS`] is the closed table of what can be configured; a name outside it is refused. [`resolve`] is a pure
//! function of its [`Input`] and reports every mistake it finds, not only the first; [`load`] is the only place that
//! reads the process environment. One file a section: its struct and how it is read and checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub mod audit;
pub mod database;
pub mod embedded;
mod environment;
pub mod error;
mod file;
pub mod issuer;
pub mod keys;
pub mod limits;
pub mod log;
pub mod print;
pub mod quotas;
pub mod secret;
pub mod secrets;
pub mod server;
mod signing_keys;
pub mod tokens;
mod values;

pub use audit::Audit;
pub use database::Database;
pub use environment::{colours, operator};
pub use error::{ConfigError, ConfigErrors};
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use print::Entry;
pub use quotas::Quotas;
pub use secret::Secret;
pub use secrets::Secrets;
pub use server::{Listener, Server};
pub use tokens::Tokens;

use crate::tokens::lifecycle::Timing;
use values::Values;

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The public listener and how it is served.
    pub server: Server,
    /// The listener for operators.
    pub management: Listener,
    /// The store.
    pub database: Database,
    /// `iss` of every token and the base of the discovery documents (RFC 8414 section 2); never ends with `/`.
    pub issuer: String,
    /// What access tokens are by default.
    pub tokens: Tokens,
    /// Secrets that were given. What an embedded store makes for itself is added by [`embedded::provide`].
    pub secrets: Secrets,
    /// How long signing keys are published, sign, and are kept.
    pub keys: Timing,
    /// How often clients may ask, and fail.
    pub limits: Limits,
    /// How many tokens clients may be issued.
    pub quotas: Quotas,
    /// What the audit log keeps.
    pub audit: Audit,
    /// What is logged, and how.
    pub log: Log,
    /// Every key with its value (secrets redacted) and where it came from, in the order of the table.
    pub entries: Vec<Entry>,
    /// Sentences for stderr: what was accepted but has no effect.
    pub warnings: Vec<String>,
}

/// What a configuration is made of. Nothing else influences it.
pub struct Input<'a> {
    /// The process environment; names that do not begin with `OAUTH2_` are not looked at.
    pub environment: BTreeMap<OsString, OsString>,
    /// The path (for messages) and text of the configuration file.
    pub file: Option<(PathBuf, String)>,
    /// What relative paths begin from.
    pub directory: PathBuf,
    /// How many workers serve when nothing is said.
    pub parallelism: usize,
    /// Reads a secret's file.
    pub read_secret: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// Reads the process environment and the file, and resolves them.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigErrors> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = format!("the configuration file {} cannot be read: {error}", path.display());
            ConfigErrors(vec![ConfigError::Other(problem)])
        })?;
        Ok((path.to_owned(), text))
    };
    let file = file.map(read).transpose()?;
    let directory = std::env::current_dir().map_err(|error| {
        let problem = format!("the working directory cannot be determined: {error}");
        ConfigErrors(vec![ConfigError::Other(problem)])
    })?;
    resolve(&Input {
        environment: std::env::vars_os().collect(),
        file,
        directory,
        parallelism: std::thread::available_parallelism().map_or(1, usize::from),
        read_secret: &|path| std::fs::read_to_string(path),
    })
}

/// Works out the configuration, or everything that is wrong with it.
pub fn resolve(input: &Input) -> Result<Config, ConfigErrors> {
    let mut values = Values::collect(input);
    let server = Server::read(&mut values, input.parallelism);
    let management = Listener::read(&mut values, "management.host", "management.port");
    let database = Database::read(&mut values, &input.directory);
    let issuer = issuer::read(&mut values, server.as_ref().map(|server| &server.listener));
    let tokens = Tokens::read(&mut values);
    let secrets = Secrets::read(&mut values, database.as_ref());
    let keys = signing_keys::read(&mut values, tokens.as_ref());
    let limits = Limits::read(&mut values);
    let quotas = Quotas::read(&mut values);
    let audit = Audit::read(&mut values);
    let log = Log::read(&mut values);
    if let (Some(server), Some(management)) = (&server, &management)
        && server.listener == *management
    {
        values.fail_key(
            "management.port",
            "must differ from OAUTH2_SERVER_PORT: each listener needs its own",
        );
    }
    let (entries, warnings) = (values.entries(issuer.as_deref(), input.parallelism), values.warnings());
    let errors = values.into_errors();
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    match (
        server, management, database, issuer, tokens, secrets, keys, limits, quotas, audit, log,
    ) {
        (
            Some(server),
            Some(management),
            Some(database),
            Some(issuer),
            Some(tokens),
            Some(secrets),
            Some(keys),
            Some(limits),
            Some(quotas),
            Some(audit),
            Some(log),
        ) => Ok(Config {
            server,
            management,
            database,
            issuer,
            tokens,
            secrets,
            keys,
            limits,
            quotas,
            audit,
            log,
            entries,
            warnings,
        }),
        _ => Err(ConfigErrors(vec![ConfigError::Other(
            "the configuration is incomplete".to_owned(),
        )])),
    }
}

#[cfg(test)]
mod tests;

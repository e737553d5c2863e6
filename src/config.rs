//! The configuration: environment variables `OAUTH2_*` and `OTEL_*`, then an optional TOML file, then defaults.
//!
//! Each section is one file, which holds its keys, its struct, and how it is read and checked. [`TABLE`] joins the keys of all
//! sections; any other name is rejected. [`resolve`] is a pure function of its [`Input`] and reports every error, not only
//! the first. [`load`] collects the input from the process environment and the file.

use std::path::{Path, PathBuf};

pub mod audit;
pub mod database;
pub mod embedded;
pub mod environment;
pub mod error;
pub mod fallback;
mod file;
mod input;
pub mod issuer;
pub mod key;
pub mod limits;
pub mod log;
mod metrics;
mod names;
mod parse;
pub mod permissions;
pub mod print;
pub mod quotas;
pub mod redis;
pub mod secret;
pub mod secrets;
pub mod server;
mod signing_keys;
pub mod table;
pub mod telemetry;
pub mod tls;
pub mod tokens;
mod values;

pub use audit::Audit;
pub use database::Database;
pub use environment::{may_colour, system_user};
pub use error::{ConfigError, ConfigErrors};
pub use fallback::FallbackIntrospection;
pub use input::Input;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use print::Entry;
pub use quotas::Quotas;
pub use redis::Redis;
pub use secret::Secret;
pub use secrets::Secrets;
pub use server::{Listener, Server};
pub use telemetry::Telemetry;
pub use tls::{Tls, TlsFiles};
pub use tokens::Tokens;

use crate::keys::lifecycle::KeyTiming;
use table::Table;
use values::Values;

/// Every configuration key, in the order of the documentation.
pub const TABLE: Table = Table(&[
    server::KEYS,
    tls::KEYS,
    database::KEYS,
    redis::KEYS,
    issuer::KEYS,
    secrets::KEYS,
    signing_keys::KEYS,
    tokens::KEYS,
    fallback::KEYS,
    limits::KEYS,
    quotas::KEYS,
    audit::KEYS,
    log::KEYS,
    metrics::KEYS,
    telemetry::KEYS,
]);

/// A complete and valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The public listener and its workers.
    pub server: Server,
    /// The management listener.
    pub management: Listener,
    /// Host names by which the management listener is reached.
    pub management_hosts: Vec<String>,
    /// TLS of the listeners.
    pub tls: Tls,
    /// The store and its connections.
    pub database: Database,
    /// The Redis that nodes share, if there is one.
    pub redis: Option<Redis>,
    /// `iss` of every token (RFC 8414 section 2), as it was given.
    pub issuer: String,
    /// Access tokens of clients without settings of their own.
    pub tokens: Tokens,
    /// Secrets that were set. [`embedded::provide`] adds the generated ones.
    pub secrets: Secrets,
    /// Timing of the signing key lifecycle.
    pub keys: KeyTiming,
    /// Where opaque tokens of the issuer that this server replaces are introspected.
    pub fallback: Option<FallbackIntrospection>,
    /// Rate limits.
    pub limits: Limits,
    /// Quotas.
    pub quotas: Quotas,
    /// Retention of the audit log, and its rows of failed authentications.
    pub audit: Audit,
    /// Level and format of the log.
    pub log: Log,
    /// Whether `/metrics` has metrics.
    pub is_scraped: bool,
    /// Export of traces, metrics and logs.
    pub telemetry: Telemetry,
    /// Every key with its value (secrets redacted) and its origin, in the order of [`TABLE`].
    pub entries: Vec<Entry>,
    /// Warnings for stderr, one sentence each: keys that were set but have no effect, files with secrets that every user can read.
    pub warnings: Vec<String>,
    /// The files with secrets that the configuration names, and those of TLS.
    pub secret_files: Vec<PathBuf>,
    /// Whether warnings are errors, as the command line asks for by `--strict`.
    pub strict: bool,
}

impl Config {
    /// The URL of the public listener on this machine.
    pub fn public_url(&self) -> String {
        url(self.tls.public.is_some(), &self.server.listener)
    }

    /// The URL of the management listener on this machine.
    pub fn management_url(&self) -> String {
        url(self.tls.management.is_some(), &self.management)
    }

    /// The URL below which clients reach the public endpoints.
    pub fn endpoint_base(&self) -> String {
        issuer::endpoint_base(&self.issuer, self.server.path_prefix.as_deref())
    }
}

fn url(is_tls: bool, listener: &Listener) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{}", listener.authority())
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
        exposure: &permissions::exposure,
    })
}

/// The configuration, or all its errors.
pub fn resolve(input: &Input) -> Result<Config, ConfigErrors> {
    let mut values = Values::collect(input, TABLE);
    let config = read_sections(&mut values, input);
    let errors = values.into_errors();
    match config {
        Some(config) if errors.is_empty() => Ok(config),
        _ => Err(ConfigErrors(errors)),
    }
}

/// Reads every section, also after one that is invalid. `None`: a section is invalid; its errors are recorded in `values`.
fn read_sections(values: &mut Values, input: &Input) -> Option<Config> {
    let server = Server::read(values, input.parallelism);
    let management = Listener::read_management(values, server.as_ref().map(|server| &server.listener));
    let management_hosts = server::read_management_hosts(values);
    let database = Database::read(values, &input.directory);
    let redis = redis::read(values, database.as_ref(), &input.directory);
    let tls = Tls::read(values, &input.directory);
    let is_tls = tls.as_ref().is_some_and(|tls| tls.public.is_some());
    let issuer = issuer::read(values, server.as_ref().map(|server| &server.listener), is_tls);
    let secrets = Secrets::read(values, database.as_ref());
    let tokens = Tokens::read(values);
    let keys = signing_keys::read(values, tokens.as_ref());
    let fallback = fallback::read(values, &input.directory);
    let limits = Limits::read(values);
    let quotas = Quotas::read(values);
    let audit = Audit::read(values);
    let log = Log::read(values);
    let is_scraped = metrics::read(values);
    let telemetry = Telemetry::read(values, &input.directory);
    if let (Some(fallback), Some(issuer), Some(server), Some(management)) = (&fallback, &issuer, &server, &management) {
        fallback::reject_own(values, fallback.as_ref(), issuer, &[&server.listener, management]);
    }
    Some(Config {
        server: server?,
        management: management?,
        management_hosts: management_hosts?,
        tls: tls?,
        database: database?,
        redis: redis?,
        issuer: issuer?,
        tokens: tokens?,
        secrets: secrets?,
        keys: keys?,
        fallback: fallback?,
        limits: limits?,
        quotas: quotas?,
        audit: audit?,
        log: log?,
        is_scraped: is_scraped?,
        telemetry: telemetry?,
        entries: values.entries(),
        warnings: values.warnings(input),
        secret_files: values.secret_files(),
        strict: false,
    })
}

#[cfg(test)]
mod tests;

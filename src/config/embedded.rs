//! Secrets that a server with an SQLite database generates for itself, next to the database file.
//!
//! Each one is 256 random bits in a file of mode 0600. It is generated once and read on every later start. A file that other
//! users can read is rejected.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::Config;
use super::database::URL;
use super::secret::Secret;
use super::secrets::{KEY_ENCRYPTION_KEY, KeyEncryptionKey, parse_key_encryption_key, parse_secret};
use crate::keys::wrapping::KeyWrapper;
use crate::tokens::secret;

/// Name of the file that holds the admin token, next to the database.
pub const ADMIN_TOKEN_FILE: &str = "admin_token";
/// Name of the file that holds the key encryption key, next to the database.
pub const KEY_ENCRYPTION_KEY_FILE: &str = "key_encryption_key";
/// Name of the file that holds the secret of the client that a first start creates, next to the database.
pub const DEMO_SECRET_FILE: &str = "demo_client_secret";
/// Ends of the names of the files that belong to a database, next to it: the logs of SQLite, and the lock of a server.
pub const OF_DATABASE: [&str; 4] = ["-wal", "-shm", "-journal", LOCK];
/// The lock of the server that serves from a database.
pub const LOCK: &str = ".lock";
/// The files with secrets next to the database.
pub const FILES: [&str; 3] = [ADMIN_TOKEN_FILE, KEY_ENCRYPTION_KEY_FILE, DEMO_SECRET_FILE];

/// The file with the name of the database and this end.
pub fn of_database(database: &Path, end: &str) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(end);
    PathBuf::from(file)
}

/// Why a secret is not available.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The configuration or a file must be corrected; a retry fails again.
    #[error("{0}")]
    Invalid(String),
    /// A file or directory cannot be created or read.
    #[error("{0}")]
    Io(String),
}

/// The secrets of a server: set in the configuration, or read from the data directory, or generated there.
#[derive(Debug, Clone)]
pub struct ServerSecrets {
    /// Static admin token; `None` on Postgres if none is set: the admin API then requires an access token with the admin
    /// scope.
    pub admin_token: Option<Secret>,
    /// Wraps and unwraps signing keys.
    pub wrapper: KeyWrapper,
}

/// Creates the directory of an SQLite database with mode 0700 if it is missing, and returns it. `None` on Postgres.
pub fn create_data_directory(config: &Config) -> Result<Option<PathBuf>, SecretError> {
    let Some(directory) = config.database.data_directory() else {
        return Ok(None);
    };
    let created = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    created.map_err(|error| {
        SecretError::Io(format!(
            "the directory {} cannot be created: {error}; set {} to a path in another directory",
            directory.display(),
            URL.env
        ))
    })?;
    Ok(Some(directory))
}

/// The secrets that `serve` needs. On SQLite, creates the data directory and generates the secrets that are missing in it.
/// `keys_exist`: the store holds signing keys, which a newly generated key encryption key could not unwrap.
pub fn provide(config: &Config, keys_exist: bool) -> Result<ServerSecrets, SecretError> {
    let directory = create_data_directory(config)?;
    let key = provide_key_encryption_key(config, directory.as_deref(), keys_exist)?;
    Ok(ServerSecrets {
        admin_token: provide_admin_token(config, directory.as_deref())?,
        wrapper: wrapper(config, &key),
    })
}

fn provide_key_encryption_key(
    config: &Config,
    directory: Option<&Path>,
    keys_exist: bool,
) -> Result<KeyEncryptionKey, SecretError> {
    if let Some(key) = &config.secrets.key_encryption_key {
        return Ok(key.clone());
    }
    let Some(directory) = directory else {
        let problem = format!("{} must be set on Postgres", KEY_ENCRYPTION_KEY.env);
        return Err(SecretError::Invalid(problem));
    };
    let path = directory.join(KEY_ENCRYPTION_KEY_FILE);
    if keys_exist && !path.exists() {
        return Err(SecretError::Invalid(format!(
            "{} must be set: the store holds signing keys, but the key encryption key that unwraps them is not in {}",
            KEY_ENCRYPTION_KEY.env,
            path.display()
        )));
    }
    let generate = || secret::random_bytes().map(|bytes| STANDARD.encode(bytes));
    parse_file(&path, &read_or_generate(&path, generate)?, parse_key_encryption_key)
}

fn provide_admin_token(config: &Config, directory: Option<&Path>) -> Result<Option<Secret>, SecretError> {
    let (None, Some(directory)) = (&config.secrets.admin_token, directory) else {
        return Ok(config.secrets.admin_token.clone());
    };
    let path = directory.join(ADMIN_TOKEN_FILE);
    let text = read_or_generate(&path, || secret::generate("oas_ad_"))?;
    parse_file(&path, &text, parse_secret).map(Some)
}

/// Wraps and unwraps with the key encryption keys that exist already: set in the configuration, or generated by an earlier
/// start. `None` on SQLite before the first start. Creates nothing.
pub fn existing_key_wrapper(config: &Config) -> Result<Option<KeyWrapper>, SecretError> {
    Ok(existing_key(config)?.map(|key| wrapper(config, &key)))
}

fn existing_key(config: &Config) -> Result<Option<KeyEncryptionKey>, SecretError> {
    if let Some(key) = &config.secrets.key_encryption_key {
        return Ok(Some(key.clone()));
    }
    let Some(directory) = config.database.data_directory() else {
        return Ok(None);
    };
    let path = directory.join(KEY_ENCRYPTION_KEY_FILE);
    let Some(text) = read(&path)? else { return Ok(None) };
    parse_file(&path, &text, parse_key_encryption_key).map(Some)
}

fn wrapper(config: &Config, current: &KeyEncryptionKey) -> KeyWrapper {
    KeyWrapper {
        current: current.0,
        previous: config.secrets.previous_key_encryption_key.as_ref().map(|key| key.0),
    }
}

/// Writes a secret to a new file of mode 0600, all of it or nothing. [`io::ErrorKind::AlreadyExists`] if the file exists.
pub fn write_new(path: &Path, secret: &str) -> io::Result<()> {
    // A crash must not leave an empty file: the secret is written to a draft, then linked, which never replaces a file.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        writeln!(file, "{secret}")?;
        file.sync_all()?;
        std::fs::hard_link(&draft, path)?;
        // The directory entry must survive a power failure too: without the key encryption key, signing keys are lost.
        path.parent()
            .map_or(Ok(()), |directory| std::fs::File::open(directory)?.sync_all())
    };
    let written = write();
    // A process that is killed leaves its draft, which would block a later process with the same id.
    let _ = std::fs::remove_file(&draft);
    written
}

/// Reads a file that holds a secret, without the trailing line break. `None` if it does not exist;
/// [`SecretError::Invalid`] if other users can read it.
pub fn read(path: &Path) -> Result<Option<String>, SecretError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("cannot be read", path, &error)),
    };
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        return Err(SecretError::Invalid(format!(
            "{path} must be accessible to its owner only; run: chmod 600 {path}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| io_error("cannot be read", path, &error))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read_or_generate(
    path: &Path,
    generate: impl Fn() -> Result<String, secret::NoRandomness>,
) -> Result<String, SecretError> {
    if let Some(text) = read(path)? {
        return Ok(text);
    }
    let text = generate().map_err(|error| SecretError::Io(error.to_string()))?;
    match write_new(path, &text) {
        Ok(()) => Ok(text),
        // Another process was faster: its secret is used.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| io_error("cannot be created", path, &error))
        }
        Err(error) => Err(io_error("cannot be created", path, &error)),
    }
}

fn parse_file<T>(path: &Path, text: &str, parse: fn(&str) -> Result<T, String>) -> Result<T, SecretError> {
    parse(text).map_err(|expected| SecretError::Invalid(format!("the content of {} {expected}", path.display())))
}

fn io_error(problem: &str, path: &Path, error: &io::Error) -> SecretError {
    SecretError::Io(format!("{} {problem}: {error}", path.display()))
}

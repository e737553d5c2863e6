//! Secrets that a server with an embedded store makes for itself, beside the database file.
//!
//! Each is 256 random bits in a file of mode 0600, made once and read ever after. A file that others can read is refused.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::Config;
use super::secret::Secret;
use super::secrets::{KeyEncryptionKey, parse_key, parse_token};
use crate::tokens::sealing::Seals;
use crate::tokens::secret;

/// File name of the admin token, beside the database.
pub const ADMIN_TOKEN_FILE: &str = "admin_token";
/// File name of the key-encryption key, beside the database.
pub const KEY_ENCRYPTION_KEY_FILE: &str = "key_encryption_key";

/// Why a secret could not be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file is there but must not be used: a matter of configuration.
    #[error("{0}")]
    Refused(String),
    /// The file cannot be made or read.
    #[error("{0}")]
    Io(String),
}

/// What `serve` needs: given, read from beside the database, or made there now.
#[derive(Debug, Clone)]
pub struct Provided {
    /// Static admin token; `None` on Postgres when none was given: access tokens with the admin scope remain.
    pub admin_token: Option<Secret>,
    /// Encrypts signing keys at rest.
    pub seals: Seals,
}

/// Makes the data directory of an embedded store (0700) where it is missing; answers it. `None` on Postgres.
pub fn make_data_directory(config: &Config) -> Result<Option<PathBuf>, SecretError> {
    let Some(directory) = config.database.data_directory() else {
        return Ok(None);
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|error| {
        let directory = directory.display();
        SecretError::Io(format!(
            "the directory {directory} cannot be made: {error}; name another place in OAUTH2_DATABASE_URL"
        ))
    })?;
    Ok(Some(directory))
}

/// The secrets that `serve` needs. Makes the data directory and what is missing in it; touches nothing on Postgres. `sealed`:
/// whether the store holds signing keys, which no new key-encryption key could open.
pub fn provide(config: &Config, sealed: bool) -> Result<Provided, SecretError> {
    let directory = make_data_directory(config)?;
    let key_encryption_key = match (&config.secrets.key_encryption_key, &directory) {
        (Some(key), _) => key.clone(),
        (None, Some(directory)) => {
            let fresh = || {
                let bytes = secret::random_bytes().map_err(|error| SecretError::Io(error.to_string()))?;
                Ok(STANDARD.encode(bytes))
            };
            let path = directory.join(KEY_ENCRYPTION_KEY_FILE);
            if sealed && !path.exists() {
                let problem = format!(
                    "the store holds signing keys, and the key-encryption key that opens them is neither in {} nor given: \
                     give it in OAUTH2_KEY_ENCRYPTION_KEY",
                    path.display()
                );
                return Err(SecretError::Refused(problem));
            }
            checked(&path, &read_or_make(&path, fresh)?, parse_key)?
        }
        (None, None) => {
            let problem = "OAUTH2_KEY_ENCRYPTION_KEY must be given on Postgres";
            return Err(SecretError::Refused(problem.to_owned()));
        }
    };
    let admin_token = match (&config.secrets.admin_token, &directory) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(directory)) => {
            let fresh = || secret::generate("oas_ad_").map_err(|error| SecretError::Io(error.to_string()));
            let path = directory.join(ADMIN_TOKEN_FILE);
            Some(checked(&path, &read_or_make(&path, fresh)?, parse_token)?)
        }
        (None, None) => None,
    };
    Ok(Provided {
        admin_token,
        seals: seals(config, &key_encryption_key),
    })
}

fn seals(config: &Config, current: &KeyEncryptionKey) -> Seals {
    Seals {
        current: current.0,
        previous: config.secrets.previous_key_encryption_key.as_ref().map(|key| key.0),
    }
}

/// The key-encryption key if there is one already, and the one before it; makes nothing.
pub fn existing_seals(config: &Config) -> Result<Option<Seals>, SecretError> {
    Ok(existing_key(config)?.map(|key| seals(config, &key)))
}

fn existing_key(config: &Config) -> Result<Option<KeyEncryptionKey>, SecretError> {
    if let Some(key) = &config.secrets.key_encryption_key {
        return Ok(Some(key.clone()));
    }
    let Some(path) = file_beside(config, KEY_ENCRYPTION_KEY_FILE) else {
        return Ok(None);
    };
    let Some(text) = read(&path)? else { return Ok(None) };
    checked(&path, &text, parse_key).map(Some)
}

/// Where a file beside the embedded database lies; `None` on Postgres.
pub fn file_beside(config: &Config, name: &str) -> Option<PathBuf> {
    config.database.data_directory().map(|directory| directory.join(name))
}

/// Writes a secret into a new file of mode 0600, whole or not at all. [`io::ErrorKind::AlreadyExists`] when it is there.
pub fn write_new(path: &Path, secret: &str) -> io::Result<()> {
    // A crash must not leave an empty secret behind: written elsewhere first, then linked, which never replaces a file.
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
        // The name, too, must outlive a power cut: what is sealed under a lost key is lost.
        path.parent()
            .map_or(Ok(()), |directory| std::fs::File::open(directory)?.sync_all())
    };
    let written = write();
    // A draft of a process that had this id and was killed would be in the way the next time.
    let _ = std::fs::remove_file(&draft);
    written
}

/// Reads a secret's file, without the line end; `None` when there is none. Refuses a file that others can read.
pub fn read(path: &Path) -> Result<Option<String>, SecretError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("cannot be read", path, &error)),
    };
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        return Err(SecretError::Refused(format!(
            "{path} can be read by others; run: chmod 600 {path}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| io_error("cannot be read", path, &error))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read_or_make(path: &Path, fresh: impl Fn() -> Result<String, SecretError>) -> Result<String, SecretError> {
    if let Some(text) = read(path)? {
        return Ok(text);
    }
    let text = fresh()?;
    match write_new(path, &text) {
        Ok(()) => Ok(text),
        // Another process was faster; what it wrote counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| io_error("cannot be made", path, &error))
        }
        Err(error) => Err(io_error("cannot be made", path, &error)),
    }
}

fn checked<T>(path: &Path, text: &str, parse: fn(&str) -> Result<T, String>) -> Result<T, SecretError> {
    parse(text).map_err(|expected| SecretError::Refused(format!("what {} holds {expected}", path.display())))
}

fn io_error(what: &str, path: &Path, error: &io::Error) -> SecretError {
    SecretError::Io(format!("{} {what}: {error}", path.display()))
}

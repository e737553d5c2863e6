//! Where an embedded store may be created: in a directory without the files of an earlier one.
//!
//! A database that was lost, or copied without its write-ahead log, looks like a new one. A server that started on it would be a new
//! issuer under the old name: no client would be known, and no token would verify.

use std::path::{Path, PathBuf};

use oauth2_store::{Store, StoreError};

use super::first_run;
use crate::config::{Config, embedded};
use crate::failure::Failure;

/// Fails if the database is missing or empty, and files next to it belong to one. Called before the database is opened, which would
/// delete a write-ahead log without a database.
pub(super) fn check_files(config: &Config) -> Result<(), Failure> {
    let Some(database) = config.database.sqlite_path() else {
        return Ok(());
    };
    if std::fs::metadata(database).is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    let mut files = generated_secrets(config, database);
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    files.extend(
        std::fs::metadata(&log)
            .is_ok_and(|found| found.len() > 0)
            .then_some(log),
    );
    let state = if database.exists() {
        "is empty"
    } else {
        "does not exist"
    };
    refuse(database, state, &files)
}

/// Migrates a database without a schema if that is allowed, before any secret is generated: an interrupted start leaves no secret
/// next to an empty database. Returns the number of migrations, 0 if there is a schema.
pub(super) async fn create_schema(config: &Config, store: &Store, may_migrate: bool) -> Result<usize, Failure> {
    let Some(database) = config.database.sqlite_path() else {
        return Ok(0);
    };
    if store.schema_version().await?.is_some() {
        return Ok(0);
    }
    refuse(database, "has no tables", &generated_secrets(config, database))?;
    if !may_migrate {
        let expected = store.required_schema_version();
        return Err(StoreError::Corrupt(format!(
            "the schema is missing, this program requires version {expected}; run oauth2_server migrate"
        ))
        .into());
    }
    Ok(store.migrate().await?)
}

/// The secrets that a server generated next to its database. What the configuration gives was not generated, wherever it lies.
fn generated_secrets(config: &Config, database: &Path) -> Vec<PathBuf> {
    let Some(directory) = database.parent() else {
        return Vec::new();
    };
    let names = [
        (
            embedded::KEY_ENCRYPTION_KEY_FILE,
            config.secrets.key_encryption_key.is_none(),
        ),
        (embedded::ADMIN_TOKEN_FILE, config.secrets.admin_token.is_none()),
        (first_run::SECRET_FILE, true),
    ];
    let generated = names.iter().filter(|(_, is_generated)| *is_generated);
    let paths = generated.map(|(name, _)| directory.join(name));
    paths.filter(|path| path.exists()).collect()
}

fn refuse(database: &Path, state: &str, files: &[PathBuf]) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Failure::Environment(format!(
        "the database {} {state}, but these files next to it belong to one: {}; restore the database from a backup, or move these \
         files away to start as a new issuer",
        database.display(),
        names.join(", ")
    )))
}

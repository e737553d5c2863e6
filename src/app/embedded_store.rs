//! Where an embedded store may be created: in a directory without the files of an earlier one.
//!
//! A database that was lost, or of which only the beginning was copied, looks like a new one. A server that started on it would be a new
//! issuer under the old name, without clients.

use std::path::{Path, PathBuf};

use oauth2_store::{Store, StoreError};

use super::first_run;
use crate::config::{Config, embedded};
use crate::failure::Failure;

/// Fails if the database is missing and files next to it belong to one, if it is a link to a missing file, or if it is empty. Called before the database is opened, which
/// would delete a write-ahead log without a database.
pub(super) fn check_files(config: &Config) -> Result<(), Failure> {
    let Some(database) = config.database.sqlite_path() else {
        return Ok(());
    };
    match std::fs::metadata(database) {
        Ok(found) if found.len() > 0 => return Ok(()),
        Ok(_) => return Err(lost(database, "is empty", &generated_secrets(config, database))),
        Err(_) => {}
    }
    let mut files = generated_secrets(config, database);
    files.extend(remains_of(database));
    if database.is_symlink() {
        return Err(lost(database, "is a link to a file that does not exist", &files));
    }
    if files.is_empty() {
        Ok(())
    } else {
        Err(lost(database, "does not exist", &files))
    }
}

/// Creates a database that does not exist if that is allowed, before any secret is generated: an interrupted start leaves no secret
/// without a database. Returns the number of migrations, 0 if there is a database.
pub(super) async fn create(config: &Config, may_migrate: bool) -> Result<usize, Failure> {
    let Some(database) = config.database.sqlite_path().filter(|database| !database.exists()) else {
        return Ok(0);
    };
    if !may_migrate {
        let problem = format!(
            "there is no store at {}; run: oauth2_server migrate",
            database.display()
        );
        return Err(Failure::Environment(problem));
    }
    Ok(Store::create(database).await?)
}

/// Migrates an embedded database without a schema if that is allowed, before any secret is generated. Returns the number of migrations, 0
/// if there is a schema. Fails if there are no tables at all: a server creates a database with its tables, so this one is the beginning of
/// a copy.
pub(super) async fn create_schema(config: &Config, store: &Store, may_migrate: bool) -> Result<usize, Failure> {
    let Some(database) = config.database.sqlite_path() else {
        return Ok(0);
    };
    if store.schema_version().await?.is_some() {
        return Ok(0);
    }
    let files = generated_secrets(config, database);
    if !files.is_empty() || !store.has_tables().await? {
        return Err(lost(database, "has no tables", &files));
    }
    if !may_migrate {
        let expected = store.required_schema_version();
        return Err(StoreError::Corrupt(format!(
            "the schema is missing, this program requires version {expected}; run oauth2_server migrate"
        ))
        .into());
    }
    Ok(store.migrate().await?)
}

/// The files that only a database leaves next to its own: its logs, and the lock of a server, which has content once the server found or
/// created the database ([`super::store_lock`]).
fn remains_of(database: &Path) -> impl Iterator<Item = PathBuf> {
    embedded::OF_DATABASE.into_iter().filter_map(|end| {
        let file = embedded::of_database(database, end);
        let may_be_empty = matches!(end, "-shm" | "-journal");
        let found = std::fs::metadata(&file).ok()?;
        (may_be_empty || found.len() > 0).then_some(file)
    })
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

/// How to go on with a database that was lost. `files`: those next to it that belong to it.
fn lost(database: &Path, state: &str, files: &[PathBuf]) -> Failure {
    let database = database.display();
    if files.is_empty() {
        return Failure::Environment(format!(
            "the database {database} {state}; restore the database from a backup, or delete this file to start as a new issuer"
        ));
    }
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let and_file = if state == "does not exist" {
        ""
    } else {
        "the database and "
    };
    Failure::Environment(format!(
        "the database {database} {state}, but these files next to it belong to one: {}; restore the database from a backup, or move \
         {and_file}these files away to start as a new issuer",
        names.join(", ")
    ))
}

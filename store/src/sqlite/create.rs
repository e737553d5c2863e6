//! Creates a database. Its file appears under its name with the whole schema, so an interrupted start leaves no file without tables,
//! which looks like the beginning of a copy.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::OpenFlags;

use super::connection::{connect, create_directory};
use super::failure::{Failure, from_sqlite};
use super::schema;
use crate::error::{Result, StoreError};

/// Creates a missing database; returns the number of its migrations. 0: another process was faster.
pub(crate) async fn create(path: &Path) -> Result<usize> {
    let path = path.to_owned();
    let created = tokio::task::spawn_blocking(move || create_now(&path)).await;
    created.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(
            "the creation of the database panicked".to_owned(),
        ))
    })
}

fn create_now(path: &Path) -> Result<usize> {
    create_directory(path)?;
    let mut draft = path.as_os_str().to_owned();
    // Another container, whose process has the same id, may do the same.
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    draft.push(format!(".new.{}.{nanos}", std::process::id()));
    let draft = PathBuf::from(draft);
    let remove = || {
        let _ = std::fs::remove_file(&draft);
    };
    let created = write(&draft).and_then(|applied| {
        let named = name(&draft, path).and_then(|()| sync_directory(path));
        match named {
            Ok(()) => Ok(applied),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(0),
            Err(error) => Err(cannot_create(path, &error)),
        }
    });
    remove();
    created
}

/// Gives the draft its name, unless a file has it.
fn name(draft: &Path, file: &Path) -> io::Result<()> {
    let linked = std::fs::hard_link(draft, file);
    match linked.as_ref().map_err(io::Error::kind) {
        // The file system has no hard links. Two first starts at the same time, of which the first would lose its database, are unlikely there.
        Err(io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) if !file.exists() => {
            std::fs::rename(draft, file)
        }
        _ => linked,
    }
}

/// Writes the draft; it is durable when this returns.
fn write(draft: &Path) -> Result<usize> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|error| cannot_create(draft, &error))?;
    let mut connection = connect(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let fail = |error: rusqlite::Error| from_sqlite(&error, draft);
    // The draft of a killed process is discarded, so it needs no journal to recover from.
    connection
        .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA foreign_keys = ON;")
        .map_err(fail)?;
    let applied = schema::migrate(&mut connection).map_err(|failure: Failure| failure.into_store_error(draft))?;
    connection.close().map_err(|(_, error)| from_sqlite(&error, draft))?;
    file.sync_all().map_err(|error| cannot_create(draft, &error))?;
    Ok(applied)
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn cannot_create(file: &Path, error: &io::Error) -> StoreError {
    let file = file.display();
    if error.kind() == io::ErrorKind::StorageFull {
        return StoreError::NotWritable(format!("the disk that holds {file} is full: free some space"));
    }
    StoreError::Corrupt(format!(
        "{file} cannot be created: {error}: check the path and its permissions"
    ))
}

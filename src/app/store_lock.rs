//! One server per embedded store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::config::{Config, embedded};
use crate::failure::Failure;

/// Holds the embedded store for this process. The lock is released with the process, however that ends.
#[derive(Debug)]
pub(super) struct StoreLock(Option<File>);

impl StoreLock {
    /// Names the holder, for people. Called once there is a database: the lock file of a first start that ended before is empty, and does
    /// not count as a remainder of a lost database. A failure to write it changes nothing.
    pub(super) fn name_holder(&mut self, config: &Config) {
        let Some(file) = &mut self.0 else {
            return;
        };
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = write!(
            file,
            "process {} on {}",
            std::process::id(),
            config.server.listener.authority()
        );
    }
}

/// Fails if another server serves from the same SQLite file. Subcommands need no lock.
pub(super) fn lock(config: &Config) -> Result<StoreLock, Failure> {
    let Some(database) = config.database.sqlite_path() else {
        return Ok(StoreLock(None));
    };
    let path = embedded::of_database(database, embedded::LOCK);
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file =
        opened.map_err(|error| Failure::Environment(format!("{} cannot be opened: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let (database, holder) = (database.display(), holder.trim());
            return Err(Failure::Environment(format!(
                "another server ({holder}) serves from {database}; stop it, or name another file in OAUTH2_DATABASE_URL"
            )));
        }
        Err(TryLockError::Error(error)) => {
            return Err(Failure::Environment(format!(
                "{} cannot be locked: {error}",
                path.display()
            )));
        }
    }
    Ok(StoreLock(Some(file)))
}

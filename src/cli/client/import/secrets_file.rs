//! The file of generated secrets: a client id and its secret per line, as CSV.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::cli::destination;
use crate::failure::Failure;

/// The file.
pub struct SecretsFile(File);

impl SecretsFile {
    /// A new file, which only its owner can read. It is at its path from the start: its secrets are those of stored clients, however
    /// the command ends.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => destination::exists(path),
            _ => destination::cannot_write(path, &error),
        });
        let file = file?;
        // The name must survive a power failure, too.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let synced = File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
        synced.map_err(|error| destination::cannot_write(path, &error))?;
        Ok(Self(file))
    }

    /// Appends secrets and syncs them to disk, or leaves the file as it was. Returns where they begin, for [`Self::discard`].
    pub fn append(&mut self, secrets: &[(Arc<str>, String)]) -> Result<u64, Failure> {
        let began_at = self.0.stream_position().map_err(|error| cannot_write(&error))?;
        let append = |file: &mut File| -> io::Result<()> {
            if !secrets.is_empty() {
                // An id may contain commas and quotes.
                let mut lines = csv::Writer::from_writer(Vec::new());
                for (client_id, secret) in secrets {
                    lines.write_record([&**client_id, secret.as_str()])?;
                }
                let lines = lines
                    .into_inner()
                    .map_err(|error| io::Error::other(error.to_string()))?;
                file.write_all(&lines)?;
                file.sync_data()?;
            }
            Ok(())
        };
        if let Err(error) = append(&mut self.0) {
            // Its clients are not stored.
            let _ = self.discard(began_at);
            return Err(cannot_write(&error));
        }
        Ok(began_at)
    }

    /// Removes the secrets that were appended from `began_at` on.
    pub fn discard(&mut self, began_at: u64) -> Result<(), Failure> {
        let discard = |file: &mut File| {
            file.set_len(began_at)?;
            file.seek(SeekFrom::Start(began_at)).map(drop)
        };
        discard(&mut self.0).map_err(|error| cannot_write(&error))
    }
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::Environment(format!("--secrets-out cannot be written: {error}"))
}

//! Where a command writes tokens or secrets: stdout, or a new file that only its owner can read.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::config::{Config, embedded};
use crate::failure::Failure;

/// Stdout, or a new file.
///
/// A file is a temporary one next to its path until [`Self::publish`]: a command that fails before leaves no part of a file, and with
/// `--force` leaves the existing one. It is never the existing file itself, which may be readable by others, or open in another process.
pub struct Destination {
    path: PathBuf,
    force: bool,
    out: BufWriter<Box<dyn Write>>,
    /// The temporary file, until it is at `path`.
    draft: Option<TempPath>,
}

impl Destination {
    /// `-` is stdout. `force`: replace an existing file. Fails if the file exists and must not be replaced, or cannot be created.
    pub fn new(config: &Config, path: &Path, force: bool) -> Result<Self, Failure> {
        let of = |out, draft| Self {
            path: path.to_owned(),
            force,
            out: BufWriter::new(out),
            draft,
        };
        if is_stdout(path) {
            return Ok(of(Box::new(io::stdout()), None));
        }
        check(config, path, force)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // Its mode is 0600.
        let draft = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
        let (file, draft) = draft.map_err(|error| cannot_write(path, &error))?.into_parts();
        Ok(of(Box::new(file), Some(draft)))
    }

    /// Writes out what is buffered, and puts the file at its path if it is not there yet.
    pub fn publish(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| cannot_write(&self.path, &error))?;
        let Some(draft) = self.draft.take() else {
            return Ok(());
        };
        let placed = if self.force {
            draft.persist(&self.path)
        } else {
            draft.persist_noclobber(&self.path)
        };
        placed.map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.path),
            _ => cannot_write(&self.path, &failed.error),
        })
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Checks that a file may be created at a path, or with `--force` replaced there.
pub fn check(config: &Config, path: &Path, force: bool) -> Result<(), Failure> {
    if is_of_server(config, path) {
        return Err(Failure::Invalid(format!(
            "{} belongs to the store or the secrets of the server; name another file",
            path.display()
        )));
    }
    let Ok(existing) = path.symlink_metadata() else {
        return Ok(());
    };
    if !force {
        return Err(Failure::Invalid(format!(
            "{} exists already; name another file, or replace it with --force",
            path.display()
        )));
    }
    if !existing.is_file() {
        return Err(Failure::Invalid(format!(
            "{} is not a regular file and cannot be replaced",
            path.display()
        )));
    }
    Ok(())
}

/// Whether a path is one of the files of the server: those with secrets that the configuration names, and on SQLite its database, the logs
/// and the lock next to that, and generated secrets. Replacing one of them loses clients, tokens, or the keys.
fn is_of_server(config: &Config, path: &Path) -> bool {
    let mut own = config.secret_files.clone();
    if let (Some(database), Some(data)) = (config.database.sqlite_path(), config.database.data_directory()) {
        own.push(database.to_owned());
        own.extend(embedded::OF_DATABASE.map(|end| embedded::of_database(database, end)));
        own.extend(embedded::FILES.map(|name| data.join(name)));
    }
    let resolved = resolved(path);
    own.iter().any(|own| resolved == self::resolved(own))
}

/// A path without links. The file itself may be missing.
fn resolved(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(parent.join(path.file_name()?))
    })
}

/// Whether a path means stdout.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// The failure of a file that must not be replaced.
pub fn exists(path: &Path) -> Failure {
    Failure::Invalid(format!("{} exists already; name another file", path.display()))
}

/// The failure of a file that cannot be written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("{} cannot be written: {error}", path.display()))
}

//! Files with secrets: those that declarations name, and those that are written for generated ones.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::{destination, exposure, stderr};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::apply::declaration::{Declaration, DeclaredSecret, MAX_SECRET_FILE};
use crate::tokens::secret;

/// How often files that are not there are looked for.
const POLL: Duration = Duration::from_millis(200);

/// Reads the secret of every declaration that names a file, and waits for those that are not there. The errors are sentences with their
/// locations.
pub(super) async fn resolve(
    config: &Config,
    declared: &mut [Declaration],
    generated: Option<&SecretsDirectory>,
    wait: Option<Duration>,
) -> Vec<String> {
    let end = wait.map(|wait| Instant::now() + wait);
    let mut errors = Vec::new();
    for one in declared.iter_mut().filter(|one| one.has_no_secret()) {
        if let Some(error) = generated.and_then(|directory| directory.offer(one).err()) {
            errors.push(one.location.error(&error));
        }
    }
    let (mut is_reported, mut judged) = (false, HashSet::new());
    loop {
        let mut pending = 0;
        for one in &mut *declared {
            if let DeclaredSecret::InFile(file) | DeclaredSecret::Pending(file) = one.secret.clone() {
                let content = content(Path::new(&file));
                if matches!(content, Ok(Some(_)))
                    && judged.insert(file.clone())
                    && let Err(exposed) = exposure::judge(config, Path::new(&file))
                {
                    errors.push(one.location.error(&exposed.to_string()));
                }
                let taken = content.and_then(|content| one.set_content(&file, content.as_deref()));
                if let Err(error) = taken {
                    errors.push(one.location.error(&error));
                }
                pending += usize::from(matches!(one.secret, DeclaredSecret::Pending(_)));
            }
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let Some(left) = left.filter(|left| pending > 0 && errors.is_empty() && !left.is_zero()) else {
            return errors;
        };
        if !is_reported {
            stderr::line(&format!("waiting for {pending} secret files"));
            is_reported = true;
        }
        tokio::time::sleep(POLL.min(left)).await;
    }
}

/// The content of a file; `None` if it is not there.
fn content(path: &Path) -> Result<Option<String>, String> {
    // Before it is opened: opening a pipe would wait for its writer.
    let is_file = std::fs::metadata(path).map(|found| found.is_file());
    let read = match is_file {
        Ok(false) => Err(io::Error::other("it is not a regular file")),
        Ok(true) => File::open(path).and_then(|file| read_text(&file)),
        Err(error) => Err(error),
    };
    match read {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("secret_file {} cannot be read: {error}", path.display())),
    }
}

/// At most as much as a secret may have.
fn read_text(file: &File) -> io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_SECRET_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The directory of `--secrets-out`: a file per client.
pub(super) struct SecretsDirectory(PathBuf);

impl SecretsDirectory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The file of a client. Its name is the id, with `%` and two hexadecimal digits for what a name should not have.
    fn file(&self, client_id: &str) -> PathBuf {
        let mut name = String::with_capacity(client_id.len());
        for (index, byte) in client_id.bytes().enumerate() {
            let is_plain = byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && index > 0);
            if is_plain {
                name.push(char::from(byte));
            } else {
                // Writing to a string never fails.
                let _ = write!(name, "%{byte:02X}");
            }
        }
        self.0.join(name)
    }

    /// Gives a declaration the secret of an earlier run that was killed before the client was stored.
    fn offer(&self, declaration: &mut Declaration) -> Result<(), String> {
        let path = self.file(declaration.row.client_id());
        match existing(&path) {
            Ok(Some(text)) => declaration.set_generated_before(&path.display().to_string(), &text),
            Ok(None) => Ok(()),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }

    /// Generates a secret, and writes it to the client's file, which is complete or not there.
    pub(super) fn generate(&self, client_id: &str) -> Result<String, Failure> {
        let secret = secret::generate_client_secret().map_err(Failure::environment)?;
        let path = self.file(client_id);
        let write = || -> io::Result<()> {
            match DirBuilder::new().mode(0o700).create(&self.0) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Its mode is 0600.
            let mut draft = tempfile::NamedTempFile::new_in(&self.0)?;
            writeln!(draft, "{secret}")?;
            draft.as_file().sync_all()?;
            draft.persist_noclobber(&path).map_err(|failed| failed.error)?;
            // The name must survive a power failure, too.
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| destination::cannot_write(&path, &error))?;
        Ok(secret)
    }
}

/// The content of a file that is no link: another user must not choose which file is taken for a secret.
fn existing(path: &Path) -> io::Result<Option<String>> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path);
    match opened {
        Ok(file) => read_text(&file).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

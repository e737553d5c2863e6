//! The newest backup that `doctor --production --backup PATH` finds.

use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// When the newest complete backup was made. The error is a sentence.
///
/// A file must not be empty: a dump that failed leaves an empty one. In a directory with backups of `deploy/backup`, only those count, and
/// only with their checksums, which are written last: the archive of the log in there is newer, and is no backup.
pub(super) fn newest(path: &Path) -> Result<SystemTime, String> {
    let cannot = |error: std::io::Error| format!("--backup {} cannot be read: {error}", path.display());
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if metadata.is_file() {
        if metadata.len() == 0 {
            return Err(format!("the backup {} is empty", path.display()));
        }
        if is_ours(path) && !has_checksum(path) {
            return Err(format!(
                "the backup {} has no checksum: it is incomplete",
                path.display()
            ));
        }
        return metadata.modified().map_err(cannot);
    }
    let mut files = Vec::new();
    collect(path, &mut files).map_err(cannot)?;
    let (ours, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, _)| is_ours(file));
    let complete = |(file, found): &&(PathBuf, Metadata)| found.len() > 0 && (!is_ours(file) || has_checksum(file));
    let counted = if ours.is_empty() { others } else { ours };
    let times = counted
        .iter()
        .filter(complete)
        .filter_map(|(_, found)| found.modified().ok());
    times
        .max()
        .ok_or_else(|| format!("there is no complete backup in {}", path.display()))
}

/// The files below a directory, without hidden ones.
fn collect(directory: &Path, files: &mut Vec<(PathBuf, Metadata)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => files.push((path, found)),
            // A directory of others, such as lost+found, has none of the backups.
            Ok(found) if found.is_dir() => drop(collect(&path, files)),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a file has the name of a backup of `deploy/backup`.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let kinds = ["oauth2-postgres-", "oauth2-base-", "oauth2-sqlite-"];
    kinds.iter().any(|kind| name.starts_with(kind)) && !name.ends_with(".sha256")
}

fn has_checksum(path: &Path) -> bool {
    let mut checksum = OsString::from(path);
    checksum.push(".sha256");
    std::fs::metadata(checksum).is_ok_and(|found| found.len() > 0)
}

//! Who else can read or replace a file that holds a secret.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Other users' right to read a file, and to write to it.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// The sticky bit: only the owner of an entry may replace it, even if others can write to the directory.
const STICKY: u32 = 0o1000;

/// How users other than the file's owner and group can read or replace a file: a clause that follows its path, with the mode. `None` if
/// they cannot, or if it is no file, such as a pipe. Group rights are left alone: that is how Kubernetes mounts secrets.
pub fn exposure(path: &Path) -> Option<String> {
    // Of the file itself, where symbolic links lead to it.
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.mode();
    let shown = path.display();
    let right = match (mode & OTHERS_READ != 0, mode & OTHERS_WRITE != 0) {
        (true, true) => Some("readable and writable"),
        (true, false) => Some("readable"),
        (false, true) => Some("writable"),
        (false, false) => None,
    };
    if let Some(right) = right {
        let mode = mode & 0o7777;
        return Some(format!(
            "is {right} by every user (mode {mode:04o}); run: chmod o= {shown}"
        ));
    }
    let (directory, mode) = open_directory(path).ok().flatten()?;
    let directory = directory.display();
    Some(format!(
        "can be replaced by every user: {directory} is writable (mode {mode:04o}); run: chmod o-w {directory}"
    ))
}

/// The directory above a file, or above what its symbolic links lead to, in which every user may replace an entry; and its mode.
fn open_directory(path: &Path) -> io::Result<Option<(PathBuf, u32)>> {
    let (given, real) = (std::path::absolute(path)?, path.canonicalize()?);
    for directory in given.ancestors().skip(1).chain(real.ancestors().skip(1)) {
        let mode = std::fs::metadata(directory)?.mode() & 0o7777;
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            return Ok(Some((directory.to_owned(), mode)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn rights_of_every_user_are_found_and_those_of_the_group_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "x").unwrap();
        for mode in [0o400, 0o600, 0o440, 0o640] {
            set_mode(&path, mode);
            assert_eq!(exposure(&path), None, "{mode:o}");
        }
        for (mode, right) in [
            (0o644, "is readable by"),
            (0o602, "is writable by"),
            (0o666, "readable and writable"),
        ] {
            set_mode(&path, mode);
            let found = exposure(&path).unwrap();
            assert!(
                found.contains(right) && found.contains(&format!("mode {mode:04o}")),
                "{found}"
            );
        }
        assert_eq!(exposure(&directory.path().join("missing")), None);
        assert_eq!(exposure(Path::new("/dev/null")), None);
    }

    /// As Kubernetes mounts a secret: `token` → `..data/token`, `..data` → a directory by date.
    #[test]
    fn links_are_followed_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let of = |name: &str| directory.path().join(name);
        fs::create_dir(of("..2026_11_29")).unwrap();
        fs::write(of("..2026_11_29/token"), "x").unwrap();
        symlink("..2026_11_29", of("..data")).unwrap();
        symlink("..data/token", of("token")).unwrap();
        set_mode(&of("..2026_11_29/token"), 0o440);
        set_mode(directory.path(), 0o1777);
        assert_eq!(exposure(&of("token")), None, "the directory is sticky");
        set_mode(&of("..2026_11_29/token"), 0o444);
        assert!(exposure(&of("token")).unwrap().contains("mode 0444"));
        set_mode(&of("..2026_11_29/token"), 0o440);
        set_mode(&of("..2026_11_29"), 0o777);
        assert!(
            exposure(&of("token"))
                .unwrap()
                .contains("..2026_11_29 is writable (mode 0777)")
        );
        set_mode(&of("..2026_11_29"), 0o755);
        set_mode(directory.path(), 0o777);
        assert!(
            exposure(&of("token"))
                .unwrap()
                .contains("can be replaced by every user")
        );
        set_mode(directory.path(), 0o700);
    }
}

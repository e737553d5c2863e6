//! A file system of a few megabytes that a test can fill. Mounting it requires root.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs; unmounted when it is dropped.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Creates a directory and mounts a tmpfs of `megabytes` on it. `options`: further mount options.
    pub fn mount(path: &Path, megabytes: u32, options: &str) -> Tmpfs {
        std::fs::create_dir_all(path).expect("a directory");
        let options = format!("size={megabytes}m,{options}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .status();
        assert!(mounted.expect("mount").success(), "a tmpfs can be mounted by root only");
        Tmpfs { path: path.to_owned() }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Writes a file until no byte is free.
    pub fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("a file");
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Deletes that file.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the file of fill()");
    }

    /// Mounts it again, read-only or writable.
    pub fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        let mounted = Command::new("mount").args(["-o", &options]).arg(&self.path).status();
        assert!(mounted.expect("mount").success(), "remount {mode}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: processes of the test may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

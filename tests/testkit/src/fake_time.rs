//! A clock that the test sets while processes run, by libfaketime.

use std::path::{Path, PathBuf};

/// Where Debian's package `libfaketime` has the library for programs with threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The clock of the processes that are started with [`FakeTime::environment`]. Their monotonic clock is the real one.
#[derive(Debug)]
pub struct FakeTime {
    file: PathBuf,
}

impl FakeTime {
    /// A clock that is `seconds` ahead. `file` is made; all processes must be able to read it.
    pub fn new(file: &Path, seconds: i64) -> FakeTime {
        let time = FakeTime { file: file.to_owned() };
        time.set(seconds);
        time
    }

    /// Sets the clock `seconds` ahead of the real one.
    pub fn set(&self, seconds: i64) {
        use std::os::unix::fs::PermissionsExt;
        // Renamed, so that no process reads half a file.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).expect("a file");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644)).expect("its mode");
        std::fs::rename(&new, &self.file).expect("a file");
    }

    /// The variables with which a process has this clock.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        assert!(Path::new(LIBRARY).exists(), "libfaketime must be installed: make setup");
        [
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_string_lossy().into_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

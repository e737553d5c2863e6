//! The input that a configuration is resolved from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Everything a configuration depends on.
pub struct Input<'a> {
    /// The process environment; names that do not begin with `OAUTH2_` or `OTEL_` are ignored.
    pub environment: BTreeMap<OsString, OsString>,
    /// The path (for messages) and the text of the configuration file.
    pub file: Option<(PathBuf, String)>,
    /// The directory that relative paths start from.
    pub directory: PathBuf,
    /// Default number of workers.
    pub parallelism: usize,
    /// Reads the file of a `…_FILE` key.
    pub read_secret: &'a dyn Fn(&Path) -> io::Result<String>,
    /// How other users can read or replace a file: a clause that follows its path; see [`super::permissions::exposure`].
    pub exposure: &'a dyn Fn(&Path) -> Option<String>,
}

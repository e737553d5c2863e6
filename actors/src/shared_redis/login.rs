//! User and password of a Redis or of its Sentinels.

use std::fmt;
use std::path::PathBuf;

/// How to log in.
#[derive(Clone, Default)]
pub struct RedisLogin {
    /// The user; `None`: the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The file that holds the password: it is read for each connection. If it cannot be read, the password that is known is used.
    pub password_file: Option<PathBuf>,
}

impl fmt::Debug for RedisLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLogin").finish_non_exhaustive()
    }
}

impl RedisLogin {
    /// The password to use now.
    pub(super) fn current_password(&self) -> Option<String> {
        let read = self
            .password_file
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let read = read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        read.or_else(|| self.password.clone())
    }
}

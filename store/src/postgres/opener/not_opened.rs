//! Why no connection was opened, for operators.

use std::path::Path;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;
use crate::postgres::failure::to_store_error;
use crate::postgres::tls;
use crate::postgres::url::TlsOptions;

/// Why no connection was opened.
pub(super) enum NotOpened {
    /// The name of the host was not resolved.
    Name(std::io::Error),
    Driver(Error),
}

impl From<std::io::Error> for NotOpened {
    fn from(error: std::io::Error) -> Self {
        Self::Name(error)
    }
}

/// What was asked for, which errors name.
pub(super) struct Asked<'a> {
    pub(super) address: &'a str,
    pub(super) tls_options: &'a TlsOptions,
    pub(super) password_file: Option<&'a Path>,
    pub(super) has_percent_in_password: bool,
}

impl Asked<'_> {
    pub(super) fn describe(&self, error: &NotOpened) -> StoreError {
        match error {
            NotOpened::Name(error) => StoreError::Unavailable(format!("cannot connect to {}: {error}", self.address)),
            NotOpened::Driver(error) => match tls::describe_error(error, self.tls_options, self.address) {
                Some(text) => StoreError::Corrupt(text),
                None => self.rejected(error),
            },
        }
    }

    fn rejected(&self, error: &Error) -> StoreError {
        // pgbouncer rejects parameters that it does not pass on.
        if let Some(db) = error.as_db_error()
            && db.message().starts_with("unsupported startup parameter")
        {
            return StoreError::Corrupt(format!(
                "{}: remove it from the database URL, or add it to the pooler's ignore_startup_parameters",
                db.message()
            ));
        }
        if let (Some(file), Some(db)) = (self.password_file, error.as_db_error())
            && db.code().code().starts_with("28")
            && !db.message().contains("pg_hba.conf")
        {
            return StoreError::Corrupt(format!(
                "{} (SQLSTATE {}): check the password in {} and the user in the database URL",
                db.message(),
                db.code().code(),
                file.display()
            ));
        }
        match to_store_error(error) {
            StoreError::Corrupt(text)
                if self.has_percent_in_password && error.code().is_some_and(is_authentication) =>
            {
                StoreError::Corrupt(format!(
                    "{text}; each % in a password of the URL must be written %25, or the password put in the file that \
                     OAUTH2_DATABASE_PASSWORD_FILE names"
                ))
            }
            // A message of the server needs no address.
            StoreError::Unavailable(text) if error.as_db_error().is_none() => {
                StoreError::Unavailable(format!("cannot connect to {}: {text}", self.address))
            }
            other => other,
        }
    }
}

/// Whether the server rejected the user or the password.
fn is_authentication(code: &SqlState) -> bool {
    code.code().starts_with("28")
}

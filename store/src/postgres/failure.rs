//! Classification of Postgres errors, and their conversion to store errors.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::backends;
use crate::error::StoreError;

/// Why a verb failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Postgres(Error),
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Postgres(error) => to_store_error(&error),
        }
    }
}

impl Failure {
    /// Whether the verb collided with another transaction, so that a retry may succeed.
    pub(super) fn is_collision(&self) -> bool {
        // 23514: a partition was attached while a row was inserted into the default partition.
        matches!(self.code(), Some("40001" | "40P01" | "55P03" | "23514"))
    }

    /// Whether the connection, or its server, can no longer be used.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Postgres(error) => match error.code() {
                Some(code) => breaks_connection(code.code()),
                // The connection was closed, or the response was invalid.
                None => true,
            },
        }
    }

    /// Whether the error proves a pooler in transaction mode: a prepared statement is missing, or another client's is present.
    pub(super) fn proves_pooler(&self) -> bool {
        self.code().is_some_and(proves_pooler)
    }

    /// The server's error message.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.as_db_error().map(DbError::message),
            Self::Store(_) => None,
        }
    }

    /// The server's SQLSTATE.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.code().map(SqlState::code),
            Self::Store(_) => None,
        }
    }
}

fn breaks_connection(code: &str) -> bool {
    // 0A000: a migration invalidated a prepared statement.
    matches!(code, "25006" | "57P01" | "57P02" | "57P03" | "0A000" | "25P02")
        || code.starts_with("08")
        || proves_pooler(code)
}

/// An unknown or duplicate prepared statement. The driver never uses a name twice in a session.
fn proves_pooler(code: &str) -> bool {
    matches!(code, "26000" | "42P05")
}

/// Why a server that is read-only accepts no writes.
pub(super) const READ_ONLY: &str =
    "the database is read-only, as a standby is: connect to the primary, or set default_transaction_read_only to off";

/// The text contains neither the URL nor values: the server's message is used without its detail, which may quote a row.
pub(super) fn to_store_error(error: &Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let text = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        // The driver reports an unusable configuration, such as a missing password, only by this text.
        if text.starts_with("invalid configuration") {
            return StoreError::Corrupt(format!("{text}: check the database URL"));
        }
        return StoreError::Unavailable(text);
    };
    let (code, text) = (
        db.code().code(),
        format!("{} (SQLSTATE {})", db.message(), db.code().code()),
    );
    match code {
        "57014" => StoreError::Timeout,
        "28000" if text.contains("pg_hba.conf") => StoreError::Corrupt(format!(
            "{text}: allow the connection there, or change the database URL"
        )),
        "3D000" => StoreError::Corrupt(format!("{text}: create the database, or change the database URL")),
        "42501" => StoreError::Denied(format!("{text}: grant it to the user in the database URL")),
        "53100" => StoreError::NotWritable(format!("the disk of the database server is full: {text}")),
        "25006" => StoreError::NotWritable(format!("{READ_ONLY} (SQLSTATE {code})")),
        "42P01" => StoreError::Corrupt(format!("{text}: run `oauth2_server migrate`")),
        _ if proves_pooler(code) => backends::undeclared_pooler(),
        _ if breaks_connection(code) => StoreError::Unavailable(text),
        _ => match &code[..2] {
            "22" => {
                tracing::debug!(text, "the server rejected a value");
                StoreError::InvalidValue(
                    "a value cannot be stored: it has a character or a number that the store does not accept",
                )
            }
            "23" => {
                tracing::debug!(text, "the server rejected a row");
                StoreError::Conflict("the change conflicts with stored data".to_owned())
            }
            "28" => StoreError::Corrupt(format!("{text}: check the user and the password in the database URL")),
            "42" => StoreError::Corrupt(text),
            _ => StoreError::Unavailable(text),
        },
    }
}

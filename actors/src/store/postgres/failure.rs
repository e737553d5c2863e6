//! What Postgres says went wrong, in the store's terms.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::backends;
use crate::error::StoreError;

/// Why a verb failed.
#[derive(Debug)]
pub(super) enum Failure {
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
    /// Another transaction was in the way; the same verb may well succeed now.
    pub(super) fn is_collision(&self) -> bool {
        matches!(self, Self::Postgres(error) if collides(error))
    }

    /// The connection, or the server behind it, is of no more use.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Postgres(error) => match error.code() {
                Some(code) => breaks(code.code()),
                // Closed, cut, or an answer that makes no sense.
                None => true,
            },
        }
    }

    /// A prepared statement is missing, or somebody else's is there: the session is not this connection's alone.
    pub(super) fn shows_a_pooler(&self) -> bool {
        self.code().is_some_and(pooled)
    }

    /// The server's own sentence.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.as_db_error().map(DbError::message),
            Self::Store(_) => None,
        }
    }

    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.code().map(SqlState::code),
            Self::Store(_) => None,
        }
    }
}

pub(super) fn collides(error: &Error) -> bool {
    // 23514: a row was on its way into the default partition when a partition of its own was attached.
    matches!(
        error.code().map(SqlState::code),
        Some("40001" | "40P01" | "55P03" | "23514")
    )
}

fn breaks(code: &str) -> bool {
    // 0A000: a prepared statement that a migration made useless.
    matches!(code, "25006" | "57P01" | "57P02" | "57P03" | "0A000" | "25P02") || code.starts_with("08") || pooled(code)
}

/// No such prepared statement, or one of its name already. The driver never gives a name twice in a session.
fn pooled(code: &str) -> bool {
    matches!(code, "26000" | "42P05")
}

/// The text names neither the URL nor values: the server's message without its detail, which may quote a row.
pub(super) fn to_store_error(error: &Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let text = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        // The driver tells what is wrong with its set-up, such as a password that is wanted and missing, by these words only.
        if text.starts_with("invalid configuration") {
            return StoreError::Corrupt(format!("{text}: see to the database URL"));
        }
        return StoreError::Unavailable(text);
    };
    let (code, text) = (
        db.code().code(),
        format!("{} (SQLSTATE {})", db.message(), db.code().code()),
    );
    match code {
        "57014" => StoreError::Timeout,
        "3D000" => StoreError::Corrupt(format!("{text}: create it, or name another one in the database URL")),
        "42501" => StoreError::Corrupt(text),
        "42P01" => StoreError::Corrupt(format!("{text}: run `oauth2_server migrate`")),
        _ if pooled(code) => StoreError::Corrupt(backends::pooled()),
        _ if breaks(code) => StoreError::Unavailable(text),
        _ => match &code[..2] {
            "22" | "23" => StoreError::Conflict(text),
            "28" => StoreError::Corrupt(format!("{text}: see to user and password in the database URL")),
            "42" => StoreError::Corrupt(text),
            _ => StoreError::Unavailable(text),
        },
    }
}

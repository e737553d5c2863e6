//! Why the program ends without having done what it was asked, and the exit code that says so.

use oauth2_actors::error::StoreError;

use crate::config::ConfigErrors;
use crate::config::embedded::SecretError;
use crate::oauth::registration::Invalid;
use crate::tokens::secret::NoRandomness;

/// What ended the program. Each line of the text is one sentence for stderr.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Usage or configuration, "no such client" and conflicts included: asking the same again cannot help. Exit 2.
    #[error("{0}")]
    Refused(String),
    /// The store, a port, a file: the same may work once that is mended. Exit 3.
    #[error("{0}")]
    Environment(String),
    /// The server gave up on itself: an actor died too often. Whoever runs the process should start it again. Exit 70.
    #[error("{0}")]
    GaveUp(String),
}

impl Failure {
    /// Something around the server is in the way.
    pub fn environment(error: impl std::fmt::Display) -> Self {
        Self::Environment(error.to_string())
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 2,
            Self::Environment(_) => 3,
            Self::GaveUp(_) => 70,
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Refused(errors.to_string())
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Refused(invalid.to_string())
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::Environment(error.to_string())
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Refused(text) => Self::Refused(text),
            SecretError::Io(text) => Self::Environment(text),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(text) => Self::Refused(text),
            other => Self::Environment(other.to_string()),
        }
    }
}

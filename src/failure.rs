//! Why the program ends without success, and the exit code that says so.

use oauth2_store::StoreError;

use crate::config::ConfigErrors;
use crate::config::embedded::SecretError;
use crate::service::error::{InvalidMetadata, ServiceError};
use crate::tokens::secret::NoRandomness;

/// What ended the program. Each line of the text is one sentence for stderr.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A check failed. Exit code 1.
    #[error("{0}")]
    Found(String),
    /// Usage, configuration, "no such client", a conflict: a retry of the same command fails again. Exit code 2.
    #[error("{0}")]
    Invalid(String),
    /// The store, a port, a file: a retry may succeed once that is repaired. Exit code 3.
    #[error("{0}")]
    Environment(String),
    /// The server stopped itself: an actor exceeded its restart limit. An orchestrator should start it again. Exit code 70.
    #[error("{0}")]
    GaveUp(String),
}

impl Failure {
    /// Something outside the program prevents success.
    pub fn environment(error: impl std::fmt::Display) -> Self {
        Self::Environment(error.to_string())
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Found(_) => 1,
            Self::Invalid(_) => 2,
            Self::Environment(_) => 3,
            Self::GaveUp(_) => 70,
        }
    }

    /// The same failure with another text.
    #[must_use]
    pub fn with_text(self, text: String) -> Self {
        match self {
            Self::Found(_) => Self::Found(text),
            Self::Invalid(_) => Self::Invalid(text),
            Self::Environment(_) => Self::Environment(text),
            Self::GaveUp(_) => Self::GaveUp(text),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Invalid(errors.to_string())
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        use ServiceError as E;
        match error {
            E::OAuth(_)
            | E::InvalidToken
            | E::InsufficientScope
            | E::InvalidMetadata(_)
            | E::InvalidParameter { .. }
            | E::InvalidRequest(_)
            | E::NotFound(_)
            | E::Conflict(_)
            | E::PreconditionFailed(_)
            | E::LimitExceeded(_)
            | E::Key(_) => Self::Invalid(error.to_string()),
            E::Store(_)
            | E::Ask(_)
            | E::Stale
            | E::FallbackUnavailable
            | E::NoSigningKey(_)
            | E::File(_)
            | E::QuotaUnknown
            | E::Id(_)
            | E::Randomness(_)
            | E::Internal(_) => Self::Environment(error.to_string()),
        }
    }
}

impl From<InvalidMetadata> for Failure {
    fn from(error: InvalidMetadata) -> Self {
        ServiceError::from(error).into()
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        ServiceError::from(error).into()
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Invalid(text) => Self::Invalid(text),
            SecretError::Io(text) => Self::Environment(text),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

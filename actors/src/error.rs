//! Why an answer could not be had: from the store, or from an actor's mailbox.

use thiserror::Error;

/// A failure of the store itself. "Not there" is never an error: verbs answer `Ok(None)`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store cannot be reached or refuses work for now; the same call may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store did not answer in the time allowed. The effect is unknown: it may have happened.
    #[error("the store did not answer in time")]
    Timeout,
    /// The change collides with what is stored (a name that is taken, a row that changed meanwhile).
    #[error("{0}")]
    Conflict(String),
    /// What is stored, or the store's own set-up, makes no sense: asking again cannot help.
    #[error("the store is unusable: {0}")]
    Corrupt(String),
}

/// Why an actor did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AskError {
    /// As many messages as the mailbox allows are queued or in flight.
    #[error("the mailbox is full")]
    Full,
    /// The answer did not come before the message's deadline.
    #[error("no answer before the deadline")]
    Deadline,
    /// The actor died with the message, or is being replaced.
    #[error("the actor crashed")]
    Crashed,
    /// The mailbox takes no more messages: the process is stopping.
    #[error("the actor has stopped")]
    Stopped,
}

/// Either kind of failure, as request handlers meet them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// The actor did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The actor answered that the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

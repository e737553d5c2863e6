//! Errors of asking an actor: no reply, or a reply that the store failed.

use oauth2_store::StoreError;
use thiserror::Error;

/// Why an actor did not reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AskError {
    /// The mailbox holds as many messages, queued or in flight, as its capacity allows.
    #[error("the mailbox is full")]
    Full,
    /// No reply came before the message's deadline.
    #[error("no reply before the deadline")]
    Deadline,
    /// The actor died with the message, or is being restarted.
    #[error("the actor crashed")]
    Crashed,
    /// The mailbox takes no more messages: the process is stopping.
    #[error("the actor has stopped")]
    Stopped,
}

/// Either error, as request handlers get it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GatewayError {
    /// The actor did not reply.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The actor replied that the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

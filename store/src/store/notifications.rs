//! Notifications between the nodes of a database. An embedded store has one node.

use super::Store;
use crate::error::{Result, StoreError};
use crate::postgres::Notifications;

const EMBEDDED: &str = "an embedded store has no other nodes";

impl Store {
    /// Whether nodes can be notified through this store.
    pub fn can_listen(&self) -> bool {
        match self {
            Self::Postgres(store) => store.can_listen(),
            Self::Sqlite(_) => false,
        }
    }

    /// Notifies a channel of a payload of less than 8000 bytes.
    pub async fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        match self {
            Self::Postgres(store) => store.notify(channel, payload).await,
            Self::Sqlite(_) => Err(StoreError::Unavailable(EMBEDDED.to_owned())),
        }
    }

    /// Listens to a channel, on a connection outside the pool.
    pub async fn listen(&self, channel: &'static str) -> Result<Notifications> {
        match self {
            Self::Postgres(store) => store.listen(channel).await,
            Self::Sqlite(_) => Err(StoreError::Unavailable(EMBEDDED.to_owned())),
        }
    }
}

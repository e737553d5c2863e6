//! What the database server offers to all of its clients.

use super::Store;
use crate::error::Result;
use crate::model::Capacity;

impl Store {
    /// The connections of the server, and its standbys; `None` for SQLite.
    pub async fn capacity(&self) -> Result<Option<Capacity>> {
        match self {
            Self::Postgres(store) => store.capacity().await.map(Some),
            Self::Sqlite(_) => Ok(None),
        }
    }
}

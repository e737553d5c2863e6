//! How services commit entries to the ledger.
//!
//! A server commits through the token store actors, which commit whatever is queued as one group. The command line has a writer
//! of its own and commits a batch at a time.

use std::time::Instant;

use oauth2_actors::runtime::mailbox::Pending;
use oauth2_actors::token_store::workers::Handle;
use oauth2_actors::token_store::{self, CommitFlag};
use oauth2_store::model::LedgerEntry;
use oauth2_store::{LedgerWriter, StoreError};
use tokio::sync::Mutex;

use super::error::Result;

/// After this many messages other requests of the thread get a turn.
const YIELD_EVERY: usize = 8;

/// A way into the ledger.
#[derive(Debug)]
pub enum LedgerAccess {
    /// Group commit by a token store actor.
    GroupCommit(GroupCommit),
    /// Batches of one writer.
    Batch(Box<Mutex<LedgerWriter>>),
}

impl LedgerAccess {
    /// Batches of a writer.
    pub fn batch(writer: LedgerWriter) -> Self {
        Self::Batch(Box::new(Mutex::new(writer)))
    }

    /// Commits all entries; answers after the commit. After an error some of them may be committed.
    pub async fn commit_all(&self, entries: Vec<LedgerEntry>, deadline: Instant) -> Result<()> {
        match self {
            Self::Batch(writer) => Ok(writer.lock().await.commit(&entries).await?),
            Self::GroupCommit(token_store) => {
                let mut commits = Vec::with_capacity(entries.len());
                for (index, entry) in entries.into_iter().enumerate() {
                    if index % YIELD_EVERY == YIELD_EVERY - 1 {
                        tokio::task::yield_now().await;
                    }
                    commits.push(token_store.commit(entry, deadline)?);
                }
                for commit in commits {
                    commit.done().await?;
                }
                Ok(())
            }
        }
    }
}

/// The token store actor that commits for one worker.
#[derive(Debug, Clone)]
pub struct GroupCommit(pub Handle);

impl GroupCommit {
    /// Queues an entry. Fails at once when the actor takes no more.
    pub fn commit(&self, entry: LedgerEntry, deadline: Instant) -> Result<Commit> {
        Ok(Commit(self.0.mailbox.ask(token_store::Commit(entry), deadline)?))
    }

    /// Whether a commit is in flight.
    pub fn committing(&self) -> &CommitFlag {
        &self.0.committing
    }
}

/// The commit of one entry, in flight.
#[derive(Debug)]
pub struct Commit(Pending<std::result::Result<(), StoreError>>);

impl Commit {
    /// Waits for the commit.
    pub async fn done(self) -> Result<()> {
        match self.0.await? {
            // A row that collides is a defect of the store or of this server, never the client's.
            Err(error @ (StoreError::Conflict(_) | StoreError::InvalidValue(_))) => {
                Err(StoreError::Corrupt(error.to_string()).into())
            }
            outcome => Ok(outcome?),
        }
    }
}

//! A secret that is to be verified.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::watch;

use crate::protocol::client_auth::foreign_hash::ForeignHash;

/// A verification.
pub(super) struct Job {
    pub(super) key: [u8; 32],
    pub(super) client_id: Arc<str>,
    pub(super) hash: ForeignHash,
    pub(super) presented: String,
    pub(super) outcome: watch::Sender<Option<bool>>,
}

// It holds a secret.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Job {
    /// The outcome. A panic is none: it costs the callers an answer, not the pool a thread.
    pub(super) fn verify(&self) -> Option<bool> {
        let verify = || self.hash.matches(&self.presented);
        catch_unwind(AssertUnwindSafe(verify)).ok()
    }
}

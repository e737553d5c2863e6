//! Reports that reads do not go to the replica: once when that begins and once when it ends.

use std::time::{Duration, Instant};

use oauth2_store::{Fallback, ReplicaState, ReplicaStatus};

/// A replica that is behind or slow for less is not reported: that is what the primary answers for.
const REPORTED_AFTER: Duration = Duration::from_secs(5);

/// What was reported last.
#[derive(Debug, Default)]
pub(super) struct ReplicaWatch {
    unused_since: Option<Instant>,
    is_reported: bool,
}

impl ReplicaWatch {
    /// Reports what changed with a check.
    pub(super) fn report(&mut self, status: &ReplicaStatus) {
        match &status.state {
            ReplicaState::InUse => {
                self.unused_since = None;
                if std::mem::take(&mut self.is_reported) {
                    tracing::info!("reads go to the replica again");
                }
            }
            ReplicaState::Unused(reason, why) => {
                let since = *self.unused_since.get_or_insert_with(Instant::now);
                let is_passing = matches!(reason, Fallback::Behind | Fallback::Slow);
                if !self.is_reported && (!is_passing || since.elapsed() >= REPORTED_AFTER) {
                    self.is_reported = true;
                    tracing::warn!(
                        reason = reason.as_str(),
                        why,
                        "the replica at OAUTH2_DATABASE_READ_URL is not read from; the primary answers instead"
                    );
                }
            }
        }
    }
}

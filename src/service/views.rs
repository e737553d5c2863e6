//! The published views that a response is derived from, and whether they are fresh enough for one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::directory::Directory;
use oauth2_actors::error::AskError;
use oauth2_actors::revocation_cache::PublishedRevocations;
use oauth2_store::ServerChange;

use super::error::{Result, ServiceError};

/// The clients and the revocations of this node.
#[derive(Debug, Clone)]
pub struct Views {
    /// Clients.
    pub directory: Arc<Directory>,
    /// Revoked tokens and cut-offs.
    pub revocations: PublishedRevocations,
    /// How long ago the store may have confirmed them. Only a process that reads them itself before each use may exceed
    /// [`STALENESS_BUDGET`](oauth2_actors::freshness::STALENESS_BUDGET).
    pub staleness_budget: Duration,
    /// Views that were read from an earlier host are not used.
    pub server_change: ServerChange,
}

impl Views {
    /// Fails after the request's deadline, and when the store has not confirmed clients or revocations within the staleness
    /// budget. Ask it last: a process that was paused must not answer from before the pause.
    pub fn fresh(&self, deadline: Instant) -> Result<()> {
        let now = Instant::now();
        if now > deadline {
            return Err(AskError::Deadline.into());
        }
        if self.are_within(self.staleness_budget, now) {
            return Ok(());
        }
        Err(ServiceError::Stale)
    }

    /// Whether the store's present server has confirmed clients and revocations within a time.
    pub fn are_within(&self, budget: Duration, now: Instant) -> bool {
        let budget = self.server_change.age_at(now).map_or(budget, |age| age.min(budget));
        self.directory.freshness().is_within_at(budget, now)
            && self.revocations.load().freshness().is_within_at(budget, now)
    }
}

#[cfg(test)]
mod tests {
    use oauth2_actors::freshness::STALENESS_BUDGET;

    use super::*;

    #[test]
    fn a_response_needs_fresh_views_and_time_left() {
        let views = Views {
            directory: Arc::new(Directory::new(Box::new(|_| ()))),
            revocations: PublishedRevocations::default(),
            staleness_budget: STALENESS_BUDGET,
            server_change: ServerChange::default(),
        };
        let (past, soon) = (Instant::now(), Instant::now() + Duration::from_mins(1));
        let confirm_clients = || views.directory.freshness().stamp(Instant::now());
        let confirm_revocations = || views.revocations.load().freshness().stamp(Instant::now());
        confirm_clients();
        assert_eq!(views.fresh(soon), Err(ServiceError::Stale));
        confirm_revocations();
        assert_eq!(views.fresh(soon), Ok(()));
        assert_eq!(views.fresh(past), Err(AskError::Deadline.into()));
        // Both are from the server before.
        views.server_change.record();
        assert_eq!(views.fresh(soon), Err(ServiceError::Stale));
        confirm_clients();
        assert_eq!(views.fresh(soon), Err(ServiceError::Stale));
        confirm_revocations();
        assert_eq!(views.fresh(soon), Ok(()));
    }
}

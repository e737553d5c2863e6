//! The published views that a response is derived from, and whether they are fresh enough for one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::directory::Directory;
use oauth2_actors::error::AskError;
use oauth2_actors::freshness::Freshness;
use oauth2_actors::revocation_cache::PublishedRevocations;

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
}

impl Views {
    /// Fails after the request's deadline, and when the store has not confirmed clients or revocations within the staleness
    /// budget. Ask it last: a process that was paused must not answer from before the pause.
    pub fn fresh(&self, deadline: Instant) -> Result<()> {
        let revocations = self.revocations.load();
        let views = [self.directory.freshness(), revocations.freshness()];
        check(views, self.staleness_budget, deadline)
    }
}

fn check(views: [&Freshness; 2], staleness_budget: Duration, deadline: Instant) -> Result<()> {
    let now = Instant::now();
    if now > deadline {
        return Err(AskError::Deadline.into());
    }
    if views.iter().all(|view| view.is_within_at(staleness_budget, now)) {
        return Ok(());
    }
    Err(ServiceError::Stale)
}

#[cfg(test)]
mod tests {
    use oauth2_actors::freshness::STALENESS_BUDGET;

    use super::*;

    #[test]
    fn a_response_needs_fresh_views_and_time_left() {
        let (fresh, never, now) = (Freshness::default(), Freshness::default(), Instant::now());
        fresh.stamp(now);
        let soon = now + Duration::from_mins(1);
        assert_eq!(check([&fresh, &fresh], STALENESS_BUDGET, soon), Ok(()));
        for stale in [[&fresh, &never], [&never, &fresh]] {
            assert_eq!(check(stale, STALENESS_BUDGET, soon), Err(ServiceError::Stale));
        }
        assert_eq!(
            check([&fresh, &fresh], STALENESS_BUDGET, now),
            Err(AskError::Deadline.into())
        );
    }
}

//! Rate limits of authenticated clients.
//!
//! Only requests that proved who they come from spend from a client's bucket, so nobody else can empty it. A client without a
//! rate limit costs one branch.

use std::num::NonZeroU32;
use std::sync::Arc;

use oauth2_actors::metrics::Instruments;
use oauth2_actors::runtime::spans;
use oauth2_store::model::{Client, Decision, Endpoint, Mode, RateLimits, Window};

use super::buckets::Buckets;
use super::error::{Limit, LimitExceeded, Result, ServiceError};
use super::limit_status::LimitStatus;

/// Spends from the buckets of clients.
#[derive(Debug)]
pub struct RateControl {
    /// The buckets.
    pub buckets: Buckets,
    /// Rate limits of clients that have none of their own.
    pub defaults: RateLimits,
    /// Whether those clients' limits are enforced.
    pub mode: Mode,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

impl RateControl {
    /// Spends `cost` from the client's bucket at an endpoint. Answers the state of that limit, if there is one.
    pub async fn spend(&self, client: &Client, endpoint: Endpoint, cost: u32) -> Result<Vec<LimitStatus>> {
        let policy = client.policy.as_deref();
        let own = policy.and_then(|policy| policy.rate_limits.at(endpoint));
        let (Some(rate), Some(cost)) = (own.or(self.defaults.at(endpoint)), NonZeroU32::new(cost)) else {
            return Ok(Vec::new());
        };
        let mut span = spans::child("check rate limit");
        let spent = self.buckets.spend(&client.client_id, endpoint, rate, cost).await;
        let (limit, remaining) = (u64::from(rate.burst().get()), u64::from(spent.remaining));
        let status = LimitStatus {
            name: endpoint.as_str(),
            limit,
            window: rate.refill_seconds(),
            remaining,
            reset: ((limit - remaining.min(limit)) * u64::from(rate.per.seconds()))
                .div_ceil(u64::from(rate.count.get())),
        };
        let mode = policy.and_then(|policy| policy.rate_limit_mode).unwrap_or(self.mode);
        let decision = match (spent.wait, mode) {
            (None, _) => Decision::Allowed,
            (Some(_), Mode::Observe) => Decision::Observed,
            (Some(_), Mode::Enforce) => Decision::Limited,
        };
        span.set("oauth2.decision", decision.as_str());
        self.instruments.rate_limit(endpoint, decision);
        match spent.wait.filter(|_| decision == Decision::Limited) {
            None => Ok(with_room_for_quotas(status)),
            Some(retry_after) => Err(ServiceError::LimitExceeded(Box::new(LimitExceeded {
                limit: Limit::Rate,
                retry_after,
                status: vec![status],
            }))),
        }
    }
}

fn with_room_for_quotas(status: LimitStatus) -> Vec<LimitStatus> {
    let mut all = Vec::with_capacity(1 + Window::ALL.len());
    all.push(status);
    all
}

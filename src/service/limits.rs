//! Rate limits of authenticated clients and their groups.
//!
//! Only requests that proved who they come from spend from a client's bucket, so nobody else can empty it. A client without a
//! rate limit costs one branch.

use std::num::NonZeroU32;
use std::sync::Arc;

use oauth2_actors::directory::Directory;
use oauth2_actors::metrics::Instruments;
use oauth2_actors::runtime::spans;
use oauth2_store::model::{Client, Decision, Endpoint, Mode, Rate, RateLimits, Window};

use super::buckets::Buckets;
use super::error::{Limit, LimitExceeded, Result, ServiceError};
use super::limit_status::{self, LimitStatus};

/// Spends from the buckets of clients.
#[derive(Debug)]
pub struct RateControl {
    /// The buckets.
    pub buckets: Buckets,
    /// Rate limits of clients that have none of their own.
    pub defaults: RateLimits,
    /// Whether those clients' limits are enforced.
    pub mode: Mode,
    /// The groups of clients.
    pub directory: Arc<Directory>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// A rate limit and the bucket that it is spent from.
struct Bucket<'a> {
    /// The client's id, or the key of its group.
    key: &'a str,
    rate: Rate,
    mode: Mode,
    limit: Limit,
    name: &'static str,
}

impl RateControl {
    /// Spends `cost` from the client's bucket at an endpoint, then from that of its group. Answers the state of those limits that there are.
    pub async fn spend(&self, client: &Client, endpoint: Endpoint, cost: u32) -> Result<Vec<LimitStatus>> {
        let Some(cost) = NonZeroU32::new(cost) else {
            return Ok(Vec::new());
        };
        let mut status = Vec::new();
        let policy = client.policy.as_deref();
        let own = policy.and_then(|policy| policy.rate_limits.at(endpoint));
        if let Some(rate) = own.or(self.defaults.at(endpoint)) {
            let bucket = Bucket {
                key: &client.client_id,
                rate,
                mode: policy.and_then(|policy| policy.rate_limit_mode).unwrap_or(self.mode),
                limit: Limit::Rate,
                name: endpoint.as_str(),
            };
            status = with_room_for_quotas(self.spend_from(&bucket, endpoint, cost).await?);
        }
        let group = self.directory.group_of(client);
        if let Some(group) = group
            && let Some(rate) = group.limits.rate_limits.at(endpoint)
        {
            let bucket = Bucket {
                key: &group.key,
                rate,
                mode: group.limits.rate_limit_mode.unwrap_or(self.mode),
                limit: Limit::GroupRate,
                name: limit_status::of_group(endpoint),
            };
            status.push(self.spend_from(&bucket, endpoint, cost).await?);
        }
        Ok(status)
    }

    async fn spend_from(&self, bucket: &Bucket<'_>, endpoint: Endpoint, cost: NonZeroU32) -> Result<LimitStatus> {
        let rate = bucket.rate;
        let mut span = spans::child("check rate limit");
        let spent = self.buckets.spend(bucket.key, endpoint, rate, cost).await;
        let (limit, remaining) = (u64::from(rate.burst().get()), u64::from(spent.remaining));
        let status = LimitStatus {
            name: bucket.name,
            limit,
            window: rate.refill_seconds(),
            remaining,
            reset: ((limit - remaining.min(limit)) * u64::from(rate.per.seconds()))
                .div_ceil(u64::from(rate.count.get())),
        };
        let decision = match (spent.wait, bucket.mode) {
            (None, _) => Decision::Allowed,
            (Some(_), Mode::Observe) => Decision::Observed,
            (Some(_), Mode::Enforce) => Decision::Limited,
        };
        span.set("oauth2.decision", decision.as_str());
        self.instruments.rate_limit(endpoint, decision);
        match spent.wait.filter(|_| decision == Decision::Limited) {
            None => Ok(status),
            Some(retry_after) => Err(ServiceError::LimitExceeded(Box::new(LimitExceeded {
                limit: bucket.limit,
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

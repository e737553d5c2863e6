//! Spends from the buckets of rate limits, on this node or by leases that it asks for.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use oauth2_actors::rate_limiter::{Outcome, PublishedLimits, RateLimiter, Refill, Spent};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_store::model::{Endpoint, Rate};

/// Time for the way to the rate limiter and back.
const MAILBOX: Duration = Duration::from_millis(5);

/// The buckets. Clones share them.
#[derive(Debug, Clone)]
pub struct Buckets {
    /// The limits that the rate limiter published.
    pub published: PublishedLimits,
    /// Asks for leases of the buckets that all nodes share.
    pub rate_limiter: Mailbox<RateLimiter>,
    /// Limit of a response of Redis; zero without Redis, which is not asked.
    pub redis_timeout: Duration,
}

impl Buckets {
    /// When a request stops waiting for a lease: after two responses of Redis, since it may arrive while another request is answered.
    fn deadline(&self) -> Instant {
        Instant::now() + 2 * self.redis_timeout + MAILBOX
    }

    /// Takes `cost` from a client's bucket at an endpoint. If all nodes share it and Redis does not respond, from this node's share.
    pub async fn spend(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Spent {
        let bucket = match self.published.load().spend(client_id, endpoint, rate, cost) {
            Outcome::Spent(spent) => return spent,
            Outcome::Low(spent, bucket) => {
                if let Ok(asked) = self.rate_limiter.ask(Refill(bucket), self.deadline()) {
                    tokio::task::spawn_local(asked);
                }
                return spent;
            }
            Outcome::Ask(bucket) => bucket,
        };
        let spent = match self.rate_limiter.ask(Refill(bucket), self.deadline()) {
            Ok(asked) => asked.await.ok().flatten(),
            Err(_) => None,
        };
        spent.unwrap_or_else(|| self.published.load().spend_share(client_id, endpoint, rate, cost))
    }

    /// Counts a failed authentication of a client. `Some` if it exceeds the limit, with the wait until one more would not.
    pub fn record_failure(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
        self.published.load().record_failure(client_id, address)
    }

    /// Whether one more failed authentication of a client would exceed the limit. Counts nothing.
    pub fn are_failures_exhausted(&self, client_id: &str, address: IpAddr) -> bool {
        self.published.load().are_failures_exhausted(client_id, address)
    }

    /// Counts a slow verification in vain that an address caused, for any client.
    pub fn record_slow_work(&self, address: IpAddr) {
        self.published.load().record_slow_work(address);
    }

    /// Whether one more slow verification in vain from an address would exceed the limit of failures. Counts nothing.
    pub fn is_slow_work_exhausted(&self, address: IpAddr) -> bool {
        self.published.load().is_slow_work_exhausted(address)
    }

    /// As [`Self::record_failure`], of a caller of the admin API.
    pub fn record_operator_failure(&self, client_id: Option<&str>, address: IpAddr) -> Option<Duration> {
        self.published.load().record_operator_failure(client_id, address)
    }
}

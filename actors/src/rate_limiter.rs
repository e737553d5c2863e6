//! The rate limiter.
//!
//! - Owns: a bucket per client and endpoint with a rate limit, and a bucket of failed authentications per client and address.
//! - Source of truth: itself. Its counts need not outlive the process.
//! - Published: [`Limits`], from which handlers spend without a mailbox.
//! - On restart: the buckets are full again.
//! - When full: clients with a rate limit are bounded by registration. The keys of failures are chosen by strangers: their table
//!   has a fixed size, and evicts the bucket that is full again soonest.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter as Governor};

use oauth2_store::model::{Endpoint, Period, Rate};

mod bucket_table;

use bucket_table::{BucketTable, SharedTable};

/// Interval at which full buckets are dropped.
const SWEEP: Duration = Duration::from_secs(1);

/// How failed authentications are counted.
#[derive(Debug, Clone, Copy)]
pub struct FailureOptions {
    /// Failures that a client may have per address.
    pub rate: Rate,
    /// The most pairs of client and address that are counted; 16 bytes each.
    pub max_keys: usize,
}

/// The buckets of all clients with the same rate.
type Clients = Governor<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// The buckets.
#[derive(Debug)]
pub struct Limits {
    failures: Governor<u64, SharedTable, DefaultClock>,
    table: Arc<BucketTable>,
    clients: DashMap<Rate, Arc<Clients>>,
    hasher: RandomState,
}

/// The outcome of spending from a client's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What is left in the bucket.
    pub remaining: u32,
    /// `None` if the cost was taken; otherwise how long until the bucket holds it.
    pub wait: Option<Duration>,
}

impl Limits {
    /// Full buckets.
    pub fn new(options: FailureOptions) -> Self {
        let table = Arc::new(BucketTable::new(options.max_keys));
        Self {
            failures: Governor::new(
                quota(options.rate),
                SharedTable(Arc::clone(&table)),
                DefaultClock::default(),
            ),
            table,
            clients: DashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Counts a failed authentication of `client_id`, which need not exist, from `address`. `Some` if it exceeds the rate, with
    /// the time until one more would not.
    pub fn record_failure(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
        let key = BucketTable::key(&self.hasher, (client_id, network(address)));
        let over = self.failures.check_key(&key).err()?;
        Some(over.wait_time_from(DefaultClock::default().now()))
    }

    /// Takes `cost` from the client's bucket at an endpoint, or nothing if the bucket holds less. The bucket of a new rate is
    /// full.
    pub fn spend(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Spent {
        let clients = self.clients.get(&rate).map(|clients| Arc::clone(&clients));
        let clients = clients.unwrap_or_else(|| self.with_rate(rate));
        let key = self.hasher.hash_one((client_id, endpoint));
        // A cost above the bucket's capacity takes the whole bucket: otherwise it could never be met.
        match clients.check_key_n(&key, cost.min(rate.burst())) {
            Ok(Ok(state)) => Spent {
                remaining: state.remaining_burst_capacity(),
                wait: None,
            },
            Ok(Err(over)) => Spent {
                remaining: 0,
                wait: Some(over.wait_time_from(clients.clock().now())),
            },
            // Not reached: the cost is within the capacity.
            Err(_) => Spent {
                remaining: 0,
                wait: Some(Duration::from_secs(1)),
            },
        }
    }

    /// As [`Self::record_failure`], of a caller of the admin API that is no operator. `client_id`: whose token it presented, if that is
    /// known. Its buckets are others than those of the token endpoint.
    pub fn record_operator_failure(&self, client_id: Option<&str>, address: IpAddr) -> Option<Duration> {
        let key = BucketTable::key(&self.hasher, ("admin", client_id, network(address)));
        let over = self.failures.check_key(&key).err()?;
        Some(over.wait_time_from(DefaultClock::default().now()))
    }

    fn with_rate(&self, rate: Rate) -> Arc<Clients> {
        let made = || Arc::new(Governor::dashmap(quota(rate)).with_middleware());
        Arc::clone(&self.clients.entry(rate).or_insert_with(made))
    }

    /// Buckets of failed authentications in the table.
    pub fn failure_buckets(&self) -> u64 {
        self.table.len()
    }

    /// Buckets of failed authentications that were evicted before they were full.
    pub fn failure_evictions(&self) -> u64 {
        self.table.evicted()
    }

    /// Buckets of clients with a rate limit that are not full.
    pub fn client_buckets(&self) -> usize {
        self.clients.iter().map(|clients| clients.len()).sum()
    }

    /// Drops buckets that are full.
    fn sweep(&self) {
        self.table.sweep();
        for clients in &self.clients {
            clients.retain_recent();
        }
        // A second reference: a handler spends from it right now.
        self.clients
            .retain(|_, clients| !clients.is_empty() || Arc::strong_count(clients) > 1);
    }
}

fn quota(rate: Rate) -> Quota {
    let quota = match rate.per {
        Period::Second => Quota::per_second(rate.count),
        Period::Minute => Quota::per_minute(rate.count),
        Period::Hour => Quota::per_hour(rate.count),
    };
    quota.allow_burst(rate.burst())
}

/// The network of one subscriber: an IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The published view: handlers load it for each request.
pub type PublishedLimits = Arc<ArcSwap<Limits>>;

/// The actor.
#[derive(Debug)]
pub struct RateLimiter {
    published: PublishedLimits,
}

impl RateLimiter {
    /// An actor with full buckets, published at once.
    pub fn new(published: PublishedLimits, options: FailureOptions) -> Self {
        published.store(Arc::new(Limits::new(options)));
        Self { published }
    }
}

impl Actor for RateLimiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SWEEP, |actor, _| actor.published.load().sweep());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn limits() -> Limits {
        Limits::new(FailureOptions {
            rate: "100/m".parse().unwrap(),
            max_keys: 1024,
        })
    }

    #[test]
    fn failures_up_to_the_rate_are_allowed_and_the_next_exceeds_it() {
        let (limits, address) = (limits(), IpAddr::from([192, 0, 2, 1]));
        let within = (0..100)
            .filter(|_| limits.record_failure("ci", address).is_none())
            .count();
        assert_eq!(within, 100);
        let wait = limits.record_failure("ci", address).unwrap();
        assert!(wait <= Duration::from_millis(600), "{wait:?}");
        assert_eq!(limits.record_failure("other", address), None);
        assert_eq!(limits.record_failure("ci", IpAddr::from([192, 0, 2, 2])), None);
    }

    #[test]
    fn an_ipv6_subscriber_has_one_bucket() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_client_has_a_bucket_per_endpoint_and_rate() {
        let (limits, one) = (limits(), NonZeroU32::MIN);
        let spend = |id, endpoint, rate: &str| limits.spend(id, endpoint, rate.parse().unwrap(), one).wait.is_none();
        for _ in 0..2 {
            assert!(spend("ci", Endpoint::Token, "1/h:2"));
        }
        assert!(!spend("ci", Endpoint::Token, "1/h:2"));
        assert!(spend("ci", Endpoint::Introspection, "1/h:2") && spend("other", Endpoint::Token, "1/h:2"));
        assert!(spend("ci", Endpoint::Token, "2/h:2"), "a new rate has a full bucket");
        limits.sweep();
        assert!(
            !spend("ci", Endpoint::Token, "1/h:2"),
            "a sweep keeps buckets that are not full"
        );
    }

    #[test]
    fn a_cost_above_the_capacity_takes_the_whole_bucket() {
        let limits = limits();
        let rate = "10/h".parse().unwrap();
        let spend = |cost| limits.spend("ci", Endpoint::Introspection, rate, NonZeroU32::new(cost).unwrap());
        assert_eq!(
            spend(4),
            Spent {
                remaining: 6,
                wait: None
            }
        );
        assert!(spend(1000).wait.is_some(), "the bucket is not full");
        assert_eq!(
            spend(6),
            Spent {
                remaining: 0,
                wait: None
            }
        );
    }
}

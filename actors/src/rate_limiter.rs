//! The rate limiter.
//!
//! - Owns: a bucket for each client and endpoint that has a rate, and one of failed authentications for each client and
//!   address that failed.
//! - Source of truth: itself. What it counts need not outlive the process.
//! - Published: [`Limits`], spent from by handlers without a mailbox.
//! - On restart: the buckets are full again.
//! - When full: clients that have a rate are bounded by registration. Of failures, which strangers can invent, the table has
//!   a fixed size and gives up the bucket that is full soonest.

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

use crate::model::{Endpoint, Period, Rate};

mod cells;

use cells::{Cells, Shared};

/// How often full buckets are forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// How failed authentications are counted.
#[derive(Debug, Clone, Copy)]
pub struct FailureOptions {
    /// How many a client may have at one address.
    pub rate: Rate,
    /// Clients and addresses that are kept count of: 16 bytes each.
    pub most_keys: usize,
}

/// All clients that have the same rate.
type Clients = Governor<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// The buckets.
#[derive(Debug)]
pub struct Limits {
    failures: Governor<u64, Shared, DefaultClock>,
    cells: Arc<Cells>,
    clients: DashMap<Rate, Arc<Clients>>,
    hasher: RandomState,
}

/// What came of spending from a client's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What is left: so many requests more may come at once.
    pub remaining: u32,
    /// How long to wait, where there was not enough.
    pub wait: Option<Duration>,
}

impl Limits {
    /// Buckets that are all full.
    pub fn new(options: FailureOptions) -> Self {
        let cells = Arc::new(Cells::new(options.most_keys));
        Self {
            failures: Governor::new(quota(options.rate), Shared(Arc::clone(&cells)), DefaultClock::default()),
            cells,
            clients: DashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Counts a failed authentication of `client_id`, which need not exist, from `address`. Where that is one too many:
    /// how long it is until it would not be.
    pub fn failure(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
        let key = Cells::key(&self.hasher, (client_id, network(address)));
        let over = self.failures.check_key(&key).err()?;
        Some(over.wait_time_from(DefaultClock::default().now()))
    }

    /// Takes `cost` from the bucket that the client has at an endpoint, or nothing where that is more than there is. A rate
    /// that is new has a full bucket.
    pub fn spend(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Spent {
        let clients = self.clients.get(&rate).map(|clients| Arc::clone(&clients));
        let clients = clients.unwrap_or_else(|| self.having(rate));
        let key = self.hasher.hash_one((client_id, endpoint));
        // What costs more than the whole bucket takes the whole bucket: it could never be had else.
        match clients.check_key_n(&key, cost.min(rate.burst())) {
            Ok(Ok(state)) => Spent {
                remaining: state.remaining_burst_capacity(),
                wait: None,
            },
            Ok(Err(over)) => Spent {
                remaining: 0,
                wait: Some(over.wait_time_from(clients.clock().now())),
            },
            // Not reached: the cost is within the bucket.
            Err(_) => Spent {
                remaining: 0,
                wait: Some(Duration::from_secs(1)),
            },
        }
    }

    fn having(&self, rate: Rate) -> Arc<Clients> {
        let made = || Arc::new(Governor::dashmap(quota(rate)).with_middleware());
        Arc::clone(&self.clients.entry(rate).or_insert_with(made))
    }

    /// Buckets of failed authentications held.
    pub fn failing(&self) -> u64 {
        self.cells.len()
    }

    /// Buckets of failed authentications that were given up for others before they were full.
    pub fn evicted(&self) -> u64 {
        self.cells.evicted()
    }

    /// Buckets of clients that have a rate.
    pub fn limited(&self) -> usize {
        self.clients.iter().map(|clients| clients.len()).sum()
    }

    /// Forgets buckets that are full.
    fn sweep(&self) {
        self.cells.sweep();
        for clients in &self.clients {
            clients.retain_recent();
        }
        // One that somebody spends from just now counts for two.
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

/// One subscriber: an IPv4 address, or the /64 that an IPv6 address is in.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The view's place.
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
            most_keys: 1024,
        })
    }

    #[test]
    fn a_hundred_failures_are_within_and_the_next_is_over() {
        let (limits, address) = (limits(), IpAddr::from([192, 0, 2, 1]));
        let within = (0..100).filter(|_| limits.failure("ci", address).is_none()).count();
        assert_eq!(within, 100);
        let wait = limits.failure("ci", address).unwrap();
        assert!(wait <= Duration::from_millis(600), "{wait:?}");
        assert_eq!(limits.failure("other", address), None);
        assert_eq!(limits.failure("ci", IpAddr::from([192, 0, 2, 2])), None);
    }

    #[test]
    fn an_ipv6_subscriber_has_one_bucket() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_client_has_a_bucket_at_each_endpoint_and_for_each_rate() {
        let (limits, one) = (limits(), NonZeroU32::MIN);
        let spend = |id, endpoint, rate: &str| limits.spend(id, endpoint, rate.parse().unwrap(), one).wait.is_none();
        for _ in 0..2 {
            assert!(spend("ci", Endpoint::Token, "1/h:2"));
        }
        assert!(!spend("ci", Endpoint::Token, "1/h:2"));
        assert!(spend("ci", Endpoint::Introspection, "1/h:2") && spend("other", Endpoint::Token, "1/h:2"));
        assert!(spend("ci", Endpoint::Token, "2/h:2"), "a rate that is new");
        limits.sweep();
        assert!(!spend("ci", Endpoint::Token, "1/h:2"), "what is not full is kept");
    }

    #[test]
    fn what_costs_more_than_the_bucket_takes_the_bucket() {
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
        assert!(spend(1000).wait.is_some(), "not full any more");
        assert_eq!(
            spend(6),
            Spent {
                remaining: 0,
                wait: None
            }
        );
    }
}

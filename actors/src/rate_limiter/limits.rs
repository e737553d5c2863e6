//! The buckets that handlers spend from.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter as Governor};
use oauth2_store::model::{Endpoint, Period, Rate};

use super::bucket_table::{BucketTable, SharedTable};
use super::leases::{Bucket, CountNodes, Leases, Taken};
use super::spent::Spent;
use crate::network::network;

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
    failure_burst: NonZeroU32,
    /// The time in which a bucket of failures gains one.
    failure_interval: Duration,
    table: Arc<BucketTable>,
    clients: DashMap<Rate, Arc<Clients>>,
    hasher: RandomState,
    /// The number of nodes that share the limit of failed authentications; `None`: this node alone.
    nodes: Option<CountNodes>,
    leases: Option<Arc<Leases>>,
}

/// The outcome of spending without waiting.
#[derive(Debug)]
pub enum Outcome {
    /// It was decided.
    Spent(Spent),
    /// It was decided, and the next lease should be asked for by [`Refill`](super::Refill), which no one need wait for.
    Low(Spent, Bucket),
    /// All nodes share the bucket, and what this one leased of it is spent: ask by [`Refill`].
    Ask(Bucket),
}

impl Limits {
    /// Full buckets of this node alone.
    pub fn new(options: FailureOptions) -> Self {
        Self::shared(options, None, None)
    }

    /// Full buckets. `nodes`: the number of nodes; `leases`: this node's leases from the buckets in Redis.
    pub fn shared(options: FailureOptions, nodes: Option<CountNodes>, leases: Option<Arc<Leases>>) -> Self {
        let table = Arc::new(BucketTable::new(options.max_keys));
        Self {
            failures: Governor::new(
                quota(options.rate),
                SharedTable(Arc::clone(&table)),
                DefaultClock::default(),
            ),
            failure_burst: options.rate.burst(),
            failure_interval: quota(options.rate).replenish_interval(),
            table,
            clients: DashMap::new(),
            hasher: RandomState::new(),
            nodes,
            leases,
        }
    }

    /// Counts a failed authentication of `client_id`, which need not exist, from `address`. `Some` if it exceeds the rate, with
    /// the time until one more would not.
    pub fn record_failure(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
        self.failed(BucketTable::key(&self.hasher, (client_id, network(address))))
    }

    /// Whether one more failure of `client_id` from `address` would exceed the rate. Counts nothing.
    pub fn are_failures_exhausted(&self, client_id: &str, address: IpAddr) -> bool {
        self.is_exhausted(BucketTable::key(&self.hasher, (client_id, network(address))))
    }

    /// Counts a slow verification in vain that `address` caused, for whichever client. It has the rate of failures, and a bucket of its own.
    pub fn record_slow_work(&self, address: IpAddr) {
        _ = self.failed(BucketTable::key(&self.hasher, (SLOW_WORK, network(address))));
    }

    /// Whether one more slow verification in vain from `address` would exceed the rate. Counts nothing.
    pub fn is_slow_work_exhausted(&self, address: IpAddr) -> bool {
        self.is_exhausted(BucketTable::key(&self.hasher, (SLOW_WORK, network(address))))
    }

    fn is_exhausted(&self, key: u64) -> bool {
        let room = self.failure_burst.get() - self.failure_weight().get();
        let left = self.table.time_until_full(key);
        left.is_some_and(|left| left > self.failure_interval * room)
    }

    /// Counts a failure. Each node allows its share of the rate: a failure weighs as much as there are nodes.
    fn failed(&self, key: u64) -> Option<Duration> {
        match self.failures.check_key_n(&key, self.failure_weight()) {
            Ok(decision) => Some(decision.err()?.wait_time_from(DefaultClock::default().now())),
            // Not reached: the weight is within the capacity.
            Err(_) => None,
        }
    }

    fn failure_weight(&self) -> NonZeroU32 {
        let nodes = self.nodes.as_ref().map_or(NonZeroU32::MIN, CountNodes::get);
        nodes.min(self.failure_burst)
    }

    /// As [`Self::spend_here`]; where all nodes share the client's bucket, from what this one has leased of it.
    pub fn spend(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Outcome {
        match self
            .leases
            .as_ref()
            .map(|leases| leases.take(client_id, endpoint, rate, cost))
        {
            None => Outcome::Spent(self.spend_here(client_id, endpoint, rate, cost)),
            Some(Taken::Spent(spent)) => Outcome::Spent(spent),
            Some(Taken::Low(spent, bucket)) => Outcome::Low(spent, bucket),
            Some(Taken::Ask(bucket)) => Outcome::Ask(bucket),
            Some(Taken::Down) => Outcome::Spent(self.spend_share(client_id, endpoint, rate, cost)),
        }
    }

    /// Takes from this node's share of a rate, when Redis does not respond: the rate and its burst divided by the number of nodes, each at
    /// least one request.
    pub fn spend_share(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Spent {
        let nodes = self.leases.as_ref().map_or(NonZeroU32::MIN, |leases| {
            leases.count_fallback();
            leases.nodes()
        });
        let part = |of: NonZeroU32| NonZeroU32::new(of.get().div_ceil(nodes.get())).unwrap_or(NonZeroU32::MIN);
        let share = Rate {
            count: part(rate.count),
            per: rate.per,
            burst: Some(part(rate.burst())),
        };
        self.spend_here(client_id, endpoint, share, cost)
    }

    /// Takes `cost` from the client's bucket of this node at an endpoint, or nothing if the bucket holds less. The bucket of a new
    /// rate is full.
    fn spend_here(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Spent {
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
    /// known. Its buckets are not the buckets of the token endpoint.
    pub fn record_operator_failure(&self, client_id: Option<&str>, address: IpAddr) -> Option<Duration> {
        self.failed(BucketTable::key(&self.hasher, ("admin", client_id, network(address))))
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
    pub(super) fn sweep(&self) {
        if let Some(leases) = &self.leases {
            leases.sweep();
        }
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

/// Begins the keys of slow work. It occurs in no UTF-8 text, so no client id has such a key.
const SLOW_WORK: u8 = 0xfe;

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
            .filter(|_| !limits.are_failures_exhausted("ci", address) && limits.record_failure("ci", address).is_none())
            .count();
        assert_eq!(within, 100);
        assert!(limits.are_failures_exhausted("ci", address) && !limits.are_failures_exhausted("other", address));
        let wait = limits.record_failure("ci", address).unwrap();
        assert!(wait <= Duration::from_millis(600), "{wait:?}");
        assert_eq!(limits.record_failure("other", address), None);
        assert_eq!(limits.record_failure("ci", IpAddr::from([192, 0, 2, 2])), None);
    }

    #[test]
    fn slow_work_of_an_address_is_counted_for_all_clients() {
        let (limits, address) = (limits(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..100 {
            assert!(!limits.is_slow_work_exhausted(address));
            limits.record_slow_work(address);
        }
        assert!(limits.is_slow_work_exhausted(address));
        assert!(!limits.is_slow_work_exhausted(IpAddr::from([192, 0, 2, 2])));
        assert!(!limits.are_failures_exhausted("slow", address) && !limits.are_failures_exhausted("", address));
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
        let spend = |id, endpoint, rate: &str| {
            limits
                .spend_here(id, endpoint, rate.parse().unwrap(), one)
                .wait
                .is_none()
        };
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
        let spend = |cost| limits.spend_here("ci", Endpoint::Introspection, rate, NonZeroU32::new(cost).unwrap());
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

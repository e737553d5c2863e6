//! Leases of the buckets that all nodes share: a node takes a part of a bucket from Redis at once, and spends it without asking.
//!
//! Everything that is spent was taken from the one bucket before, so the limit holds for all nodes together. What a node has leased and
//! does not spend within [`VALID`] is lost to the client: at most a tenth of a second of its rate, or a tenth of its burst.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use oauth2_store::model::{Endpoint, Rate};

use super::spent::Spent;
use crate::issuer_key::IssuerKey;

/// How long a lease is valid.
const VALID: Duration = Duration::from_secs(1);

/// An empty bucket is asked again after this time at the latest.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A lease is what the rate gives in this part of a second, and this part of the burst at most.
const PART: u32 = 10;

/// Bytes of the MAC that names a bucket.
const NAME_BYTES: usize = 16;

/// Of leases of this size or more, the next one is asked for when half is spent, so that no request waits.
const ASKED_AHEAD: u32 = 16;

/// What names of buckets are computed for.
const PURPOSE: &[u8] = b"oauth2_server buckets 1";

/// The number of nodes that share a rate, this one included.
#[derive(Clone)]
pub struct CountNodes(Arc<dyn Fn() -> u32 + Send + Sync>);

impl CountNodes {
    /// The number that this function returns, at least 1.
    pub fn by(count: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }

    /// The number.
    pub fn get(&self) -> NonZeroU32 {
        NonZeroU32::new((self.0)()).unwrap_or(NonZeroU32::MIN)
    }
}

impl fmt::Debug for CountNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountNodes").field(&self.get()).finish()
    }
}

/// A bucket that is to be asked for more.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its number on this node.
    pub(super) key: u64,
    /// Its names in Redis, after the prefix: computable by the nodes of this issuer only. While the key encryption key is being replaced there
    /// are two.
    pub(super) names: Vec<String>,
    /// Its rate.
    pub(super) rate: Rate,
    /// What is needed, at most the burst.
    pub(super) cost: NonZeroU32,
    /// The size of a lease.
    pub(super) want: u32,
    /// Whether no request waits: all of the lease is kept.
    pub(super) is_ahead: bool,
    /// When it is full at the earliest, as this node knows: Redis may have lost it. Microseconds of Redis's clock.
    pub(super) full_at: u64,
}

/// The state of a bucket in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// Taken from it for this node; 0 if it holds less than was needed.
    pub(super) granted: u32,
    /// Requests that it still holds.
    pub(super) remaining: u32,
    /// Until it holds what was needed; zero if that was granted.
    pub(super) wait: Duration,
    /// When it is full, microseconds of Redis's clock.
    pub(super) full_at: u64,
    /// Until then.
    pub(super) refill: Duration,
}

/// An empty bucket.
#[derive(Debug, Clone, Copy)]
struct Empty {
    refilled_at: Instant,
    ask_at: Instant,
}

/// This node's share of a bucket.
#[derive(Debug, Clone, Copy)]
struct Lease {
    left: u32,
    /// When it came.
    size: u32,
    /// Whether the next one is asked for.
    is_asked: bool,
    valid_until: Instant,
    /// Requests that the bucket held when it was asked last.
    remaining: u32,
    /// It is empty: when it holds one request again, and until when it is not asked.
    empty: Option<Empty>,
    full_at: u64,
    /// The bucket is full then, and its entry can be dropped.
    forget_at: Instant,
}

/// The outcome of spending from a lease.
#[derive(Debug)]
pub(super) enum Taken {
    /// It was decided here.
    Spent(Spent),
    /// It was decided here, and the next lease should be asked for.
    Low(Spent, Bucket),
    /// The bucket must be asked.
    Ask(Bucket),
    /// Redis does not respond.
    Down,
}

/// The leases of this node.
pub struct Leases {
    held: DashMap<u64, Lease>,
    hasher: RandomState,
    names: Vec<hmac::Key>,
    nodes: CountNodes,
    /// Whether Redis does not respond: until it does, each node grants its share.
    is_down: AtomicBool,
    counts: Arc<LeaseCounts>,
}

/// Counts of all incarnations of the actor.
#[derive(Debug, Default)]
pub struct LeaseCounts {
    asked: AtomicU64,
    fell_back: AtomicU64,
}

impl LeaseCounts {
    /// Times that Redis was asked for a lease.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Requests that were decided by this node's share of the rate.
    pub fn fell_back(&self) -> u64 {
        self.fell_back.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Leases {
    /// No leases, before Redis was asked first.
    pub fn new(issuer: &IssuerKey, nodes: CountNodes, counts: Arc<LeaseCounts>) -> Self {
        Self {
            held: DashMap::new(),
            hasher: RandomState::new(),
            names: issuer.derive(PURPOSE),
            nodes,
            is_down: AtomicBool::new(true),
            counts,
        }
    }

    /// Nodes that share the rates, this one included.
    pub(super) fn nodes(&self) -> NonZeroU32 {
        self.nodes.get()
    }

    /// Whether Redis does not respond.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    pub(super) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Release);
    }

    pub(super) fn count_asked(&self) {
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_fallback(&self) {
        self.counts.fell_back.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes `cost` from the lease of a bucket, if it holds that.
    pub(super) fn take(&self, client_id: &str, endpoint: Endpoint, rate: Rate, cost: NonZeroU32) -> Taken {
        if self.is_down() {
            return Taken::Down;
        }
        // A cost above the bucket's capacity takes the whole bucket: otherwise it could never be met.
        let cost = cost.min(rate.burst());
        let key = self.hasher.hash_one((client_id, endpoint, rate));
        let now = Instant::now();
        let mut full_at = 0;
        if let Some(mut lease) = self.held.get_mut(&key) {
            let is_valid = lease.valid_until > now;
            if let Some(empty) = lease
                .empty
                .filter(|empty| empty.ask_at > now && !(is_valid && lease.left > 0))
            {
                return Taken::Spent(Spent {
                    remaining: 0,
                    wait: Some(empty.refilled_at - now),
                });
            }
            full_at = lease.full_at;
            if is_valid && lease.left >= cost.get() {
                lease.left -= cost.get();
                let spent = Spent {
                    remaining: lease.left + lease.remaining,
                    wait: None,
                };
                let is_low = lease.size >= ASKED_AHEAD && lease.left < lease.size / 2;
                if is_low && !std::mem::replace(&mut lease.is_asked, true) {
                    drop(lease);
                    let bucket = self.bucket(key, client_id, endpoint, rate, NonZeroU32::MIN, full_at);
                    let ahead = Bucket {
                        is_ahead: true,
                        ..bucket
                    };
                    return Taken::Low(spent, ahead);
                }
                return Taken::Spent(spent);
            }
        }
        Taken::Ask(self.bucket(key, client_id, endpoint, rate, cost, full_at))
    }

    fn bucket(
        &self,
        key: u64,
        client_id: &str,
        endpoint: Endpoint,
        rate: Rate,
        cost: NonZeroU32,
        full_at: u64,
    ) -> Bucket {
        Bucket {
            key,
            names: self.names_of(client_id, endpoint, rate),
            rate,
            cost,
            want: lease_size(rate).max(cost.get()),
            is_ahead: false,
            full_at,
        }
    }

    /// Adds what is left of a grant, and keeps what is known of its bucket.
    pub(super) fn keep(&self, key: u64, grant: &Grant, left: u32) {
        let now = Instant::now();
        let is_empty = grant.granted == 0 && grant.remaining == 0;
        let new = Lease {
            left,
            size: left,
            is_asked: false,
            valid_until: now + VALID,
            remaining: grant.remaining,
            empty: is_empty.then(|| Empty {
                refilled_at: now + grant.wait,
                ask_at: now + grant.wait.min(ASK_AGAIN),
            }),
            full_at: grant.full_at,
            forget_at: now + grant.refill + VALID,
        };
        let mut lease = self.held.entry(key).or_insert(Lease { left: 0, ..new });
        let before = if lease.valid_until > now { lease.left } else { 0 };
        *lease = Lease {
            left: left + before,
            size: left + before,
            ..new
        };
    }

    /// Forgets buckets that are full.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.held.retain(|_, lease| lease.forget_at > now);
    }

    fn names_of(&self, client_id: &str, endpoint: Endpoint, rate: Rate) -> Vec<String> {
        let of = format!("{}\0{rate}\0{client_id}", endpoint.as_str());
        let name = |key: &hmac::Key| {
            let mac = hmac::sign(key, of.as_bytes());
            format!("bucket:{}", URL_SAFE_NO_PAD.encode(&mac.as_ref()[..NAME_BYTES]))
        };
        self.names.iter().map(name).collect()
    }
}

/// Requests that a node leases at once.
fn lease_size(rate: Rate) -> u32 {
    let of_rate = rate.count.get() / rate.per.seconds() / PART;
    of_rate.min(rate.burst().get() / PART).max(1)
}

#[cfg(test)]
mod tests;

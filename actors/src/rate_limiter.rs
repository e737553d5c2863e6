//! The rate limiter.
//!
//! - Owns: one bucket of failed authentications for each client and address. In this version they are counted, not enforced.
//! - Source of truth: itself. The counts last a minute and need not outlive the process.
//! - Published: [`Limits`], asked by handlers without a mailbox.
//! - On restart: the buckets are full again.
//! - When full: beyond [`MOST_KEYS`] buckets the view is replaced by an empty one, so that an attacker's inventions cost
//!   bounded memory (about 10 MiB).

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::model::Decision;

/// Failed authentications a minute that a client has at one address before they count as too many.
const FAILURES_A_MINUTE: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Buckets held at the most.
pub const MOST_KEYS: usize = 100_000;

/// How often full buckets are forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// The buckets.
#[derive(Debug)]
pub struct Limits {
    failures: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failures: DefaultKeyedRateLimiter::dashmap(Quota::per_minute(FAILURES_A_MINUTE)),
            hasher: RandomState::new(),
        }
    }
}

impl Limits {
    /// Counts a failed authentication of `client_id`, which need not exist, from `address`.
    pub fn failure(&self, client_id: &str, address: IpAddr) -> Decision {
        let key = self.hasher.hash_one((client_id, network(address)));
        if self.failures.check_key(&key).is_ok() {
            Decision::Within
        } else {
            Decision::Over
        }
    }

    /// Buckets held.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }
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
    pub fn new(published: PublishedLimits) -> Self {
        published.store(Arc::default());
        Self { published }
    }

    fn sweep(&self) {
        let limits = self.published.load();
        limits.failures.retain_recent();
        if limits.len() > MOST_KEYS {
            tracing::warn!(
                keys = limits.len(),
                "too many failing clients and addresses to keep count of; starting over"
            );
            self.published.store(Arc::default());
        }
    }
}

impl Actor for RateLimiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SWEEP, |actor, _| actor.sweep());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_failures_are_within_and_the_next_is_over() {
        let limits = Limits::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let within = (0..100)
            .filter(|_| limits.failure("ci", address) == Decision::Within)
            .count();
        assert_eq!(within, 100);
        assert_eq!(limits.failure("ci", address), Decision::Over);
        assert_eq!(limits.failure("other", address), Decision::Within);
        assert_eq!(limits.failure("ci", IpAddr::from([192, 0, 2, 2])), Decision::Within);
    }

    #[test]
    fn an_ipv6_subscriber_has_one_bucket() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn too_many_buckets_start_over() {
        let published = PublishedLimits::default();
        let actor = RateLimiter::new(Arc::clone(&published));
        for n in 0..=MOST_KEYS as u32 {
            published.load().failure("ci", IpAddr::from(n.to_be_bytes()));
        }
        actor.sweep();
        assert!(published.load().is_empty());
    }
}

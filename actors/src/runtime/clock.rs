//! Time and token ids, passed in as values so that tests can set them.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use oauth2_store::model::token::with_client_version;
use thiserror::Error;
use uuid::{Builder, Uuid};

/// The most that ids may be ahead of the clock, in milliseconds. Introspection accepts a token issued this far in the future,
/// since the clocks of nodes may differ by as much.
const MAX_SKEW_MS: u64 = 30_000;

/// Bytes of randomness in an id; 74 of their bits survive under the version and variant.
const RANDOM_BYTES: usize = 10;

/// Bytes of randomness that a thread requests from the operating system at a time: enough for about 400 ids, so that the cost of
/// the call is negligible.
const POOL_BYTES: usize = RANDOM_BYTES * 409;

/// A wall clock.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn unix_ms(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn unix_ms(&self) -> u64 {
        (**self).unix_ms()
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        // A clock set before 1970 reads as 1970: ids then stand still rather than wrap.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as u64)
    }
}

/// A clock that moves only when it is set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `unix_ms`.
    pub fn at(unix_ms: u64) -> Self {
        Self(AtomicU64::new(unix_ms))
    }

    /// Sets the clock, forwards or back.
    pub fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The store's clock: this machine's, corrected by their last measured difference. All nodes of a store use it, so that a
/// token issued by one node and a revocation by another are ordered.
#[derive(Debug)]
pub struct StoreClock {
    local: Arc<dyn Clock>,
    offset_ms: AtomicI64,
}

impl StoreClock {
    /// `local`, until a difference is measured.
    pub fn new(local: Arc<dyn Clock>) -> Self {
        Self {
            local,
            offset_ms: AtomicI64::new(0),
        }
    }

    /// The clock of this machine.
    pub fn local_ms(&self) -> u64 {
        self.local.unix_ms()
    }

    /// Measures the difference: the store's clock showed `store_ms` at some time between `sent_ms` and now, both of this
    /// machine's clock. A difference within the round trip changes nothing.
    pub fn observe(&self, store_ms: u64, sent_ms: u64) {
        let (sent, received) = (sent_ms as i64, self.local.unix_ms() as i64);
        let (lowest, highest) = (store_ms as i64 - received, store_ms as i64 - sent);
        let known = self.offset_ms.load(Ordering::Relaxed);
        if !(lowest - 1..=highest + 1).contains(&known) {
            self.offset_ms.store(i64::midpoint(lowest, highest), Ordering::Relaxed);
        }
    }

    /// Whether this machine's clock differs from the store's by 30 s at most.
    pub fn is_synchronized(&self) -> bool {
        self.offset_ms.load(Ordering::Relaxed).unsigned_abs() <= MAX_SKEW_MS
    }
}

impl Clock for StoreClock {
    fn unix_ms(&self) -> u64 {
        self.local
            .unix_ms()
            .saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }
}

/// Why no id can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// The operating system's random number generator failed; an id must not be guessable.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
    /// The clock was set back so far that a token with a later time would be rejected as issued in the future.
    #[error("the clock is more than 30 s behind the last token id")]
    ClockBehind,
}

/// Makes `UUIDv7` ids (RFC 9562 section 5.7) whose timestamps never decrease, also when the clock is set back.
pub struct IdClock {
    clock: Arc<dyn Clock>,
    floor: AtomicU64,
}

impl std::fmt::Debug for IdClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdClock")
            .field("floor", &self.floor)
            .finish_non_exhaustive()
    }
}

impl IdClock {
    /// Ids with the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            floor: AtomicU64::new(0),
        }
    }

    /// The id of a token that a version of its client decides: see [`with_client_version`].
    pub fn new_token_id(&self, client_version: i64) -> Result<Uuid, IdError> {
        Ok(with_client_version(self.new_id()?, client_version))
    }

    /// A new id: 48 bits of milliseconds, 74 random bits.
    pub fn new_id(&self) -> Result<Uuid, IdError> {
        let now = self.clock.unix_ms();
        // Most ids of a millisecond find the floor raised already, and write to no cache line that other cores share.
        // Sequentially consistent with `advance_past`: an id made after it returned sees its floor.
        let floor = self.floor.load(Ordering::SeqCst);
        let stamp = if floor >= now {
            floor
        } else {
            self.floor.fetch_max(now, Ordering::SeqCst).max(now)
        };
        if stamp > now.saturating_add(MAX_SKEW_MS + 1) {
            return Err(IdError::ClockBehind);
        }
        let random = random_bytes()?;
        Ok(Builder::from_unix_timestamp_millis(stamp, &random).into_uuid())
    }

    /// Whether ids can be made: the clock is not more than 30 s behind the last id.
    pub fn can_issue(&self) -> bool {
        self.floor.load(Ordering::Relaxed) <= self.clock.unix_ms().saturating_add(MAX_SKEW_MS + 1)
    }

    /// Makes every later id have a timestamp after `ms`, so that a token issued after a revocation is beyond its cut-off. A
    /// value more than 30 s ahead of the clock is ignored with a warning: one bad row must not move the ids of this node into
    /// the far future.
    pub fn advance_past(&self, ms: u64) {
        let now = self.clock.unix_ms();
        if ms > now.saturating_add(MAX_SKEW_MS) {
            tracing::warn!(
                ahead_ms = ms - now,
                "ignored a revocation cut-off far ahead of the clock"
            );
            return;
        }
        self.floor.fetch_max(ms + 1, Ordering::SeqCst);
    }
}

struct RandomPool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<RandomPool> = const { RefCell::new(RandomPool { bytes: [0; POOL_BYTES], used: POOL_BYTES }) };
}

/// Random bytes of the operating system's generator, each used once.
fn random_bytes() -> Result<[u8; RANDOM_BYTES], IdError> {
    POOL.with_borrow_mut(|pool| {
        if pool.used + RANDOM_BYTES > POOL_BYTES {
            // `used` stays at the end when this fails: the next call requests new bytes and never reuses old ones.
            getrandom::fill(&mut pool.bytes).map_err(IdError::Randomness)?;
            pool.used = 0;
        }
        let mut bytes = [0; RANDOM_BYTES];
        let end = pool.used + RANDOM_BYTES;
        bytes.copy_from_slice(&pool.bytes[pool.used..end]);
        pool.bytes[pool.used..end].fill(0);
        pool.used = end;
        Ok(bytes)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashSet;

    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn stamp(id: Uuid) -> u64 {
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        seconds * 1000 + u64::from(nanos) / 1_000_000
    }

    #[test]
    fn ids_are_version_7_and_unique() {
        let ids = IdClock::new(Arc::new(ManualClock::at(START)));
        let made: HashSet<Uuid> = (0..100_000).map(|_| ids.new_id().unwrap()).collect();
        assert_eq!(made.len(), 100_000);
        assert!(made.iter().all(|id| id.get_version_num() == 7 && stamp(*id) == START));
    }

    #[test]
    fn timestamps_never_decrease() {
        let clock = Arc::new(ManualClock::at(START));
        let ids = IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
        clock.set(START - 5_000);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
        clock.set(START + 1);
        assert_eq!(stamp(ids.new_id().unwrap()), START + 1);
    }

    #[test]
    fn a_clock_set_far_back_issues_no_ids() {
        let clock = Arc::new(ManualClock::at(START));
        let ids = IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        ids.new_id().unwrap();
        clock.set(START - MAX_SKEW_MS - 2);
        assert_eq!(ids.new_id(), Err(IdError::ClockBehind));
        clock.set(START - MAX_SKEW_MS);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
    }

    #[test]
    fn only_a_difference_beyond_the_round_trip_is_applied() {
        let local = Arc::new(ManualClock::at(START));
        let clock = StoreClock::new(Arc::clone(&local) as Arc<dyn Clock>);
        // Sent at START, received 100 ms later: any time in between may be the same moment.
        local.advance(100);
        for shown in [START, START + 50, START + 100] {
            clock.observe(shown, START);
            assert_eq!(clock.unix_ms(), START + 100);
        }
        clock.observe(START + 20_050, START);
        assert_eq!((clock.unix_ms(), clock.is_synchronized()), (START + 20_100, true));
        clock.observe(START - 40_000, START + 100);
        assert_eq!((clock.unix_ms(), clock.is_synchronized()), (START - 40_000, false));
        assert_eq!(clock.local_ms(), START + 100);
    }

    #[test]
    fn ids_after_a_cut_off_are_later_than_it() {
        let ids = IdClock::new(Arc::new(ManualClock::at(START)));
        ids.advance_past(START);
        assert_eq!(stamp(ids.new_id().unwrap()), START + 1);
        ids.advance_past(START - 10);
        assert_eq!(stamp(ids.new_id().unwrap()), START + 1);
        ids.advance_past(START + MAX_SKEW_MS);
        assert_eq!(stamp(ids.new_id().unwrap()), START + MAX_SKEW_MS + 1);
    }

    #[test]
    fn a_cut_off_far_ahead_is_ignored() {
        let ids = IdClock::new(Arc::new(ManualClock::at(START)));
        ids.advance_past(START + MAX_SKEW_MS + 1);
        ids.advance_past(u64::MAX);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
    }
}

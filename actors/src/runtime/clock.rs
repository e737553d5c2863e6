//! Time and token ids, passed in as values so that tests can set them.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use uuid::{Builder, Uuid};

/// The furthest ahead of the clock, in milliseconds, that ids may be pushed: what introspection forgives a token for being
/// young, since that is how far the clocks of nodes may differ.
const FURTHEST_AHEAD_MS: u64 = 30_000;

/// Bytes of randomness in an id; 74 of their bits survive under the version and variant.
const RANDOM_BYTES: usize = 10;

/// How much randomness a thread asks of the operating system at a time: some 400 ids' worth, so that the call vanishes
/// beside the rest, and little enough to hold.
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

/// A clock that moves only when told.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `unix_ms`.
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

/// The operating system gave no randomness, so no id can be made: a guessable one would be worse than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no randomness from the operating system: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Makes `UUIDv7` ids (RFC 9562 section 5.7) whose milliseconds never go back, whatever the clock does.
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
    /// Ids after `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            floor: AtomicU64::new(0),
        }
    }

    /// A new id: 48 bits of milliseconds, 74 random bits.
    pub fn new_id(&self) -> Result<Uuid, NoRandomness> {
        let now = self.clock.unix_ms();
        // Most ids of a millisecond find the floor raised already and write nothing that other cores must fetch.
        // Sequentially consistent with `advance_past`: an id made after it returned sees its floor.
        let floor = self.floor.load(Ordering::SeqCst);
        let stamp = if floor >= now {
            floor
        } else {
            self.floor.fetch_max(now, Ordering::SeqCst).max(now)
        };
        let random = random_bytes()?;
        Ok(Builder::from_unix_timestamp_millis(stamp, &random).into_uuid())
    }

    /// Every id made after this call has a stamp later than `ms`, so that what is minted after a revocation lies beyond
    /// its cut-off. A value more than 30 s ahead of the clock is ignored, with a warning: one bad row must not push the
    /// ids of this node into the far future.
    pub fn advance_past(&self, ms: u64) {
        let now = self.clock.unix_ms();
        if ms > now.saturating_add(FURTHEST_AHEAD_MS) {
            tracing::warn!(ahead_ms = ms - now, "ignored a cut-off far ahead of the clock");
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

/// Fresh bytes of the operating system's generator, each handed out once.
fn random_bytes() -> Result<[u8; RANDOM_BYTES], NoRandomness> {
    POOL.with_borrow_mut(|pool| {
        if pool.used + RANDOM_BYTES > POOL_BYTES {
            // `used` stays at the end when this fails: the next id asks again and never sees an old byte.
            getrandom::fill(&mut pool.bytes).map_err(NoRandomness)?;
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
    fn ids_are_version_7_and_all_different() {
        let ids = IdClock::new(Arc::new(ManualClock::at(START)));
        let made: HashSet<Uuid> = (0..100_000).map(|_| ids.new_id().unwrap()).collect();
        assert_eq!(made.len(), 100_000);
        assert!(made.iter().all(|id| id.get_version_num() == 7 && stamp(*id) == START));
    }

    #[test]
    fn the_stamp_never_goes_back() {
        let clock = Arc::new(ManualClock::at(START));
        let ids = IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
        clock.set(START - 5_000);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
        clock.set(START + 1);
        assert_eq!(stamp(ids.new_id().unwrap()), START + 1);
    }

    #[test]
    fn ids_after_a_cut_off_are_later_than_it() {
        let ids = IdClock::new(Arc::new(ManualClock::at(START)));
        ids.advance_past(START);
        assert_eq!(stamp(ids.new_id().unwrap()), START + 1);
        ids.advance_past(START - 10);
        assert_eq!(stamp(ids.new_id().unwrap()), START + 1);
        ids.advance_past(START + FURTHEST_AHEAD_MS);
        assert_eq!(stamp(ids.new_id().unwrap()), START + FURTHEST_AHEAD_MS + 1);
    }

    #[test]
    fn a_cut_off_far_ahead_is_ignored() {
        let ids = IdClock::new(Arc::new(ManualClock::at(START)));
        ids.advance_past(START + FURTHEST_AHEAD_MS + 1);
        ids.advance_past(u64::MAX);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
    }
}

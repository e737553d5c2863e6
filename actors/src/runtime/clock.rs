//! Time and token ids, passed in as values so that tests can set them.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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

/// The store's clock: this machine's, corrected by how much the two were last found to differ. All nodes that share a
/// store go by it, so that what one mints and another revokes stand in an order.
#[derive(Debug)]
pub struct StoreClock {
    local: Arc<dyn Clock>,
    offset_ms: AtomicI64,
}

impl StoreClock {
    /// `local`, until it is found to differ.
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

    /// Takes over that the store's clock showed `store_ms` at some moment between `sent_ms` and now, both of this
    /// machine's clock. A difference that the way there and back may account for changes nothing.
    pub fn observe(&self, store_ms: u64, sent_ms: u64) {
        let (sent, received) = (sent_ms as i64, self.local.unix_ms() as i64);
        let (lowest, highest) = (store_ms as i64 - received, store_ms as i64 - sent);
        let known = self.offset_ms.load(Ordering::Relaxed);
        if !(lowest - 1..=highest + 1).contains(&known) {
            self.offset_ms.store(i64::midpoint(lowest, highest), Ordering::Relaxed);
        }
    }

    /// Whether this machine's clock agrees with the store's to within what is forgiven, 30 s.
    pub fn is_right(&self) -> bool {
        self.offset_ms.load(Ordering::Relaxed).unsigned_abs() <= FURTHEST_AHEAD_MS
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
pub enum NoId {
    /// A guessable id would be worse than none.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
    /// The clock was set back, by so much that tokens with the times of before would not be taken for valid.
    #[error("the clock is more than 30 s behind the ids made before")]
    ClockBehind,
}

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
    pub fn new_id(&self) -> Result<Uuid, NoId> {
        let now = self.clock.unix_ms();
        // Most ids of a millisecond find the floor raised already and write nothing that other cores must fetch.
        // Sequentially consistent with `advance_past`: an id made after it returned sees its floor.
        let floor = self.floor.load(Ordering::SeqCst);
        let stamp = if floor >= now {
            floor
        } else {
            self.floor.fetch_max(now, Ordering::SeqCst).max(now)
        };
        if stamp > now.saturating_add(FURTHEST_AHEAD_MS + 1) {
            return Err(NoId::ClockBehind);
        }
        let random = random_bytes()?;
        Ok(Builder::from_unix_timestamp_millis(stamp, &random).into_uuid())
    }

    /// Whether ids can be made: the clock is not far behind those made before.
    pub fn is_right(&self) -> bool {
        self.floor.load(Ordering::Relaxed) <= self.clock.unix_ms().saturating_add(FURTHEST_AHEAD_MS + 1)
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
fn random_bytes() -> Result<[u8; RANDOM_BYTES], NoId> {
    POOL.with_borrow_mut(|pool| {
        if pool.used + RANDOM_BYTES > POOL_BYTES {
            // `used` stays at the end when this fails: the next id asks again and never sees an old byte.
            getrandom::fill(&mut pool.bytes).map_err(NoId::Randomness)?;
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
    fn a_clock_set_far_back_makes_no_ids() {
        let clock = Arc::new(ManualClock::at(START));
        let ids = IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        ids.new_id().unwrap();
        clock.set(START - FURTHEST_AHEAD_MS - 2);
        assert_eq!(ids.new_id(), Err(NoId::ClockBehind));
        clock.set(START - FURTHEST_AHEAD_MS);
        assert_eq!(stamp(ids.new_id().unwrap()), START);
    }

    #[test]
    fn the_store_s_clock_is_followed_where_it_surely_differs() {
        let local = Arc::new(ManualClock::at(START));
        let clock = StoreClock::new(Arc::clone(&local) as Arc<dyn Clock>);
        // Asked at START, answered 100 ms later: anything in between may be the same moment.
        local.advance(100);
        for shown in [START, START + 50, START + 100] {
            clock.observe(shown, START);
            assert_eq!(clock.unix_ms(), START + 100);
        }
        clock.observe(START + 20_050, START);
        assert_eq!((clock.unix_ms(), clock.is_right()), (START + 20_100, true));
        clock.observe(START - 40_000, START + 100);
        assert_eq!((clock.unix_ms(), clock.is_right()), (START - 40_000, false));
        assert_eq!(clock.local_ms(), START + 100);
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

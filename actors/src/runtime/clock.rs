//! Time and token ids, passed in as values so that tests can set them: here the ids, next to it the clocks.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use oauth2_store::model::id_clock::RESERVE_MS;
use oauth2_store::model::token::with_client_version;
use oauth2_store::model::{Slew, StoreTime};
use thiserror::Error;
use uuid::{Builder, Uuid};

pub use super::store_clock::{ClockStatus, StoreClock};
pub use super::wall_clock::{Clock, ManualClock, MonotonicClock, SystemClock};

/// The most that an id of another node may be ahead of the ids of this one, in milliseconds.
const MAX_SKEW_MS: u64 = 30_000;

/// A last id further ahead of the time of ids than this, milliseconds, is published to all nodes.
const FOLLOWS_MS: u64 = 250;

/// Bytes of randomness in an id; 74 of their bits survive under the version and variant.
const RANDOM_BYTES: usize = 10;

/// Bytes of randomness that a thread requests from the operating system at a time: enough for about 400 ids, so that the cost of
/// the call is negligible.
const POOL_BYTES: usize = RANDOM_BYTES * 409;

/// Why no id can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// The operating system's random number generator failed; an id must not be guessable.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
}

/// Makes `UUIDv7` ids (RFC 9562 section 5.7) whose timestamps never decrease, also when the clock is set back. Then they are ahead of
/// the clock: the time of issue is the clock's.
pub struct IdClock {
    clock: Arc<dyn Clock>,
    floor: AtomicU64,
    /// No id of any node has a later time, as far as this node has read.
    reserved: AtomicU64,
    slew: ArcSwap<Slew>,
    /// The latest cut-off that was reported as ahead of every id.
    reported: AtomicU64,
}

impl std::fmt::Debug for IdClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdClock")
            .field("floor", &self.floor)
            .finish_non_exhaustive()
    }
}

/// What a node writes to the store about ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// No id has a later time until the next reservation.
    pub reserved_ms: u64,
    /// How ids ran, as the store knew.
    pub known: Slew,
    /// How they run.
    pub slew: Slew,
}

impl IdClock {
    /// Ids with the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            floor: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            slew: ArcSwap::default(),
            reported: AtomicU64::new(0),
        }
    }

    /// The id of a token that a version of its client decides: see [`with_client_version`].
    pub fn new_token_id(&self, client_version: i64) -> Result<Uuid, IdError> {
        Ok(with_client_version(self.new_id()?, client_version))
    }

    /// A new id: 48 bits of milliseconds, 74 random bits.
    pub fn new_id(&self) -> Result<Uuid, IdError> {
        let now = self.running_ms();
        // Most ids of a millisecond find the floor raised already, and write to no cache line that other cores share.
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

    /// The time of the clock, Unix milliseconds: when a token is issued.
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// The time of the next id, Unix milliseconds.
    pub fn id_ms(&self) -> u64 {
        self.running_ms().max(self.floor.load(Ordering::Relaxed))
    }

    /// By how much ids are ahead of the clock, milliseconds.
    pub fn ahead_ms(&self) -> u64 {
        self.id_ms().saturating_sub(self.clock.unix_ms())
    }

    /// Whether an id with this time may have been given by a node of this store, Unix milliseconds.
    pub fn may_have_given(&self, ms: u64) -> bool {
        ms <= self
            .id_ms()
            .saturating_add(MAX_SKEW_MS)
            .max(self.reserved.load(Ordering::Relaxed))
    }

    /// Agrees with the other nodes on the time of ids. Answers what to write to the store, if anything.
    pub fn agree(&self, time: &StoreTime) -> Option<Reservation> {
        let mut slew = time.needed_slew();
        let last = self.floor.load(Ordering::SeqCst);
        let now_ms = self.clock.unix_ms();
        // This node knows its last id: after a step that is too small for the store to notice, others must not fall behind it.
        if last > slew.id_ms(now_ms) + FOLLOWS_MS {
            slew = Slew {
                from_ms: now_ms,
                ahead_ms: last - now_ms,
            };
        }
        if **self.slew.load() != slew {
            // An id that is made meanwhile is not earlier than the last one: the floor keeps them in order.
            self.slew.store(Arc::new(slew));
        }
        let reserved_ms = if last > 0 && last + RESERVE_MS / 2 > time.reserved_ms {
            last + RESERVE_MS
        } else {
            time.reserved_ms
        };
        self.reserved.fetch_max(reserved_ms, Ordering::SeqCst);
        let reservation = Reservation {
            reserved_ms,
            known: time.slew,
            slew,
        };
        (reserved_ms != time.reserved_ms || slew != time.slew).then_some(reservation)
    }

    /// Makes every later id have a timestamp after `ms`, so that a token issued after a revocation is beyond its cut-off. A value that
    /// no id can have reached is ignored with a warning: one bad row must not move the ids of this node into the far future.
    pub fn advance_past(&self, ms: u64) {
        if !self.may_have_given(ms) {
            // The log may return a row more than once.
            if self.reported.fetch_max(ms, Ordering::Relaxed) < ms {
                tracing::warn!(
                    ahead_ms = ms.saturating_sub(self.clock.unix_ms()),
                    "a revocation cut-off is ahead of every token id: it revokes new tokens too; see: oauth2_server token cutoffs"
                );
            }
            return;
        }
        self.floor.fetch_max(ms + 1, Ordering::SeqCst);
    }

    fn running_ms(&self) -> u64 {
        self.slew.load().id_ms(self.clock.unix_ms())
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

    fn read(now_ms: u64, reserved_ms: u64, slew: Slew) -> StoreTime {
        StoreTime {
            now_ms,
            reserved_ms,
            slew,
        }
    }

    #[test]
    fn ids_go_on_when_the_clock_is_set_back_and_nodes_agree_on_their_time() {
        const HOUR: u64 = 3_600_000;
        let clock = Arc::new(ManualClock::at(START));
        let node = || IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let (first, second) = (node(), node());
        let last = stamp(first.new_id().unwrap());
        let reserved = first.agree(&read(START, 0, Slew::default())).unwrap().reserved_ms;
        assert_eq!(reserved, START + RESERVE_MS);
        assert_eq!(first.agree(&read(START, reserved, Slew::default())), None);
        clock.set(START - HOUR);
        let stored = read(START - HOUR, reserved, Slew::default());
        let changed = first.agree(&stored).unwrap();
        assert_eq!(
            second.agree(&stored),
            Some(Reservation {
                reserved_ms: reserved,
                ..changed
            })
        );
        for node in [&first, &second] {
            assert!(stamp(node.new_id().unwrap()) > last);
            assert_eq!((node.unix_ms(), node.ahead_ms()), (START - HOUR, HOUR + RESERVE_MS));
        }
        // A cut-off by one node covers the tokens of the other.
        clock.advance(1000);
        let token = stamp(second.new_id().unwrap());
        assert!(stamp(first.new_id().unwrap()) >= token);
        // The store has the reservation and the slew: nothing further is written until ids need more.
        let stored = read(START - HOUR + 1000, reserved + RESERVE_MS, changed.slew);
        assert_eq!(first.agree(&stored), None);
        clock.advance(3 * HOUR);
        assert_eq!(first.ahead_ms(), 0, "caught up");
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

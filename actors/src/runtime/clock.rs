//! Clocks, and the ids that are made of them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Where the time of day comes from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Unix milliseconds.
    fn unix_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }
}

/// A clock that stands where it is put, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(pub AtomicU64);

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// How far ahead of the clock ids may be moved, in milliseconds. A cut-off from further ahead comes from a broken clock.
const FURTHEST_AHEAD_MS: u64 = 60_000;

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// Makes token ids: UUIDv7 (RFC 9562 section 5.7) whose stamps never go back, with 74 random bits each.
#[derive(Debug)]
pub struct IdClock {
    clock: Arc<dyn Clock>,
    floor_ms: AtomicU64,
}

/// Random bytes fetched at a time: enough for some 400 ids.
const BUFFER: usize = 4096;

thread_local! {
    static RANDOM: RefCell<(Vec<u8>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

impl IdClock {
    /// Ids by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            floor_ms: AtomicU64::new(0),
        }
    }

    /// A fresh id.
    pub fn new_id(&self) -> Result<Uuid, NoRandomness> {
        let now = self.clock.unix_ms();
        let ms = self.floor_ms.fetch_max(now, Ordering::AcqRel).max(now);
        let random = random_bytes()?;
        let id = (u128::from(ms) << 80) | (u128::from_be_bytes(random) >> 48);
        // Version 7 and the RFC's variant over the random bits in their places.
        let id = (id & !(0xf << 76) & !(0x3 << 62)) | (0x7 << 76) | (0x2 << 62);
        Ok(Uuid::from_u128(id))
    }

    /// Makes every id that is made from now on later than this millisecond.
    pub fn advance_past(&self, ms: u64) {
        if ms > self.clock.unix_ms() + FURTHEST_AHEAD_MS {
            return tracing::warn!(ms, "a cut-off lies more than a minute ahead of this clock");
        }
        self.floor_ms.fetch_max(ms + 1, Ordering::AcqRel);
    }
}

/// Sixteen bytes, of which an id uses ten, from a buffer that the operating system fills.
fn random_bytes() -> Result<[u8; 16], NoRandomness> {
    RANDOM.with_borrow_mut(|(buffer, at)| {
        if *at + 10 > buffer.len() {
            buffer.resize(BUFFER, 0);
            getrandom::fill(buffer).map_err(|_| {
                buffer.clear();
                NoRandomness
            })?;
            *at = 0;
        }
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&buffer[*at..*at + 10]);
        *at += 10;
        Ok(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::token::uuid_v7_ms;
    use std::collections::HashSet;

    #[test]
    fn ids_are_uuid_v7_and_never_go_back() {
        let clock = Arc::new(ManualClock::default());
        let ids = IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut last = 0;
        for now in [1000, 2000, 500, 2500] {
            clock.0.store(now, Ordering::Release);
            let id = ids.new_id().unwrap();
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            assert!(uuid_v7_ms(&id) >= last);
            last = uuid_v7_ms(&id);
        }
        assert_eq!(last, 2500);
    }

    #[test]
    fn what_is_made_after_a_cut_off_is_later() {
        let ids = IdClock::new(Arc::new(ManualClock(AtomicU64::new(1000))));
        ids.advance_past(1000);
        assert_eq!(uuid_v7_ms(&ids.new_id().unwrap()), 1001);
        ids.advance_past(10_000_000);
        assert_eq!(uuid_v7_ms(&ids.new_id().unwrap()), 1001);
    }

    #[test]
    fn no_two_ids_are_alike() {
        let ids = IdClock::new(Arc::new(ManualClock::default()));
        let made: HashSet<_> = (0..100_000).map(|_| ids.new_id().unwrap()).collect();
        assert_eq!(made.len(), 100_000);
    }
}

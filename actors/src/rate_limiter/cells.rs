//! A table of buckets that never grows, for keys that strangers can invent.
//!
//! Each key has a row of eight places; a place holds the key and the moment at which its bucket is full again (the theoretical
//! arrival time of the generic cell rate algorithm). A full bucket says nothing, so its place is free. When all eight are
//! taken, the bucket that is full soonest goes: of a client under attack, with an empty bucket, an attacker's inventions,
//! which each took one from theirs, push each other out first.
//!
//! A place is 16 bytes. Memory that was never written to is not resident.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Places in a row.
const WAYS: usize = 8;

/// Locks that the rows share.
const LOCKS: usize = 256;

/// Rows that one sweep looks at.
const SWEPT: usize = 16 * 1024;

/// The table.
#[derive(Debug)]
pub(super) struct Cells {
    /// Key and time by turns.
    words: Box<[AtomicU64]>,
    locks: Box<[Mutex<()>]>,
    started: Instant,
    taken: AtomicU64,
    evicted: AtomicU64,
    /// Where the next sweep begins.
    swept: AtomicU64,
}

impl Cells {
    /// A table for so many keys, rounded up to whole rows.
    pub(super) fn new(keys: usize) -> Self {
        let rows = keys.div_ceil(WAYS).max(1);
        Self {
            words: bytemuck::zeroed_slice_box(rows * WAYS * 2),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            started: Instant::now(),
            taken: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            swept: AtomicU64::new(0),
        }
    }

    /// The key of something, for this process; never 0, which marks a place that is free.
    pub(super) fn key(hasher: &RandomState, of: impl std::hash::Hash) -> u64 {
        hasher.hash_one(of) | 1
    }

    /// Places taken, of which some may be of buckets that have been full for a minute at the most.
    pub(super) fn len(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Buckets that were given up for others before they were full.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Frees places of full buckets in the next part of the table.
    pub(super) fn sweep(&self) {
        if self.len() == 0 {
            return;
        }
        let rows = self.rows();
        let from = self.swept.fetch_add(SWEPT as u64, Ordering::Relaxed) as usize % rows;
        let now = self.now();
        for row in (from..rows).take(SWEPT) {
            let _held = self.lock(row);
            for place in Self::places(row) {
                if self.key_at(place) != 0 && self.full_at(place) <= now {
                    self.words[place].store(0, Ordering::Relaxed);
                    self.taken.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if from + SWEPT >= rows {
            self.swept.store(0, Ordering::Relaxed);
        }
    }

    fn rows(&self) -> usize {
        self.words.len() / (WAYS * 2)
    }

    fn places(row: usize) -> impl Iterator<Item = usize> {
        (row * WAYS..(row + 1) * WAYS).map(|place| place * 2)
    }

    fn key_at(&self, place: usize) -> u64 {
        self.words[place].load(Ordering::Relaxed)
    }

    fn full_at(&self, place: usize) -> u64 {
        self.words[place + 1].load(Ordering::Relaxed)
    }

    /// Nanoseconds of the limiter's clock, which started with this table.
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn lock(&self, row: usize) -> std::sync::MutexGuard<'_, ()> {
        self.locks[row % LOCKS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table as a limiter of `governor` owns it, and as it is looked at beside that.
#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<Cells>);

impl StateStore for Shared {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(*key, decide)
    }
}

impl Cells {
    fn measure_and_replace<T, E>(
        &self,
        key: u64,
        decide: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        // The high bits choose the row: the lowest is the same for all.
        let row = ((u128::from(key) * self.rows() as u128) >> 64) as usize;
        let _held = self.lock(row);
        let own = Self::places(row).find(|place| self.key_at(*place) == key);
        let known = own.map(|place| Nanos::from(self.full_at(place)));
        let (answer, full_at) = decide(known)?;
        let place = own.unwrap_or_else(|| self.make_room(row));
        self.words[place].store(key, Ordering::Relaxed);
        self.words[place + 1].store(full_at.as_u64(), Ordering::Relaxed);
        Ok(answer)
    }

    /// A place for one key more: a free one, or that of the bucket that is full soonest.
    fn make_room(&self, row: usize) -> usize {
        let (now, mut soonest, mut soonest_at) = (self.now(), row * WAYS * 2, u64::MAX);
        for place in Self::places(row) {
            if self.key_at(place) == 0 {
                self.taken.fetch_add(1, Ordering::Relaxed);
                return place;
            }
            if self.full_at(place) < soonest_at {
                (soonest, soonest_at) = (place, self.full_at(place));
            }
        }
        if soonest_at > now {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        soonest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Takes one of a bucket that holds `burst` and gets one back each second.
    fn spend(cells: &Cells, key: u64, burst: u64) -> bool {
        let second = 1_000_000_000;
        let now = cells.now();
        let decided: Result<(), ()> = cells.measure_and_replace(key, |full_at| {
            let full_at = full_at.map_or(now, Nanos::as_u64).max(now) + second;
            if full_at > now + burst * second {
                Err(())
            } else {
                Ok(((), Nanos::from(full_at)))
            }
        });
        decided.is_ok()
    }

    #[test]
    fn a_bucket_is_as_deep_as_it_is() {
        let cells = Cells::new(64);
        assert_eq!((0..20).filter(|_| spend(&cells, 7, 10)).count(), 10);
        assert!(spend(&cells, 9, 10));
        assert_eq!((cells.len(), cells.evicted()), (2, 0));
    }

    /// Ten million inventions stay in the room there is, and do not fill the bucket of the one that is under attack.
    #[test]
    fn inventions_neither_grow_the_table_nor_free_a_victim() {
        let hasher = RandomState::new();
        let cells = Cells::new(4096);
        let victim = Cells::key(&hasher, "victim");
        while spend(&cells, victim, 100) {}
        for invention in 0..10_000_000_u64 {
            spend(&cells, Cells::key(&hasher, invention), 100);
        }
        let got_back = (0..100).filter(|_| spend(&cells, victim, 100)).count();
        assert!(got_back < 60, "one a second, not a full bucket: {got_back}");
        assert!(
            cells.len() <= 4096 && cells.evicted() > 9_000_000,
            "{} {}",
            cells.len(),
            cells.evicted()
        );
        assert_eq!(cells.words.len() * size_of::<AtomicU64>(), 64 * 1024);
    }

    #[test]
    fn places_of_full_buckets_are_freed() {
        let cells = Cells::new(64);
        let past: Result<(), ()> = cells.measure_and_replace(5, |_| Ok(((), Nanos::from(1))));
        past.unwrap();
        assert!(spend(&cells, 7, 10));
        cells.sweep();
        assert_eq!(cells.len(), 1);
    }
}

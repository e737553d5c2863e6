//! A table of buckets with a fixed size, for keys that are chosen by strangers.
//!
//! A key hashes to a row of eight slots. A slot holds a key and the time at which its bucket is full again (the theoretical
//! arrival time of the generic cell rate algorithm). A full bucket carries no information, so its slot is free. When all
//! slots of a row are taken, the bucket that is full again soonest is evicted. An attacker's invented keys, each with one
//! failure, therefore evict each other before the empty bucket of a client under attack.
//!
//! A slot is 16 bytes. Memory that was never written to is not resident.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Slots per row.
const SLOTS_PER_ROW: usize = 8;

/// Locks that the rows share.
const LOCKS: usize = 256;

/// Rows per sweep.
const ROWS_PER_SWEEP: usize = 16 * 1024;

/// The table.
#[derive(Debug)]
pub(super) struct BucketTable {
    /// Key and time, alternating.
    words: Box<[AtomicU64]>,
    locks: Box<[Mutex<()>]>,
    started: Instant,
    taken: AtomicU64,
    evicted: AtomicU64,
    /// The first row of the next sweep.
    next_swept: AtomicU64,
}

impl BucketTable {
    /// A table for `keys` keys, rounded up to whole rows.
    pub(super) fn new(keys: usize) -> Self {
        let rows = keys.div_ceil(SLOTS_PER_ROW).max(1);
        Self {
            words: bytemuck::zeroed_slice_box(rows * SLOTS_PER_ROW * 2),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            started: Instant::now(),
            taken: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            next_swept: AtomicU64::new(0),
        }
    }

    /// Hashes a key for this process; never 0, which marks a free slot.
    pub(super) fn key(hasher: &RandomState, of: impl std::hash::Hash) -> u64 {
        hasher.hash_one(of) | 1
    }

    /// Taken slots, some perhaps of buckets that are full again and not swept yet.
    pub(super) fn len(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Buckets that were evicted before they were full.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Frees the slots of full buckets in the next part of the table.
    pub(super) fn sweep(&self) {
        if self.len() == 0 {
            return;
        }
        let rows = self.rows();
        let from = self.next_swept.fetch_add(ROWS_PER_SWEEP as u64, Ordering::Relaxed) as usize % rows;
        let now = self.now();
        for row in (from..rows).take(ROWS_PER_SWEEP) {
            let _held = self.lock(row);
            for slot in Self::slots(row) {
                if self.key_at(slot) != 0 && self.full_at(slot) <= now {
                    self.words[slot].store(0, Ordering::Relaxed);
                    self.taken.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if from + ROWS_PER_SWEEP >= rows {
            self.next_swept.store(0, Ordering::Relaxed);
        }
    }

    /// The time until a bucket is full again; `None` if it is not in the table.
    pub(super) fn time_until_full(&self, key: u64) -> Option<Duration> {
        let row = self.row_of(key);
        let _held = self.lock(row);
        let slot = Self::slots(row).find(|slot| self.key_at(*slot) == key)?;
        Some(Duration::from_nanos(self.full_at(slot).saturating_sub(self.now())))
    }

    fn row_of(&self, key: u64) -> usize {
        // The high bits choose the row: the lowest bit is set in every key.
        ((u128::from(key) * self.rows() as u128) >> 64) as usize
    }

    fn rows(&self) -> usize {
        self.words.len() / (SLOTS_PER_ROW * 2)
    }

    fn slots(row: usize) -> impl Iterator<Item = usize> {
        (row * SLOTS_PER_ROW..(row + 1) * SLOTS_PER_ROW).map(|slot| slot * 2)
    }

    fn key_at(&self, slot: usize) -> u64 {
        self.words[slot].load(Ordering::Relaxed)
    }

    fn full_at(&self, slot: usize) -> u64 {
        self.words[slot + 1].load(Ordering::Relaxed)
    }

    /// Nanoseconds of the limiter's clock, which started with this table.
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn lock(&self, row: usize) -> std::sync::MutexGuard<'_, ()> {
        self.locks[row % LOCKS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table as the state store of a `governor` limiter, shared with the code that sweeps and inspects it.
#[derive(Debug, Clone)]
pub(super) struct SharedTable(pub(super) Arc<BucketTable>);

impl StateStore for SharedTable {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(*key, decide)
    }
}

impl BucketTable {
    fn measure_and_replace<T, E>(
        &self,
        key: u64,
        decide: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        let row = self.row_of(key);
        let _held = self.lock(row);
        let own = Self::slots(row).find(|slot| self.key_at(*slot) == key);
        let known = own.map(|slot| Nanos::from(self.full_at(slot)));
        let (outcome, full_at) = decide(known)?;
        let slot = own.unwrap_or_else(|| self.make_room(row));
        self.words[slot].store(key, Ordering::Relaxed);
        self.words[slot + 1].store(full_at.as_u64(), Ordering::Relaxed);
        Ok(outcome)
    }

    /// A slot for a new key: a free one, or that of the bucket that is full again soonest.
    fn make_room(&self, row: usize) -> usize {
        let (now, mut soonest, mut soonest_at) = (self.now(), row * SLOTS_PER_ROW * 2, u64::MAX);
        for slot in Self::slots(row) {
            if self.key_at(slot) == 0 {
                self.taken.fetch_add(1, Ordering::Relaxed);
                return slot;
            }
            if self.full_at(slot) < soonest_at {
                (soonest, soonest_at) = (slot, self.full_at(slot));
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

    /// Takes one from a bucket that holds `burst` and is refilled by one per second.
    fn spend(table: &BucketTable, key: u64, burst: u64) -> bool {
        let second = 1_000_000_000;
        let now = table.now();
        let decided: Result<(), ()> = table.measure_and_replace(key, |full_at| {
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
    fn a_bucket_holds_its_burst() {
        let table = BucketTable::new(64);
        assert_eq!((0..20).filter(|_| spend(&table, 7, 10)).count(), 10);
        assert!(spend(&table, 9, 10));
        assert_eq!((table.len(), table.evicted()), (2, 0));
    }

    /// Ten million invented keys fit the fixed size, and do not refill the bucket of a client under attack.
    #[test]
    fn invented_keys_neither_grow_the_table_nor_evict_a_victim() {
        let hasher = RandomState::new();
        let table = BucketTable::new(4096);
        let victim = BucketTable::key(&hasher, "victim");
        while spend(&table, victim, 100) {}
        for invented in 0..10_000_000_u64 {
            spend(&table, BucketTable::key(&hasher, invented), 100);
        }
        let refilled = (0..100).filter(|_| spend(&table, victim, 100)).count();
        assert!(refilled < 60, "one per second, not a full bucket: {refilled}");
        assert!(
            table.len() <= 4096 && table.evicted() > 9_000_000,
            "{} {}",
            table.len(),
            table.evicted()
        );
        assert_eq!(table.words.len() * size_of::<AtomicU64>(), 64 * 1024);
    }

    #[test]
    fn slots_of_full_buckets_are_freed() {
        let table = BucketTable::new(64);
        let past: Result<(), ()> = table.measure_and_replace(5, |_| Ok(((), Nanos::from(1))));
        past.unwrap();
        assert!(spend(&table, 7, 10));
        table.sweep();
        assert_eq!(table.len(), 1);
    }
}

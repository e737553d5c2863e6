//! What clients have used of their quotas, and how many of their tokens are still valid.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::valid::Valid;
use crate::freshness::Freshness;
use crate::model::{Quotas, Usage, Window};

/// For so long at the most counts may be known to this process alone.
pub const UNSAVED: Duration = Duration::from_secs(1);

const WINDOWS: usize = Window::ALL.len();

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    start: i64,
    /// When the window ends, once that was asked: a month's takes a calendar.
    end: i64,
    /// What the store knew when it was last told, and what it was told.
    saved: u64,
    /// What it does not know yet.
    unsaved: u64,
}

/// Where a client stands in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Which window.
    pub window: Window,
    /// Tokens that were issued in it.
    pub used: u64,
    /// When it began, Unix seconds.
    pub began_at: i64,
    /// When it ends, Unix seconds.
    pub ends_at: i64,
}

#[derive(Debug, Default)]
struct Counter {
    counts: Mutex<[Count; WINDOWS]>,
    dirty: AtomicBool,
}

impl Counter {
    fn lock(&self) -> MutexGuard<'_, [Count; WINDOWS]> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that was counted before it was there.
#[derive(Debug)]
pub struct Reserved {
    counter: Arc<Counter>,
    starts: [i64; WINDOWS],
    kept: bool,
    /// Where the client stands with the token counted.
    pub levels: [Level; WINDOWS],
}

impl Reserved {
    /// The token was issued.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for (count, start) in self.counter.lock().iter_mut().zip(self.starts) {
            // A window that has turned meanwhile has nothing of it.
            if count.start == start {
                if count.unsaved > 0 {
                    count.unsaved -= 1;
                } else {
                    count.saved = count.saved.saturating_sub(1);
                }
            }
        }
    }
}

/// Why no token may be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A quota is used up.
    Over {
        /// Where the client stands.
        levels: [Level; WINDOWS],
        /// When the window ends that is used up longest, Unix seconds.
        until: i64,
    },
    /// What was used is not loaded yet, or could not be saved for too long.
    Unknown,
}

/// The counters of all clients.
#[derive(Debug, Default)]
pub struct Counters {
    clients: DashMap<Arc<str>, Arc<Counter>>,
    valid: DashMap<Arc<str>, Arc<Mutex<Valid>>>,
    loaded: AtomicBool,
    recalled: AtomicBool,
    saved: Freshness,
    pub(super) figures: Figures,
}

/// What was last found of tokens that are still valid, over all clients.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) total: AtomicU64,
    pub(super) largest: AtomicU64,
    pub(super) hoarding: AtomicU64,
}

impl Counters {
    /// Counts a token for a client that has quotas, or refuses it. With `enforce` unset it is counted in any case, and the
    /// second value says whether it was one too many.
    pub fn reserve(
        &self,
        client_id: &str,
        quotas: &Quotas,
        enforce: bool,
        now: i64,
    ) -> Result<(Reserved, bool), Refused> {
        if !self.loaded.load(Ordering::Acquire) {
            return Err(Refused::Unknown);
        }
        let counter = self.counter(client_id);
        let mut counts = counter.lock();
        let levels = turn(&mut counts, now);
        let over = levels
            .iter()
            .filter(|level| level.window.of(quotas).is_some_and(|quota| level.used >= quota))
            .map(|level| level.ends_at)
            .max();
        if let (Some(until), true) = (over, enforce) {
            return Err(Refused::Over { levels, until });
        }
        let unsaved = counts.iter().any(|count| count.unsaved > 0);
        if enforce && unsaved && !self.saved.is_within(UNSAVED) {
            return Err(Refused::Unknown);
        }
        for count in counts.iter_mut() {
            count.unsaved += 1;
        }
        let (starts, levels) = (
            counts.map(|count| count.start),
            levels.map(|level| Level {
                used: level.used + 1,
                ..level
            }),
        );
        drop(counts);
        if !unsaved {
            counter.dirty.store(true, Ordering::Release);
        }
        Ok((
            Reserved {
                counter,
                starts,
                kept: false,
                levels,
            },
            over.is_some(),
        ))
    }

    /// Counts tokens that an operator had issued.
    pub fn add(&self, client_id: &str, tokens: u64, now: i64) {
        let counter = self.counter(client_id);
        let mut counts = counter.lock();
        turn(&mut counts, now);
        counts.iter_mut().for_each(|count| count.unsaved += tokens);
        counter.dirty.store(true, Ordering::Release);
    }

    fn counter(&self, client_id: &str) -> Arc<Counter> {
        if let Some(known) = self.clients.get(client_id) {
            return Arc::clone(&known);
        }
        Arc::clone(&self.clients.entry(client_id.into()).or_default())
    }

    /// Where a client stands.
    pub fn levels(&self, client_id: &str, now: i64) -> [Level; WINDOWS] {
        match self.clients.get(client_id) {
            Some(counter) => turn(&mut counter.lock(), now),
            None => turn(&mut [Count::default(); WINDOWS], now),
        }
    }

    /// Remembers a token for as long as it is valid.
    pub fn issued(&self, client_id: &Arc<str>, expires_at: i64, now: i64) {
        let known = self.valid.get(&**client_id).map(|known| Arc::clone(&known));
        let valid = known.unwrap_or_else(|| Arc::clone(&self.valid.entry(Arc::clone(client_id)).or_default()));
        valid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(expires_at, 1, now);
    }

    /// Takes over tokens that were issued before this process began.
    pub(super) fn expiring(&self, client_id: &str, expires_at: i64, count: u64, now: i64) {
        let valid = Arc::clone(&self.valid.entry(client_id.into()).or_default());
        valid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(expires_at, count, now);
    }

    /// How many of a client's tokens are still valid.
    pub fn still_valid(&self, client_id: &str, now: i64) -> u64 {
        let known = self.valid.get(client_id).map(|known| Arc::clone(&known));
        known.map_or(0, |valid| {
            valid.lock().unwrap_or_else(PoisonError::into_inner).count(now)
        })
    }

    /// The clients with the most tokens that are still valid, and how many.
    pub fn top(&self, limit: usize, now: i64) -> Vec<(Arc<str>, u64)> {
        let mut all: Vec<_> = self
            .valid
            .iter()
            .map(|entry| {
                (
                    Arc::clone(entry.key()),
                    entry.lock().unwrap_or_else(PoisonError::into_inner).count(now),
                )
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(limit);
        all
    }

    /// Tokens that are still valid, the most of one client, and clients that have more than they need, as last found.
    pub fn figures(&self) -> [u64; 3] {
        let figures = &self.figures;
        [&figures.total, &figures.largest, &figures.hoarding].map(|figure| figure.load(Ordering::Relaxed))
    }

    /// Looks at all clients; forgets those without a token, and those without a count in the present month.
    pub(super) fn sweep(&self, hoard: u64, now: i64) {
        let (mut total, mut largest, mut hoarding) = (0, 0, 0);
        self.valid.retain(|_, valid| {
            let count = valid.lock().unwrap_or_else(PoisonError::into_inner).count(now);
            total += count;
            largest = largest.max(count);
            hoarding += u64::from(count > hoard);
            count > 0
        });
        self.clients.retain(|_, counter| {
            let mut counts = counter.lock();
            let dirty = counter.dirty.load(Ordering::Acquire);
            turn(&mut counts, now).iter().any(|level| level.used > 0) || dirty || Arc::strong_count(counter) > 1
        });
        self.figures.total.store(total, Ordering::Relaxed);
        self.figures.largest.store(largest, Ordering::Relaxed);
        self.figures.hoarding.store(hoarding, Ordering::Relaxed);
    }

    /// Takes what the store does not know yet, to tell it.
    pub(super) fn take_unsaved(&self) -> Vec<Usage> {
        let mut taken = Vec::new();
        for entry in &self.clients {
            if !entry.dirty.swap(false, Ordering::AcqRel) {
                continue;
            }
            for (count, window) in entry.lock().iter_mut().zip(Window::ALL) {
                if count.unsaved > 0 {
                    let used = std::mem::take(&mut count.unsaved);
                    // Until the store answers it counts as known.
                    count.saved += used;
                    taken.push(Usage {
                        client_id: entry.key().to_string(),
                        window: *window,
                        start: count.start,
                        used,
                    });
                }
            }
        }
        taken
    }

    /// What could not be told is unsaved again.
    pub(super) fn give_back(&self, taken: &[Usage]) {
        for usage in taken {
            let counter = self.counter(&usage.client_id);
            let count = &mut counter.lock()[usage.window as usize];
            if count.start == usage.start {
                count.saved = count.saved.saturating_sub(usage.used);
                count.unsaved += usage.used;
                counter.dirty.store(true, Ordering::Release);
            }
        }
    }

    /// What the store knows now, other nodes' tokens included.
    pub(super) fn known(&self, usages: &[Usage], asked: Instant) {
        for usage in usages {
            let counter = self.counter(&usage.client_id);
            let count = &mut counter.lock()[usage.window as usize];
            if usage.start > count.start {
                *count = Count {
                    start: usage.start,
                    saved: usage.used,
                    ..Count::default()
                };
            } else if usage.start == count.start {
                count.saved = count.saved.max(usage.used);
            }
        }
        self.saved.stamp(asked);
    }

    /// Whether tokens of before the start were counted before.
    pub(super) fn was_recalled(&self) -> bool {
        self.recalled.swap(true, Ordering::AcqRel)
    }

    pub(super) fn loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }
}

/// Begins the windows anew that have turned, and says where the client stands in each.
fn turn(counts: &mut [Count; WINDOWS], now: i64) -> [Level; WINDOWS] {
    let mut levels = [Level {
        window: Window::Hour,
        used: 0,
        began_at: 0,
        ends_at: 0,
    }; WINDOWS];
    for ((count, window), level) in counts.iter_mut().zip(Window::ALL).zip(&mut levels) {
        let (began_at, ends_at) = if (count.start..count.end).contains(&now) {
            (count.start, count.end)
        } else {
            let (start, end) = window.around(now);
            if start > count.start {
                *count = Count {
                    start,
                    ..Count::default()
                };
            }
            // Where the clock was set back, the window that was last seen goes on.
            if start == count.start {
                count.end = end;
            }
            (start, end)
        };
        *level = Level {
            window: *window,
            used: count.saved + count.unsaved,
            began_at,
            ends_at,
        };
    }
    levels
}

//! Used quotas and unexpired tokens of all clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::groups::GroupCounts;
use super::recent::{Busiest, RecentCounts};
use super::unexpired::UnexpiredCounts;
use crate::freshness::Freshness;
use oauth2_store::model::{Quotas, Usage, Window};

/// How long counts may stay unsaved before enforced quotas fail.
pub const MAX_UNSAVED: Duration = Duration::from_secs(1);

/// A window that begins this much later than now, seconds, was begun with a clock that was set back since. It does not go on: a client that
/// used it up would wait for it, and tokens of now would not count.
pub(super) const SET_BACK: i64 = 60;

const WINDOWS: usize = Window::ALL.len();

/// The count of one window. Times are Unix seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    start: i64,
    /// When the window ends. Kept, since computing the end of a month takes a calendar.
    end: i64,
    /// The store's count of all nodes as of the last save, including what that save added.
    saved: u64,
    /// Counted here since the last save.
    unsaved: u64,
}

/// A client's usage of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowUsage {
    /// Hour, day or month.
    pub window: Window,
    /// Tokens issued in it.
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

/// A token that is counted before it is issued. Dropping it uncounts the token, unless it was kept.
#[derive(Debug)]
pub struct Reservation {
    counter: Arc<Counter>,
    starts: [i64; WINDOWS],
    kept: bool,
    /// The client's usage, this token included.
    pub usage: [WindowUsage; WINDOWS],
}

impl Reservation {
    /// Keeps the token counted: it was issued.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for (count, start) in self.counter.lock().iter_mut().zip(self.starts) {
            // A window that began meanwhile does not include the token.
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

/// Why a token may not be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaError {
    /// A quota is used up.
    Exceeded {
        /// The client's usage.
        usage: [WindowUsage; WINDOWS],
        /// The end of the last window whose quota is used up, Unix seconds.
        resets_at: i64,
    },
    /// The usage is unknown: it is not loaded yet, or could not be saved for [`MAX_UNSAVED`].
    Unknown,
}

/// The counters of all clients.
#[derive(Debug, Default)]
pub struct Counters {
    clients: DashMap<Arc<str>, Arc<Counter>>,
    pub(super) issued: DashMap<Arc<str>, Arc<IssuedCounter>>,
    loaded: AtomicBool,
    backfill_claimed: AtomicBool,
    saved: Freshness,
    totals: Mutex<ClientTotals>,
    /// Tokens of groups.
    pub groups: GroupCounts,
}

/// The tokens of one client.
#[derive(Debug, Default)]
pub(super) struct IssuedCounts {
    pub(super) unexpired: UnexpiredCounts,
    recent: RecentCounts,
}

#[derive(Debug, Default)]
pub(super) struct IssuedCounter(Mutex<IssuedCounts>);

impl IssuedCounter {
    pub(super) fn lock(&self) -> MutexGuard<'_, IssuedCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Figures over all clients, as of the last sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClientTotals {
    /// Unexpired tokens of all clients.
    pub tokens: u64,
    /// The most unexpired tokens of one client.
    pub largest: u64,
    /// Clients with more unexpired tokens than the threshold.
    pub clients_above_threshold: u64,
    /// Clients that used up a quota of a current window.
    pub clients_over_quota: u64,
    /// Share of the busiest client, and of the ten busiest, in the tokens issued in the last full minute.
    pub busiest_shares: [f64; 2],
}

impl Counters {
    /// Counts a token for a client with quotas. With `enforce` it fails when a quota is used up or the usage is unknown;
    /// without, the second value is whether a quota was used up already.
    pub fn reserve(
        &self,
        client_id: &str,
        quotas: &Quotas,
        enforce: bool,
        now: i64,
    ) -> Result<(Reservation, bool), QuotaError> {
        if !self.loaded.load(Ordering::Acquire) {
            return Err(QuotaError::Unknown);
        }
        let counter = self.counter(client_id);
        let mut counts = counter.lock();
        let usage = roll_over(&mut counts, now);
        let resets_at = usage
            .iter()
            .filter(|usage| usage.window.quota(quotas).is_some_and(|quota| usage.used >= quota))
            .map(|usage| usage.ends_at)
            .max();
        if let (Some(resets_at), true) = (resets_at, enforce) {
            return Err(QuotaError::Exceeded { usage, resets_at });
        }
        let unsaved = counts.iter().any(|count| count.unsaved > 0);
        if enforce && unsaved && !self.saved.is_within(MAX_UNSAVED) {
            return Err(QuotaError::Unknown);
        }
        for count in counts.iter_mut() {
            count.unsaved += 1;
        }
        let (starts, usage) = (
            counts.map(|count| count.start),
            usage.map(|usage| WindowUsage {
                used: usage.used + 1,
                ..usage
            }),
        );
        drop(counts);
        if !unsaved {
            counter.dirty.store(true, Ordering::Release);
        }
        Ok((
            Reservation {
                counter,
                starts,
                kept: false,
                usage,
            },
            resets_at.is_some(),
        ))
    }

    /// Counts tokens that an operator issued; no quota rejects them.
    pub fn add(&self, client_id: &str, tokens: u64, now: i64) {
        let counter = self.counter(client_id);
        let mut counts = counter.lock();
        roll_over(&mut counts, now);
        counts.iter_mut().for_each(|count| count.unsaved += tokens);
        counter.dirty.store(true, Ordering::Release);
    }

    fn counter(&self, client_id: &str) -> Arc<Counter> {
        if let Some(known) = self.clients.get(client_id) {
            return Arc::clone(&known);
        }
        Arc::clone(&self.clients.entry(client_id.into()).or_default())
    }

    /// A client's usage at `now`, Unix seconds.
    pub fn usage(&self, client_id: &str, now: i64) -> [WindowUsage; WINDOWS] {
        match self.clients.get(client_id) {
            Some(counter) => roll_over(&mut counter.lock(), now),
            None => roll_over(&mut [Count::default(); WINDOWS], now),
        }
    }

    /// Tokens per window that this node has counted and not saved.
    pub fn unsaved(&self, client_id: &str) -> [u64; WINDOWS] {
        let known = self.clients.get(client_id);
        known.map_or([0; WINDOWS], |counter| counter.lock().map(|count| count.unsaved))
    }

    /// Counts an issued token as unexpired until `expires_at`. Times are Unix seconds.
    pub fn issued(&self, client_id: &Arc<str>, expires_at: i64, now: i64) {
        let known = self.issued.get(&**client_id).map(|known| Arc::clone(&known));
        let counter = known.unwrap_or_else(|| Arc::clone(&self.issued.entry(Arc::clone(client_id)).or_default()));
        let mut counts = counter.lock();
        counts.unexpired.add(expires_at, 1, now);
        counts.recent.add(now);
    }

    /// Counts unexpired tokens that were issued before this process started.
    pub(super) fn backfill(&self, client_id: &str, expires_at: i64, count: u64, now: i64) {
        let counter = Arc::clone(&self.issued.entry(client_id.into()).or_default());
        counter.lock().unexpired.add(expires_at, count, now);
    }

    /// A client's number of unexpired tokens.
    pub fn unexpired(&self, client_id: &str, now: i64) -> u64 {
        let known = self.issued.get(client_id).map(|known| Arc::clone(&known));
        known.map_or(0, |counter| counter.lock().unexpired.count(now))
    }

    /// Figures over all clients, as of the last sweep.
    pub fn totals(&self) -> ClientTotals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes the totals, and drops clients without recent or unexpired tokens and clients without usage in the current month.
    /// `quotas` are those of a client.
    pub(super) fn sweep(&self, unexpired_threshold: u64, quotas: &dyn Fn(&str) -> Option<Quotas>, now: i64) {
        let (mut totals, mut busiest) = (ClientTotals::default(), Busiest::default());
        self.issued.retain(|_, counter| {
            let mut counts = counter.lock();
            let count = counts.unexpired.count(now);
            busiest.add(counts.recent.last_minute(now));
            totals.tokens += count;
            totals.largest = totals.largest.max(count);
            totals.clients_above_threshold += u64::from(count > unexpired_threshold);
            count > 0 || !counts.recent.is_idle()
        });
        totals.busiest_shares = busiest.shares();
        self.clients.retain(|client_id, counter| {
            let mut counts = counter.lock();
            let dirty = counter.dirty.load(Ordering::Acquire);
            let usage = roll_over(&mut counts, now);
            totals.clients_over_quota += u64::from(quotas(client_id).is_some_and(|quotas| is_used_up(&usage, &quotas)));
            usage.iter().any(|usage| usage.used > 0) || dirty || Arc::strong_count(counter) > 1
        });
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }

    /// Takes the unsaved counts, to save them.
    pub(super) fn take_unsaved(&self) -> Vec<Usage> {
        let mut taken = Vec::new();
        for entry in &self.clients {
            if !entry.dirty.swap(false, Ordering::AcqRel) {
                continue;
            }
            for (count, window) in entry.lock().iter_mut().zip(Window::ALL) {
                if count.unsaved > 0 {
                    let used = std::mem::take(&mut count.unsaved);
                    // Counts as saved until the store replies.
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

    /// Returns counts that could not be saved: they are unsaved again.
    pub(super) fn put_back(&self, unsaved: &[Usage]) {
        for usage in unsaved {
            let counter = self.counter(&usage.client_id);
            let count = &mut counter.lock()[usage.window as usize];
            if count.start == usage.start {
                count.saved = count.saved.saturating_sub(usage.used);
                count.unsaved += usage.used;
                counter.dirty.store(true, Ordering::Release);
            }
        }
    }

    /// Applies the store's counts, which include other nodes' tokens, as of a request sent at `sent`.
    pub(super) fn apply_stored(&self, stored: &[Usage], sent: Instant) {
        for usage in stored {
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
        self.saved.stamp(sent);
    }

    /// Whether the caller is the first to backfill the counts of unexpired tokens, and has to do it.
    pub(super) fn claim_backfill(&self) -> bool {
        !self.backfill_claimed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn set_loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }
}

/// Whether a quota is used up.
fn is_used_up(usage: &[WindowUsage; WINDOWS], quotas: &Quotas) -> bool {
    let exceeds = |usage: &WindowUsage| usage.window.quota(quotas).is_some_and(|quota| usage.used >= quota);
    usage.iter().any(exceeds)
}

/// Resets the counts of windows that have ended, and returns the usage of each current window.
fn roll_over(counts: &mut [Count; WINDOWS], now: i64) -> [WindowUsage; WINDOWS] {
    let mut usages = [WindowUsage {
        window: Window::Hour,
        used: 0,
        began_at: 0,
        ends_at: 0,
    }; WINDOWS];
    for ((count, window), usage) in counts.iter_mut().zip(Window::ALL).zip(&mut usages) {
        let (began_at, ends_at) = if (count.start..count.end).contains(&now) {
            (count.start, count.end)
        } else {
            let (start, end) = window.bounds_at(now);
            // Where the clock was set back by less, the latest window goes on.
            if start > count.start || count.start > now + SET_BACK {
                *count = Count {
                    start,
                    ..Count::default()
                };
            }
            if start == count.start {
                count.end = end;
            }
            (start, end)
        };
        *usage = WindowUsage {
            window: *window,
            used: count.saved + count.unsaved,
            began_at,
            ends_at,
        };
    }
    usages
}

#[cfg(test)]
mod tests;

//! The buffer of failed authentications that are not in the audit log yet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most clients that an aggregate counts by name; failures of other clients are in its total only.
const MAX_NAMED_CLIENTS: usize = 50;

/// One failure with an audit row of its own.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The presented client id, if a client is registered under it.
    pub(super) client_id: Option<String>,
    pub(super) address: IpAddr,
    /// Unix seconds.
    pub(super) at: i64,
}

/// Failures that share one audit row.
#[derive(Debug, Clone, Default)]
pub(super) struct Aggregate {
    /// Failures by client.
    pub(super) clients: BTreeMap<String, u64>,
    /// Failures in total, those without a registered client included.
    pub(super) total: u64,
    /// When the last of them occurred, Unix seconds.
    pub(super) last_at: i64,
}

impl Aggregate {
    fn add(&mut self, client_id: Option<String>, count: u64) {
        self.total += count;
        let Some(id) = client_id else { return };
        if self.clients.contains_key(&id) || self.clients.len() < MAX_NAMED_CLIENTS {
            *self.clients.entry(id).or_default() += count;
        }
    }

    fn merge(&mut self, other: Self) {
        self.total += other.total - other.clients.values().sum::<u64>();
        self.last_at = self.last_at.max(other.last_at);
        for (id, count) in other.clients {
            self.add(Some(id), count);
        }
    }
}

/// The content of one audit row.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Single(Failure),
    Aggregate(Aggregate),
}

#[derive(Debug, Default)]
struct Pending {
    /// The minute (Unix seconds / 60) that `singles` and `aggregate` belong to.
    minute: i64,
    /// Failures of this minute that got a row of their own.
    singles: usize,
    rows: Vec<Failure>,
    aggregate: Aggregate,
}

/// Failed authentications that are recorded but not written yet. Shared by handlers and by all incarnations of the actor.
#[derive(Debug)]
pub struct Failures {
    pending: Mutex<Pending>,
    rows_per_minute: usize,
}

impl Failures {
    /// An empty buffer. The first `rows_per_minute` failures of each minute get rows of their own.
    pub fn new(rows_per_minute: usize) -> Self {
        Self {
            pending: Mutex::default(),
            rows_per_minute,
        }
    }

    /// Records a failure at `now` (Unix seconds). `client_id` is the presented client id if a client is registered under it;
    /// other ids are not kept, since anyone could fill the log with them. Returns whether the failure has a row of its own.
    pub fn record(&self, client_id: Option<&str>, address: IpAddr, now: i64) -> bool {
        let mut pending = self.lock();
        if now / 60 != pending.minute && pending.aggregate.total == 0 {
            (pending.minute, pending.singles) = (now / 60, 0);
        }
        let client_id = client_id.map(str::to_owned);
        if pending.singles < self.rows_per_minute && pending.rows.len() < self.rows_per_minute {
            pending.singles += 1;
            pending.rows.push(Failure {
                client_id,
                address,
                at: now,
            });
            return true;
        }
        pending.aggregate.add(client_id, 1);
        pending.aggregate.last_at = now;
        false
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the rows to write at `now` (Unix seconds): all single failures, and the aggregate of a minute that has ended or,
    /// with `all`, has not.
    pub(super) fn take_due(&self, now: i64, all: bool) -> Vec<Entry> {
        let mut pending = self.lock();
        let rows = std::mem::take(&mut pending.rows);
        let mut entries: Vec<_> = rows.into_iter().map(Entry::Single).collect();
        if pending.aggregate.total > 0 && (all || now / 60 != pending.minute) {
            entries.push(Entry::Aggregate(std::mem::take(&mut pending.aggregate)));
        }
        entries
    }

    /// Returns entries that could not be written, for the next attempt.
    pub(super) fn put_back(&self, entries: &[Entry]) {
        let mut pending = self.lock();
        for entry in entries.iter().cloned() {
            match entry {
                Entry::Single(failure) if pending.rows.len() < self.rows_per_minute => pending.rows.push(failure),
                Entry::Single(failure) => {
                    pending.aggregate.add(failure.client_id, 1);
                    pending.aggregate.last_at = pending.aggregate.last_at.max(failure.at);
                }
                Entry::Aggregate(aggregate) => pending.aggregate.merge(aggregate),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_beyond_the_rate_share_one_row_per_minute() {
        let (failures, address, minute) = (Failures::new(2), IpAddr::from([192, 0, 2, 1]), 600);
        let singles = (0..10)
            .filter(|n| failures.record((n % 2 == 0).then_some("ci"), address, minute))
            .count();
        assert_eq!((singles, failures.take_due(minute, false).len()), (2, 2));
        assert!(
            failures.take_due(minute + 59, false).is_empty(),
            "the minute has not ended"
        );
        let entries = failures.take_due(minute + 60, false);
        assert!(
            matches!(&entries[..], [Entry::Aggregate(Aggregate { total: 8, clients, last_at: 600 })] if clients["ci"] == 4),
            "{entries:?}"
        );
        assert!(
            failures.record(None, address, minute + 61),
            "the next minute has rows again"
        );
        assert!(matches!(
            &failures.take_due(minute + 61, false)[..],
            [Entry::Single(Failure { client_id: None, .. })]
        ));
    }

    #[test]
    fn entries_that_were_put_back_are_still_counted() {
        let (failures, address) = (Failures::new(2), IpAddr::from([192, 0, 2, 1]));
        for minute in 0..3 {
            for _ in 0..5 {
                failures.record(Some("ci"), address, minute * 60);
            }
            let entries = failures.take_due(minute * 60 + 59, minute == 1);
            failures.put_back(&entries);
        }
        let (mut singles, mut total) = (0, 0);
        for entry in failures.take_due(0, true) {
            match entry {
                Entry::Single(_) => singles += 1,
                Entry::Aggregate(aggregate) => {
                    assert_eq!(aggregate.clients["ci"], aggregate.total);
                    total += aggregate.total;
                }
            }
        }
        assert_eq!((singles, total), (2, 13));
    }
}

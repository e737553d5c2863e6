//! The buffer of rejections that are not in the audit log yet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// The most subjects, and the most addresses, that an aggregate counts by name; others are in its total only.
const MAX_NAMED: usize = 50;

/// What was rejected. Each kind has rows and aggregates of its own, so that nobody can hide one kind behind a flood of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// A client that failed to authenticate.
    Client,
    /// A caller of the admin API that is no operator.
    Operator,
    /// A change that an operator requested.
    Change,
}

impl RejectionKind {
    /// Every kind.
    pub(super) const ALL: [Self; 3] = [Self::Client, Self::Operator, Self::Change];

    /// The action of its audit rows.
    pub fn action(self) -> &'static str {
        match self {
            Self::Client => "auth.failed",
            Self::Operator => "operator.rejected",
            Self::Change => "change.rejected",
        }
    }

    /// The member of an aggregate that counts by subject.
    pub(super) fn subjects(self) -> &'static str {
        match self {
            Self::Client | Self::Operator => "clients",
            Self::Change => "actors",
        }
    }
}

/// A rejection with an audit row of its own.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The actor of the row.
    pub actor: String,
    /// The kind of object that the request was about.
    pub target_kind: &'static str,
    /// The object.
    pub target_id: String,
    /// What is known of the request; never a secret.
    pub detail: Value,
}

/// Whom a rejection is counted by where it has no row of its own.
#[derive(Debug, Clone)]
pub struct Source {
    /// The presented client id, if a client is registered under it, or the operator. Other ids are not kept, since anyone could fill
    /// the log with them.
    pub subject: Option<String>,
    /// Where the request came from.
    pub address: IpAddr,
}

/// The content of a row of its own.
#[derive(Debug, Clone)]
pub(super) struct Single {
    pub(super) rejection: Rejection,
    source: Source,
    /// Unix seconds.
    pub(super) at: i64,
}

/// Rejections that share one audit row.
#[derive(Debug, Clone, Default)]
pub(super) struct Aggregate {
    /// Rejections by subject.
    pub(super) subjects: BTreeMap<String, u64>,
    /// Rejections by address.
    pub(super) addresses: BTreeMap<IpAddr, u64>,
    /// Rejections in total, those without a name included.
    pub(super) total: u64,
    /// When the last of them occurred, Unix seconds.
    pub(super) last_at: i64,
}

impl Aggregate {
    fn add(&mut self, source: Source, at: i64) {
        self.total += 1;
        self.last_at = self.last_at.max(at);
        if let Some(subject) = source.subject {
            count(&mut self.subjects, subject, 1);
        }
        count(&mut self.addresses, source.address, 1);
    }

    fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.last_at = self.last_at.max(other.last_at);
        for (subject, rejections) in other.subjects {
            count(&mut self.subjects, subject, rejections);
        }
        for (address, rejections) in other.addresses {
            count(&mut self.addresses, address, rejections);
        }
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, name: K, by: u64) {
    if counts.len() < MAX_NAMED || counts.contains_key(&name) {
        *counts.entry(name).or_default() += by;
    }
}

/// The content of one audit row.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Single(RejectionKind, Single),
    Aggregate(RejectionKind, Aggregate),
}

#[derive(Debug, Default)]
struct Pending {
    /// The minute (Unix seconds / 60) that `singles` and `aggregate` belong to.
    minute: i64,
    /// Rejections of this minute that got a row of their own.
    singles: usize,
    rows: Vec<Single>,
    aggregate: Aggregate,
}

/// Rejections that are recorded but not written yet. Shared by handlers and by all incarnations of the actor.
#[derive(Debug)]
pub struct Failures {
    /// By kind.
    pending: [Mutex<Pending>; RejectionKind::ALL.len()],
    rows_per_minute: usize,
    /// Rows that were taken and are not known to be written.
    writing: AtomicUsize,
}

/// Rows that are being written. They are no longer counted when it is dropped.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    failures: &'a Failures,
    rows: usize,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.failures.writing.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

impl Failures {
    /// An empty buffer. Of each kind, the first `rows_per_minute` rejections of a minute get rows of their own.
    pub fn new(rows_per_minute: usize) -> Self {
        Self {
            pending: Default::default(),
            rows_per_minute,
            writing: AtomicUsize::new(0),
        }
    }

    /// Rows in memory that are not in the store: those of single rejections, one per aggregate, and those being written.
    pub fn backlog(&self) -> usize {
        let pending = RejectionKind::ALL.map(|kind| {
            let pending = self.lock(kind);
            pending.rows.len() + usize::from(pending.aggregate.total > 0)
        });
        pending.iter().sum::<usize>() + self.writing.load(Ordering::Relaxed)
    }

    /// Counts rows that were taken until they are written.
    pub(super) fn writing(&self, rows: usize) -> Writing<'_> {
        self.writing.fetch_add(rows, Ordering::Relaxed);
        Writing { failures: self, rows }
    }

    /// Records a rejection at `now` (Unix seconds). `rejection` is called only if it gets a row of its own. Returns whether it does.
    pub fn record(&self, kind: RejectionKind, source: Source, now: i64, rejection: impl FnOnce() -> Rejection) -> bool {
        let mut pending = self.lock(kind);
        if now / 60 != pending.minute && pending.aggregate.total == 0 {
            (pending.minute, pending.singles) = (now / 60, 0);
        }
        if pending.singles < self.rows_per_minute && pending.rows.len() < self.rows_per_minute {
            pending.singles += 1;
            pending.rows.push(Single {
                rejection: rejection(),
                source,
                at: now,
            });
            return true;
        }
        pending.aggregate.add(source, now);
        false
    }

    fn lock(&self, kind: RejectionKind) -> MutexGuard<'_, Pending> {
        self.pending[kind as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the rows to write at `now` (Unix seconds): all single rejections, and the aggregate of a minute that has ended or,
    /// with `all`, has not.
    pub(super) fn take_due(&self, now: i64, all: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for kind in RejectionKind::ALL {
            let mut pending = self.lock(kind);
            let rows = std::mem::take(&mut pending.rows);
            entries.extend(rows.into_iter().map(|row| Entry::Single(kind, row)));
            if pending.aggregate.total > 0 && (all || now / 60 != pending.minute) {
                entries.push(Entry::Aggregate(kind, std::mem::take(&mut pending.aggregate)));
            }
        }
        entries
    }

    /// Returns entries that could not be written, for the next attempt.
    pub(super) fn put_back(&self, entries: &[Entry]) {
        for entry in entries.iter().cloned() {
            match entry {
                Entry::Single(kind, single) => {
                    let mut pending = self.lock(kind);
                    if pending.rows.len() < self.rows_per_minute {
                        pending.rows.push(single);
                    } else {
                        pending.aggregate.add(single.source, single.at);
                    }
                }
                Entry::Aggregate(kind, aggregate) => self.lock(kind).aggregate.merge(aggregate),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KIND: RejectionKind = RejectionKind::Client;

    fn record(failures: &Failures, kind: RejectionKind, client_id: Option<&str>, now: i64) -> bool {
        let source = Source {
            subject: client_id.map(str::to_owned),
            address: IpAddr::from([192, 0, 2, 1]),
        };
        failures.record(kind, source, now, || Rejection {
            actor: "server".to_owned(),
            target_kind: "issuer",
            target_id: String::new(),
            detail: json!({}),
        })
    }

    #[test]
    fn failures_beyond_the_rate_share_one_row_per_minute() {
        let (failures, minute) = (Failures::new(2), 600);
        let singles = (0..10)
            .filter(|n| record(&failures, KIND, (n % 2 == 0).then_some("ci"), minute))
            .count();
        assert_eq!((singles, failures.take_due(minute, false).len()), (2, 2));
        assert!(
            failures.take_due(minute + 59, false).is_empty(),
            "the minute has not ended"
        );
        let entries = failures.take_due(minute + 60, false);
        assert!(
            matches!(&entries[..], [Entry::Aggregate(KIND, Aggregate { total: 8, subjects, last_at: 600, .. })] if subjects["ci"] == 4),
            "{entries:?}"
        );
        assert!(
            record(&failures, KIND, None, minute + 61),
            "the next minute has rows again"
        );
        assert!(matches!(
            &failures.take_due(minute + 61, false)[..],
            [Entry::Single(KIND, _)]
        ));
    }

    #[test]
    fn a_flood_of_one_kind_takes_no_row_of_another() {
        let failures = Failures::new(2);
        for _ in 0..100 {
            record(&failures, RejectionKind::Client, None, 600);
        }
        assert!(record(&failures, RejectionKind::Operator, None, 600));
        assert!(record(&failures, RejectionKind::Change, Some("admin"), 600));
    }

    #[test]
    fn an_aggregate_names_a_bounded_number_of_sources() {
        let failures = Failures::new(0);
        for n in 0..1000_u32 {
            let source = Source {
                subject: Some(format!("client-{n}")),
                address: IpAddr::from(n.to_be_bytes()),
            };
            failures.record(KIND, source, 600, || unreachable!("there are no rows of their own"));
        }
        let entries = failures.take_due(600, true);
        let [Entry::Aggregate(_, aggregate)] = &entries[..] else {
            panic!("{entries:?}");
        };
        let named = (aggregate.subjects.len(), aggregate.addresses.len());
        assert_eq!((aggregate.total, named), (1000, (MAX_NAMED, MAX_NAMED)));
    }

    #[test]
    fn entries_that_were_put_back_are_still_counted() {
        let failures = Failures::new(2);
        for minute in 0..3 {
            for _ in 0..5 {
                record(&failures, KIND, Some("ci"), minute * 60);
            }
            assert_eq!(failures.backlog(), 3, "two rows, and the aggregate");
            let entries = failures.take_due(minute * 60 + 59, minute == 1);
            failures.put_back(&entries);
        }
        let (mut singles, mut total) = (0, 0);
        for entry in failures.take_due(0, true) {
            match entry {
                Entry::Single(..) => singles += 1,
                Entry::Aggregate(_, aggregate) => {
                    assert_eq!(aggregate.subjects["ci"], aggregate.total);
                    total += aggregate.total;
                }
            }
        }
        assert_eq!((singles, total), (2, 13));
    }
}

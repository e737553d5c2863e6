//! The audit writer.
//!
//! - Owns: failed authentications that are not in the audit log yet. There may be very many of them, and each is somebody else's
//!   doing, so they are not stored one by one past a rate: the first of each minute have rows of their own, the others of that
//!   minute are counted in one row together.
//! - Source of truth: the store, once they are there.
//! - Published: [`Failures`], noted by handlers without a mailbox.
//! - On restart: what was noted before is written by the next life. A process that is told to stop writes all of it; a crash of the
//!   process loses the rows of a second and the sum of a minute.
//! - When the store is away: as many rows as a minute may have are kept, the rest is counted, and written when the store is back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::model::AuditEntry;
use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::when::when;
use crate::store::Store;

/// How often they are written.
const WRITE: Duration = Duration::from_secs(1);

/// Clients that the row of a minute names; the failures of others are in its sum.
const NAMED: usize = 50;

/// One failure that has a row of its own.
#[derive(Debug, Clone)]
struct Row {
    /// The client, if one is registered under the name that was presented.
    client_id: Option<String>,
    address: IpAddr,
    at: i64,
}

/// Failures that share a row.
#[derive(Debug, Clone, Default)]
struct Folded {
    clients: BTreeMap<String, u64>,
    sum: u64,
    /// When the last of them was.
    last: i64,
}

impl Folded {
    fn add(&mut self, client_id: Option<String>, count: u64) {
        self.sum += count;
        let Some(id) = client_id else { return };
        if self.clients.contains_key(&id) || self.clients.len() < NAMED {
            *self.clients.entry(id).or_default() += count;
        }
    }

    fn join(&mut self, other: Self) {
        self.sum += other.sum - other.clients.values().sum::<u64>();
        self.last = self.last.max(other.last);
        for (id, count) in other.clients {
            self.add(Some(id), count);
        }
    }
}

/// What becomes a row of the log.
#[derive(Debug, Clone)]
enum Entry {
    One(Row),
    Many(Folded),
}

#[derive(Debug, Default)]
struct Pending {
    minute: i64,
    kept: usize,
    rows: Vec<Row>,
    folded: Folded,
}

/// What was noted and is not written yet.
#[derive(Debug)]
pub struct Failures {
    pending: Mutex<Pending>,
    most: usize,
}

impl Failures {
    /// Nothing yet; so many a minute will have rows of their own.
    pub fn new(most: usize) -> Self {
        Self {
            pending: Mutex::default(),
            most,
        }
    }

    /// Notes a failure. `client_id` is the client whose name was presented, if there is one; a name that means nothing is not
    /// kept: anybody could fill the log with it. Answers whether it has a row of its own.
    pub fn note(&self, client_id: Option<&str>, address: IpAddr, now: i64) -> bool {
        let mut pending = self.lock();
        if now / 60 != pending.minute && pending.folded.sum == 0 {
            (pending.minute, pending.kept) = (now / 60, 0);
        }
        let client_id = client_id.map(str::to_owned);
        if pending.kept < self.most && pending.rows.len() < self.most {
            pending.kept += 1;
            pending.rows.push(Row {
                client_id,
                address,
                at: now,
            });
            return true;
        }
        pending.folded.add(client_id, 1);
        pending.folded.last = now;
        false
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written now: rows, and the sum of a minute that is over or, at the end of the process, not yet.
    fn take(&self, now: i64, end: bool) -> Vec<Entry> {
        let mut pending = self.lock();
        let mut taken: Vec<_> = std::mem::take(&mut pending.rows).into_iter().map(Entry::One).collect();
        if pending.folded.sum > 0 && (end || now / 60 != pending.minute) {
            taken.push(Entry::Many(std::mem::take(&mut pending.folded)));
        }
        taken
    }

    /// What could not be written, for the next time.
    fn give_back(&self, entries: &[Entry]) {
        let mut pending = self.lock();
        for entry in entries.iter().cloned() {
            match entry {
                Entry::One(row) if pending.rows.len() < self.most => pending.rows.push(row),
                Entry::One(row) => {
                    pending.folded.add(row.client_id, 1);
                    pending.folded.last = pending.folded.last.max(row.at);
                }
                Entry::Many(folded) => pending.folded.join(folded),
            }
        }
    }
}

fn entry(detail: serde_json::Value) -> AuditEntry {
    AuditEntry {
        actor: "server".to_owned(),
        action: "auth.failed",
        detail,
    }
}

/// What the actor is built from, again after each crash.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// What was noted, which outlives the actor.
    pub failures: Arc<Failures>,
    /// The clock, kept to the store's.
    pub clock: Arc<StoreClock>,
    /// Turns true once the schema is there.
    pub prepared: watch::Receiver<bool>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Writes all that was noted: before the process ends.
#[derive(Debug)]
pub struct Flush;

impl Request for Flush {
    type Reply = Result<(), StoreError>;
}

/// The actor.
#[derive(Debug)]
pub struct AuditWriter {
    parts: Parts,
    writing: bool,
    /// Waits for what is being written: that may come back.
    flush: Option<Envelope<Flush>>,
}

impl AuditWriter {
    /// An actor that writes what is noted from now on, and what was noted before.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            writing: false,
            flush: None,
        }
    }

    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.writing {
            return;
        }
        self.writing = true;
        let parts = self.parts.clone();
        let write = async move { write(&parts, false).await };
        ctx.spawn(write.into_actor(self).map(|done, actor, ctx| {
            actor.writing = false;
            if let Err(error) = done {
                tracing::debug!(%error, "failed authentications could not be written to the audit log");
            }
            if let Some(flush) = actor.flush.take() {
                ctx.notify(flush);
            }
        }));
    }
}

async fn write(parts: &Parts, end: bool) -> Result<(), StoreError> {
    let taken = parts.failures.take((parts.clock.unix_ms() / 1000) as i64, end);
    for (done, what) in taken.iter().enumerate() {
        let ((kind, id), detail, at) = match what {
            Entry::One(row) => {
                let target = row.client_id.as_deref().map_or(("issuer", ""), |id| ("client", id));
                (target, json!({"address": row.address}), row.at)
            }
            Entry::Many(folded) => {
                let detail = json!({"failures": folded.sum, "clients": folded.clients});
                (("issuer", ""), detail, folded.last)
            }
        };
        match parts.store.note(&entry(detail), kind, id, at).await {
            Ok(()) => {}
            // It would be refused for ever, and keep all others out.
            Err(StoreError::Conflict(why)) => tracing::error!(why, "a failed authentication is lost to the audit log"),
            Err(error) => {
                parts.failures.give_back(&taken[done..]);
                return Err(error);
            }
        }
    }
    Ok(())
}

impl Actor for AuditWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when(ctx, self.parts.prepared.clone(), |_, ctx| {
            ctx.run_interval(WRITE, Self::write);
        });
    }
}

impl Handler<Envelope<Flush>> for AuditWriter {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Flush>, ctx: &mut Context<Self>) {
        if self.writing {
            self.flush = Some(envelope);
            return;
        }
        let (parts, (Flush, answer)) = (self.parts.clone(), envelope.into_parts());
        let write = async move { answer.send(write(&parts, true).await) };
        ctx.spawn(write.into_actor(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_rate_a_minute_has_one_row() {
        let (failures, address, minute) = (Failures::new(2), IpAddr::from([192, 0, 2, 1]), 600);
        let kept = (0..10)
            .filter(|n| failures.note((n % 2 == 0).then_some("ci"), address, minute))
            .count();
        assert_eq!((kept, failures.take(minute, false).len()), (2, 2));
        assert!(failures.take(minute + 59, false).is_empty(), "the minute is not over");
        let folded = failures.take(minute + 60, false);
        assert!(
            matches!(&folded[..], [Entry::Many(Folded { sum: 8, clients, last: 600 })] if clients["ci"] == 4),
            "{folded:?}"
        );
        assert!(failures.note(None, address, minute + 61), "the next minute begins anew");
        assert!(matches!(
            &failures.take(minute + 61, false)[..],
            [Entry::One(Row { client_id: None, .. })]
        ));
    }

    #[test]
    fn what_could_not_be_written_is_counted_yet() {
        let (failures, address) = (Failures::new(2), IpAddr::from([192, 0, 2, 1]));
        for minute in 0..3 {
            for _ in 0..5 {
                failures.note(Some("ci"), address, minute * 60);
            }
            let taken = failures.take(minute * 60 + 59, minute == 1);
            failures.give_back(&taken);
        }
        let (mut rows, mut sum) = (0, 0);
        for entry in failures.take(0, true) {
            match entry {
                Entry::One(_) => rows += 1,
                Entry::Many(folded) => {
                    assert_eq!(folded.clients["ci"], folded.sum);
                    sum += folded.sum;
                }
            }
        }
        assert_eq!((rows, sum), (2, 13));
    }
}

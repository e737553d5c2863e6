//! The audit writer.
//!
//! - Owns: failed authentications that are not in the audit log yet. There may be very many of them, and each is somebody else's
//!   doing, so they are not stored one by one past a rate: the first of each minute have rows of their own, the others of that
//!   minute are counted in one row together.
//! - Source of truth: the store, once they are there.
//! - Published: [`Failures`], noted by handlers without a mailbox.
//! - On restart: what was noted before is written by the next life. A crash of the process loses a second of it.
//! - When the store is away: what comes meanwhile is counted, not kept.

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
use crate::runtime::when::when;
use crate::store::Store;

/// How often they are written.
const WRITE: Duration = Duration::from_secs(1);

/// Clients that the row of a minute names; the failures of others are in its sum.
const NAMED: usize = 50;

/// One failure that has a row of its own.
#[derive(Debug)]
struct Row {
    /// The client, if one is registered under the name that was presented.
    client_id: Option<String>,
    address: IpAddr,
    at: i64,
}

#[derive(Debug, Default)]
struct Pending {
    minute: i64,
    kept: usize,
    rows: Vec<Row>,
    folded: BTreeMap<String, u64>,
    sum: u64,
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
        if now / 60 != pending.minute && pending.sum == 0 {
            (pending.minute, pending.kept) = (now / 60, 0);
        }
        if pending.kept < self.most {
            pending.kept += 1;
            pending.rows.push(Row {
                client_id: client_id.map(str::to_owned),
                address,
                at: now,
            });
            return true;
        }
        pending.sum += 1;
        if let Some(id) = client_id {
            let known = pending.folded.contains_key(id);
            if known || pending.folded.len() < NAMED {
                *pending.folded.entry(id.to_owned()).or_default() += 1;
            }
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written now: rows, and the sum of a minute that is over.
    fn take(&self, now: i64) -> Vec<(AuditEntry, &'static str, String, i64)> {
        let mut pending = self.lock();
        let rows = std::mem::take(&mut pending.rows).into_iter().map(|row| {
            let detail = json!({"address": row.address});
            let (kind, id) = row.client_id.map_or(("issuer", String::new()), |id| ("client", id));
            (entry(detail), kind, id, row.at)
        });
        let mut taken: Vec<_> = rows.collect();
        if pending.sum > 0 && now / 60 != pending.minute {
            let detail = json!({"failures": pending.sum, "clients": std::mem::take(&mut pending.folded)});
            taken.push((entry(detail), "issuer", String::new(), pending.minute * 60 + 59));
            pending.sum = 0;
        }
        taken
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

/// The actor.
#[derive(Debug)]
pub struct AuditWriter {
    parts: Parts,
    writing: bool,
}

impl AuditWriter {
    /// An actor that writes what is noted from now on, and what was noted before.
    pub fn new(parts: Parts) -> Self {
        Self { parts, writing: false }
    }

    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.writing {
            return;
        }
        self.writing = true;
        let parts = self.parts.clone();
        let write = async move { write(&parts).await };
        ctx.spawn(write.into_actor(self).map(|done, actor, _| {
            actor.writing = false;
            if let Err(error) = done {
                tracing::debug!(%error, "failed authentications could not be written to the audit log");
            }
        }));
    }
}

async fn write(parts: &Parts) -> Result<(), StoreError> {
    for (audit, kind, id, at) in parts.failures.take((parts.clock.unix_ms() / 1000) as i64) {
        parts.store.note(&audit, kind, &id, at).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_rate_a_minute_has_one_row() {
        let (failures, address, minute) = (Failures::new(2), IpAddr::from([192, 0, 2, 1]), 600);
        let kept = (0..10)
            .filter(|n| failures.note((n % 2 == 0).then_some("ci"), address, minute))
            .count();
        assert_eq!((kept, failures.take(minute).len()), (2, 2));
        assert!(failures.take(minute + 59).is_empty(), "the minute is not over");
        let folded = failures.take(minute + 60);
        assert_eq!(folded.len(), 1);
        assert_eq!(folded[0].0.detail, json!({"failures": 8, "clients": {"ci": 4}}));
        assert!(failures.note(None, address, minute + 61), "the next minute begins anew");
        assert_eq!(failures.take(minute + 61)[0].2, "");
    }
}

//! The audit writer: rejections on their way into the audit log, which are part of no change: failed authentications of clients and
//! operators, and rejected changes.
//!
//! - Owns: rejections that are not in the audit log yet. Anyone can cause them at any rate, so only the first of each minute get rows
//!   of their own; the others of that minute are counted in one row per kind.
//! - Source of truth: the store, once they are written.
//! - Published: [`Failures`], to which handlers add without a mailbox.
//! - On restart: the next incarnation writes what was recorded before. A process that stops regularly writes all of it; a
//!   crash of the process loses the rows of one second and the aggregate of one minute.
//! - When full: does not apply to its mailbox. While the store is down, as many rows are kept as a minute may have; further
//!   failures are counted in the aggregate.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::{Map, json};
use tokio::sync::watch;

use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::schedule::{SingleFlight, when_ready};
use oauth2_store::Store;
use oauth2_store::StoreError;
use oauth2_store::model::AuditEntry;

mod failures;

pub use failures::{Failures, Rejection, RejectionKind, Source};

use failures::Entry;

/// Interval of writes.
const WRITE: Duration = Duration::from_secs(1);

/// What each incarnation of the actor is built from.
#[derive(Clone)]
pub struct Deps {
    /// The store.
    pub store: Store,
    /// The buffer, which outlives the actor.
    pub failures: Arc<Failures>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// True once the schema is up to date.
    pub prepared: watch::Receiver<bool>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Writes everything that was recorded, before the process ends.
#[derive(Debug)]
pub struct Flush;

impl Request for Flush {
    type Reply = Result<(), StoreError>;
}

/// The actor.
#[derive(Debug)]
pub struct AuditWriter {
    deps: Deps,
    writing: SingleFlight,
}

impl AuditWriter {
    /// An actor that writes what is in the buffer.
    pub fn new(deps: Deps) -> Self {
        Self {
            deps,
            writing: SingleFlight::default(),
        }
    }

    fn write(&mut self, ctx: &mut Context<Self>) {
        let job = || {
            let deps = self.deps.clone();
            async move { write(&deps, false).await }
        };
        self.writing.run(ctx, job, |written, _, _| {
            if let Err(error) = written {
                tracing::debug!(%error, "rejections could not be written to the audit log");
            }
        });
    }
}

async fn write(deps: &Deps, all: bool) -> Result<(), StoreError> {
    let entries = deps.failures.take_due((deps.clock.unix_ms() / 1000) as i64, all);
    let writing = deps.failures.writing(entries.len());
    for (written, entry) in entries.iter().enumerate() {
        let row = row(entry);
        match deps
            .store
            .record_audit(&row.audit, row.target_kind, row.target_id, row.at)
            .await
        {
            Ok(()) => {}
            // It would fail at every attempt, and block all entries after it.
            Err(error @ (StoreError::Conflict(_) | StoreError::InvalidValue(_))) => {
                tracing::error!(
                    %error,
                    action = row.audit.action,
                    "a rejection is missing in the audit log"
                );
            }
            Err(error) => {
                drop(writing);
                deps.failures.put_back(&entries[written..]);
                return Err(error);
            }
        }
        if let Entry::Aggregate(RejectionKind::Operator, aggregate) = entry {
            tracing::warn!(
                rejections = aggregate.total,
                addresses = ?aggregate.addresses,
                "more requests to the admin API were rejected than are logged one by one"
            );
        }
    }
    Ok(())
}

/// A row of the audit log.
struct Row<'a> {
    audit: AuditEntry,
    target_kind: &'static str,
    target_id: &'a str,
    at: i64,
}

fn row(entry: &Entry) -> Row<'_> {
    match entry {
        Entry::Single(kind, single) => Row {
            audit: AuditEntry {
                actor: single.rejection.actor.clone(),
                action: kind.action(),
                detail: single.rejection.detail.clone(),
            },
            target_kind: single.rejection.target_kind,
            target_id: &single.rejection.target_id,
            at: single.at,
        },
        Entry::Aggregate(kind, aggregate) => {
            let counts = |(address, count): (&IpAddr, &u64)| (address.to_string(), json!(count));
            let addresses: Map<_, _> = aggregate.addresses.iter().map(counts).collect();
            Row {
                audit: AuditEntry {
                    actor: "server".to_owned(),
                    action: kind.action(),
                    detail: json!({
                        "failures": aggregate.total,
                        kind.subjects(): aggregate.subjects,
                        "addresses": addresses,
                    }),
                },
                target_kind: "issuer",
                target_id: "",
                at: aggregate.last_at,
            }
        }
    }
}

impl Actor for AuditWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |_, ctx| {
            ctx.run_interval(WRITE, Self::write);
        });
    }
}

impl Handler<Envelope<Flush>> for AuditWriter {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Flush>, ctx: &mut Context<Self>) {
        let (deps, writing, (Flush, reply)) = (self.deps.clone(), self.writing.clone(), envelope.into_parts());
        let write = async move {
            // A write that fails puts its entries back: wait for it, or they are lost.
            writing.idle().await;
            reply.send(write(&deps, true).await);
        };
        ctx.spawn(write.into_actor(self));
    }
}

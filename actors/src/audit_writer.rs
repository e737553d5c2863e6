//! The audit writer: failed authentications on their way into the audit log.
//!
//! - Owns: failed authentications that are not in the audit log yet. Anyone can cause them at any rate, so only the first of
//!   each minute get rows of their own; the others of that minute are counted in one row.
//! - Source of truth: the store, once they are written.
//! - Published: [`Failures`], to which handlers add without a mailbox.
//! - On restart: the next incarnation writes what was recorded before. A process that stops regularly writes all of it; a
//!   crash of the process loses the rows of one second and the aggregate of one minute.
//! - When full: does not apply to its mailbox. While the store is down, as many rows are kept as a minute may have; further
//!   failures are counted in the aggregate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde_json::json;
use tokio::sync::watch;

use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::schedule::{SingleFlight, when_ready};
use oauth2_store::Store;
use oauth2_store::StoreError;
use oauth2_store::model::AuditEntry;

mod failures;

pub use failures::Failures;

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
                tracing::debug!(%error, "failed authentications could not be written to the audit log");
            }
        });
    }
}

async fn write(deps: &Deps, all: bool) -> Result<(), StoreError> {
    let entries = deps.failures.take_due((deps.clock.unix_ms() / 1000) as i64, all);
    for (written, entry) in entries.iter().enumerate() {
        let ((target_kind, target_id), detail, at) = match entry {
            Entry::Single(failure) => {
                let client_id = failure.client_id.as_deref();
                let target = client_id.map_or(("issuer", ""), |id| ("client", id));
                (target, json!({"address": failure.address}), failure.at)
            }
            Entry::Aggregate(aggregate) => {
                let detail = json!({"failures": aggregate.total, "clients": aggregate.clients});
                (("issuer", ""), detail, aggregate.last_at)
            }
        };
        match deps
            .store
            .record_audit(&audit_entry(detail), target_kind, target_id, at)
            .await
        {
            Ok(()) => {}
            // It would fail at every attempt, and block all entries after it.
            Err(StoreError::Conflict(why)) => {
                tracing::error!(why, "a failed authentication is missing in the audit log");
            }
            Err(error) => {
                deps.failures.put_back(&entries[written..]);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn audit_entry(detail: serde_json::Value) -> AuditEntry {
    AuditEntry {
        actor: "server".to_owned(),
        action: "auth.failed",
        detail,
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

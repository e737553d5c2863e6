//! The token store: group commit to the ledger.
//!
//! - Owns: the queue of ledger entries, and the connection that commits them in groups.
//! - Source of truth: the database.
//! - On restart: the queue is lost; callers whose entry was in it get [`AskError::Crashed`](crate::error::AskError::Crashed).
//! - When full: asks fail at once. When the store is down: replies fail within the writer's own timeouts.
//!
//! A group is all that is queued when the writer becomes free: a lone entry is committed at once, and under load the groups
//! grow by themselves. There is no timer to tune. A token store runs on the thread of the worker that asks it ([`workers`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use crate::runtime::mailbox::{Envelope, ReplySender, Request};
use crate::runtime::schedule::when_ready;
use crate::runtime::spans;
use oauth2_store::StoreError;
use oauth2_store::model::LedgerEntry;
use oauth2_store::{LedgerWriter, Store};

pub mod workers;

/// The most entries of one commit.
const MAX_GROUP: usize = 1024;

/// Commits one entry to the ledger. The reply comes after the commit.
#[derive(Debug)]
pub struct Commit(pub LedgerEntry);

impl Request for Commit {
    type Reply = Result<(), StoreError>;
    const SPAN: &'static str = "wait for commit";
}

/// Whether a token store waits for the database, for metrics. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CommitFlag(Arc<AtomicBool>);

impl CommitFlag {
    /// Whether a commit is in flight.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) -> InFlight<'_> {
        self.0.store(true, Ordering::Relaxed);
        InFlight(self)
    }
}

/// Clears the flag, also when the actor is dropped during a commit.
struct InFlight<'a>(&'a CommitFlag);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// Called after each commit with its number of rows and its duration.
pub type ObserveCommit = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// What each incarnation of the actor is built from.
#[derive(Clone)]
pub struct Deps {
    /// The store.
    pub store: Store,
    /// True once the schema is up to date.
    pub prepared: watch::Receiver<bool>,
    /// Called after each commit.
    pub observe_commit: ObserveCommit,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The actor.
#[derive(Debug)]
pub struct TokenStore {
    deps: Deps,
    queue: Vec<(LedgerEntry, ReplySender<Result<(), StoreError>>)>,
    /// `None` while a group is being committed.
    writer: Option<LedgerWriter>,
    committing: CommitFlag,
}

impl TokenStore {
    /// An actor with an idle writer. `committing` is set during its commits.
    pub fn new(deps: Deps, committing: CommitFlag) -> Self {
        Self {
            queue: Vec::new(),
            committing,
            writer: Some(deps.store.ledger_writer()),
            deps,
        }
    }

    /// Commits the queue if the writer is free. The group is taken when the future is first polled: actix polls it after it has
    /// emptied the mailbox, so all messages that wait there are part of the group.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.queue.is_empty() {
            return;
        }
        let Some(writer) = self.writer.take() else { return };
        let commit = fut::ready(writer)
            .into_actor(self)
            .then(|mut writer, actor: &mut Self, _| {
                let group = actor.take_group();
                let (observe, database) = (Arc::clone(&actor.deps.observe_commit), actor.deps.store.kind());
                let committing = actor.committing.clone();
                async move {
                    let in_flight = committing.set();
                    commit(&mut writer, group, &observe, database).await;
                    drop(in_flight);
                    writer
                }
                .into_actor(actor)
            });
        ctx.spawn(commit.map(Self::resume));
    }

    fn resume(writer: LedgerWriter, actor: &mut Self, ctx: &mut Context<Self>) {
        actor.writer = Some(writer);
        actor.flush(ctx);
    }

    /// Takes the oldest entries, without those whose caller has left.
    fn take_group(&mut self) -> Group {
        let count = self.queue.len().min(MAX_GROUP);
        self.queue
            .drain(..count)
            .filter(|(_, reply)| !reply.is_abandoned())
            .unzip()
    }
}

impl Actor for TokenStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |actor, ctx| {
            // Opens the connection now, so that no request waits for it once the server is ready.
            let Some(mut writer) = actor.writer.take() else { return };
            let prepare = async move {
                writer.prepare().await;
                writer
            };
            ctx.spawn(prepare.into_actor(actor).map(Self::resume));
        });
    }
}

impl Handler<Envelope<Commit>> for TokenStore {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Commit>, ctx: &mut Context<Self>) {
        let (Commit(entry), reply) = envelope.into_parts();
        self.queue.push((entry, reply));
        self.flush(ctx);
    }
}

type Group = (Vec<LedgerEntry>, Vec<ReplySender<Result<(), StoreError>>>);

async fn commit(
    writer: &mut LedgerWriter,
    (entries, mut replies): Group,
    observe: &ObserveCommit,
    database: &'static str,
) {
    if entries.is_empty() {
        return;
    }
    let mut span = spans::linked("commit tokens", replies.iter().map(ReplySender::span));
    span.set(
        "db.system.name",
        if database == "postgres" { "postgresql" } else { database },
    );
    span.set("db.operation.batch.size", entries.len() as i64);
    for reply in &mut replies {
        reply.span_mut().link(&span);
    }
    let started = Instant::now();
    let done = writer.commit(&entries).await;
    observe(entries.len(), started.elapsed());
    if let Err(error) = &done {
        span.fail(class(error));
    }
    drop(span);
    match done {
        // The store rejected the group. One entry may be at fault: commit each by itself, so that the others do not fail with it.
        Err(StoreError::Conflict(_) | StoreError::InvalidValue(_) | StoreError::Corrupt(_)) if entries.len() > 1 => {
            for (entry, reply) in entries.iter().zip(replies) {
                if reply.is_abandoned() {
                    continue;
                }
                reply.send(writer.commit(std::slice::from_ref(entry)).await);
            }
        }
        done => replies.into_iter().for_each(|reply| reply.send(done.clone())),
    }
}

/// The `error.type` of a span.
fn class(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Timeout => "timeout",
        StoreError::NotWritable(_) | StoreError::Denied(_) => "not_writable",
        StoreError::InvalidValue(_) => "invalid_value",
        StoreError::Conflict(_) => "conflict",
        StoreError::Corrupt(_) => "corrupt",
    }
}

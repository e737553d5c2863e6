//! The recorder.
//!
//! - Owns: the tokens that wait to be recorded in the ledger, and the connection they go through. They are committed in groups.
//! - Source of truth: the database.
//! - On restart: callers whose token died with the actor are told so.
//! - When full: callers are refused at once. When the store is down: they are told within the writer's own bounds.
//!
//! A group is whatever waits when the writer becomes free: a lone token is committed at once, and under load the groups grow
//! by themselves. There is no timer to tune. A recorder lives on the thread of the worker that asks it ([`Recorders`]).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::model::TokenRecord;
use crate::runtime::mailbox::{Answer, Envelope, Request};
use crate::runtime::when::when;
use crate::store::{LedgerWriter, Store};

mod workers;

pub use workers::Recorders;

/// The most tokens that one commit takes.
const LARGEST_BATCH: usize = 1024;

/// Records one token. Answered after the commit.
#[derive(Debug)]
pub struct Record(pub TokenRecord);

impl Request for Record {
    type Reply = Result<(), StoreError>;
}

/// Called after each commit with the number of rows and the time it took.
pub type ObserveCommit = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// What the actor is built from, again after each crash.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Turns true once the schema is there.
    pub prepared: watch::Receiver<bool>,
    /// Told of each commit.
    pub observe_commit: ObserveCommit,
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
pub struct Recorder {
    parts: Parts,
    queue: Vec<(TokenRecord, Answer<Result<(), StoreError>>)>,
    /// `None` while it commits a group.
    writer: Option<LedgerWriter>,
}

impl Recorder {
    /// An actor with an idle writer.
    pub fn new(parts: Parts) -> Self {
        Self {
            queue: Vec::new(),
            writer: Some(parts.store.ledger_writer()),
            parts,
        }
    }

    /// Commits what waits, if the writer is free. The group is taken when the future is first polled: actix polls it after
    /// the mailbox has been emptied, so everything that waits there comes along.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.queue.is_empty() {
            return;
        }
        let Some(writer) = self.writer.take() else { return };
        let commit = fut::ready(writer)
            .into_actor(self)
            .then(|mut writer, actor: &mut Self, _| {
                let group = actor.take_group();
                let observe = Arc::clone(&actor.parts.observe_commit);
                async move {
                    commit(&mut writer, group, &observe).await;
                    writer
                }
                .into_actor(actor)
            });
        ctx.spawn(commit.map(Self::go_on));
    }

    fn go_on(writer: LedgerWriter, actor: &mut Self, ctx: &mut Context<Self>) {
        actor.writer = Some(writer);
        actor.flush(ctx);
    }

    /// The oldest tokens that still have somebody waiting for them.
    fn take_group(&mut self) -> Group {
        let count = self.queue.len().min(LARGEST_BATCH);
        self.queue
            .drain(..count)
            .filter(|(_, answer)| !answer.is_abandoned())
            .unzip()
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when(ctx, self.parts.prepared.clone(), |actor, ctx| {
            // So that nobody who was told that the server is ready waits for a connection to be opened.
            let Some(mut writer) = actor.writer.take() else { return };
            let prepare = async move {
                writer.prepare().await;
                writer
            };
            ctx.spawn(prepare.into_actor(actor).map(Self::go_on));
        });
    }
}

impl Handler<Envelope<Record>> for Recorder {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Record>, ctx: &mut Context<Self>) {
        let (Record(record), answer) = envelope.into_parts();
        self.queue.push((record, answer));
        self.flush(ctx);
    }
}

type Group = (Vec<TokenRecord>, Vec<Answer<Result<(), StoreError>>>);

async fn commit(writer: &mut LedgerWriter, (records, answers): Group, observe: &ObserveCommit) {
    if records.is_empty() {
        return;
    }
    let started = Instant::now();
    let done = writer.commit(&records).await;
    observe(records.len(), started.elapsed());
    match done {
        // The store refused what it was given: one row may be at fault, and the others must not pay for it.
        Err(StoreError::Conflict(_) | StoreError::Corrupt(_)) if records.len() > 1 => {
            for (record, answer) in records.iter().zip(answers) {
                if answer.is_abandoned() {
                    continue;
                }
                answer.send(writer.commit(std::slice::from_ref(record)).await);
            }
        }
        done => answers.into_iter().for_each(|answer| answer.send(done.clone())),
    }
}

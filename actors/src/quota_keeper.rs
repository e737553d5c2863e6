//! The quota keeper.
//!
//! - Owns: how many tokens each client that has a quota was issued in the present hour, day and month, and how many tokens of
//!   each client are still valid.
//! - Source of truth: the store's `quota_usage`, which is told each [`SAVE`] what was counted since, and answers what all nodes
//!   counted. Tokens that are still valid are counted from the ledger at the start; stateless ones of before are not known.
//! - Published: [`Counters`], counted on by handlers without a mailbox.
//! - On restart: the counters are those of the life before. Of the process: a crash loses what was not saved yet.
//! - When the store is away: clients whose quota is enforced are refused once [`UNSAVED`] has passed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::model::{MOST_EXPIRING, Window};
use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::when::when;
use crate::store::Store;

mod counters;
mod valid;

pub use counters::{Counters, Level, Refused, Reserved, UNSAVED};

/// How often the store is told.
const SAVE: Duration = Duration::from_millis(250);

/// How often all clients are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// How often windows that are long over are forgotten, and from when on they are: a month is over after 31 days.
const FORGET: Duration = Duration::from_hours(24);
const OVER: i64 = 32 * 86_400;

/// Tries to count the tokens of before, and the pause between them.
const RECALLS: u32 = 5;
const RECALL_PAUSE: Duration = Duration::from_secs(10);

/// Rows that the store is told at a time.
const CHUNK: usize = 3000;

/// What the actor is built from, again after each crash.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// The counters, which outlive the actor.
    pub counters: Arc<Counters>,
    /// The clock, kept to the store's.
    pub clock: Arc<StoreClock>,
    /// Turns true once the schema is there.
    pub prepared: watch::Receiver<bool>,
    /// A client with more valid tokens than this does not keep them.
    pub hoard: u64,
    /// Told how long a save took, and whether it was done.
    pub observe_save: Arc<dyn Fn(Duration, bool) + Send + Sync>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Tells the store at once what it does not know yet: before the process ends.
#[derive(Debug)]
pub struct Save;

impl Request for Save {
    type Reply = Result<(), StoreError>;
}

/// The actor.
#[derive(Debug)]
pub struct QuotaKeeper {
    parts: Parts,
    saving: bool,
}

impl QuotaKeeper {
    /// An actor over the counters of the lives before.
    pub fn new(parts: Parts) -> Self {
        Self { parts, saving: false }
    }

    fn now(&self) -> i64 {
        (self.parts.clock.unix_ms() / 1000) as i64
    }

    /// Reads what was used before, again and again until it can be read.
    fn load(&self, ctx: &mut Context<Self>) {
        let parts = self.parts.clone();
        let load = async move {
            while let Err(error) = load(&parts).await {
                tracing::debug!(%error, "used quotas could not be read");
                tokio::time::sleep(SAVE).await;
            }
        };
        ctx.spawn(load.into_actor(self));
    }

    /// Counts the tokens of before that are still valid, once: figures for people, which nothing waits for.
    fn recall(&self, ctx: &mut Context<Self>) {
        if self.parts.counters.was_recalled() {
            return;
        }
        let (parts, now, started) = (self.parts.clone(), self.now(), self.parts.clock.unix_ms());
        let recall = async move {
            for attempt in 1..=RECALLS {
                match parts.store.expiring_tokens(now, started).await {
                    Ok(tokens) => {
                        if tokens.len() >= MOST_EXPIRING {
                            tracing::warn!(
                                counted = tokens.len(),
                                "not all tokens of before the start are counted as still valid"
                            );
                        }
                        for token in tokens {
                            parts
                                .counters
                                .expiring(&token.client_id, token.expires_at, token.count, now);
                        }
                        return;
                    }
                    Err(error) if attempt == RECALLS => {
                        tracing::warn!(%error, "tokens of before the start are not counted as still valid");
                    }
                    Err(_) => tokio::time::sleep(RECALL_PAUSE).await,
                }
            }
        };
        ctx.spawn(recall.into_actor(self));
    }

    fn forget(&self, ctx: &mut Context<Self>) {
        let (store, before) = (self.parts.store.clone(), self.now() - OVER);
        let forget = async move {
            if let Err(error) = store.purge_quota_usage(before).await {
                tracing::warn!(%error, "used quotas of windows that are over could not be forgotten");
            }
        };
        ctx.spawn(forget.into_actor(self));
    }

    fn save(&mut self, ctx: &mut Context<Self>) {
        if self.saving {
            return;
        }
        self.saving = true;
        let parts = self.parts.clone();
        let save = async move { save(&parts).await };
        ctx.spawn(save.into_actor(self).map(|done, actor, _| {
            actor.saving = false;
            if let Err(error) = done {
                tracing::debug!(%error, "used quotas could not be saved");
            }
        }));
    }
}

async fn load(parts: &Parts) -> Result<(), StoreError> {
    let mut after: Option<(String, Window)> = None;
    loop {
        let asked = Instant::now();
        let from = after.as_ref().map(|(client_id, window)| (client_id.as_str(), *window));
        let page = parts.store.quota_usage(from, CHUNK).await?;
        parts.counters.known(&page, asked);
        match page.last() {
            Some(last) if page.len() >= CHUNK => after = Some((last.client_id.clone(), last.window)),
            _ => break,
        }
    }
    parts.counters.loaded();
    Ok(())
}

async fn save(parts: &Parts) -> Result<(), StoreError> {
    let asked = Instant::now();
    let taken = parts.counters.take_unsaved();
    if taken.is_empty() {
        parts.counters.known(&[], asked);
        return Ok(());
    }
    for (done, chunk) in taken.chunks(CHUNK).enumerate() {
        let saved = parts.store.add_quota_usage(chunk).await;
        (parts.observe_save)(asked.elapsed(), saved.is_ok());
        match saved {
            Ok(known) => parts.counters.known(&known, asked),
            Err(error) => {
                parts.counters.give_back(&taken[done * CHUNK..]);
                return Err(error);
            }
        }
    }
    Ok(())
}

impl Actor for QuotaKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when(ctx, self.parts.prepared.clone(), |actor, ctx| {
            actor.load(ctx);
            actor.recall(ctx);
            actor.forget(ctx);
            ctx.run_interval(SAVE, Self::save);
            ctx.run_interval(FORGET, |actor, ctx| actor.forget(ctx));
            ctx.run_interval(SWEEP, |actor, _| {
                actor.parts.counters.sweep(actor.parts.hoard, actor.now());
            });
        });
    }
}

impl Handler<Envelope<Save>> for QuotaKeeper {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Save>, ctx: &mut Context<Self>) {
        let (parts, (Save, answer)) = (self.parts.clone(), envelope.into_parts());
        let save = async move { answer.send(save(&parts).await) };
        ctx.spawn(save.into_actor(self));
    }
}

//! The quota keeper: how many tokens clients use of their quotas, and how many of their tokens are unexpired.
//!
//! - Owns: the tokens issued per client with a quota in the current hour, day and month, the unexpired tokens per client, and the tokens
//!   issued per group of clients ([`GroupCounts`]).
//! - Source of truth: the store's `quota_usage`. Each save, every 250 ms, adds to it what was counted since and returns the
//!   counts of all nodes. Where nodes share a store, enforced quotas are leased from it before tokens are issued ([`QuotaLeases`]).
//!   Unexpired tokens are counted from the ledger at the start; earlier stateless tokens are not in it.
//! - Published: [`Counters`], on which handlers count without a mailbox.
//! - On restart: the counters are kept. A crash of the process loses the counts since the last save.
//! - When full: does not apply to its mailbox. While the store is down, enforced quotas fail once counts have been unsaved for
//!   [`MAX_UNSAVED`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::schedule::{SingleFlight, when_ready};
use oauth2_store::Store;
use oauth2_store::StoreError;
use oauth2_store::model::{MAX_EXPIRING_ROWS, Quotas, Window};

mod counters;
mod groups;
mod lease;
mod leases;
mod recent;
mod top;
mod unexpired;

pub use counters::{ClientTotals, Counters, MAX_UNSAVED, QuotaError, Reservation, WindowUsage};
pub use groups::GroupCounts;
pub use lease::LeasedToken;
use leases::IDLE;
pub use leases::QuotaLeases;

/// Interval of saves.
const SAVE: Duration = Duration::from_millis(250);

/// Interval at which totals are computed and idle clients dropped.
const SWEEP: Duration = Duration::from_secs(5);

/// Interval at which old windows are purged.
const PURGE: Duration = Duration::from_hours(24);

/// Age in seconds, from its start, at which a window is purged: a month has ended after 31 days.
const PURGE_AFTER: i64 = 32 * 86_400;

/// Attempts to backfill the counts of unexpired tokens, and the pause between them.
const BACKFILL_ATTEMPTS: u32 = 5;
const BACKFILL_PAUSE: Duration = Duration::from_secs(10);

/// Rows per statement.
const CHUNK: usize = 3000;

/// Finds the quotas of a client, if it has any.
pub type QuotasOf = Arc<dyn Fn(&str) -> Option<Quotas> + Send + Sync>;

/// What each incarnation of the actor is built from.
#[derive(Clone)]
pub struct Deps {
    /// The store.
    pub store: Store,
    /// The counters, which outlive the actor.
    pub counters: Arc<Counters>,
    /// The leases of enforced quotas, where nodes share the store.
    pub leases: Option<Arc<QuotaLeases>>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// True once the schema is up to date.
    pub prepared: watch::Receiver<bool>,
    /// A client with more unexpired tokens than this is counted as one that does not cache them.
    pub unexpired_threshold: u64,
    /// Called after each save with its duration and whether it succeeded.
    pub observe_save: Arc<dyn Fn(Duration, bool) + Send + Sync>,
    /// The quotas of a client, if it has any.
    pub quotas: QuotasOf,
}

impl Deps {
    async fn save(&self) -> Result<(), StoreError> {
        save(&self.store, &self.counters, &self.clock, &*self.observe_save).await
    }

    /// Asks the store for the leases that requests wait for, all at once, again and again.
    async fn lease(&self, leases: &QuotaLeases) {
        leases.begin_again();
        loop {
            leases.are_wanted().await;
            loop {
                let Some(_permit) = leases.permit().await else { return };
                let requests = leases.requests(CHUNK / Window::ALL.len());
                if requests.is_empty() {
                    break;
                }
                // Tokens that were counted without a lease count too.
                let saved = save_quotas(&self.store, &self.counters, &*self.observe_save).await;
                let granted = match saved {
                    Ok(()) => self.store.lease_quota(&requests).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = &granted {
                    tracing::debug!(%error, "quotas could not be leased");
                }
                leases.apply(&requests, granted.as_deref().ok());
            }
        }
    }

    /// Returns leases that are idle or, at the end, all. What a statement that failed was to return counts as used: it may have been
    /// returned, and a quota must not be exceeded.
    async fn give_back(&self, all: bool) -> Result<(), StoreError> {
        let Some(leases) = &self.leases else { return Ok(()) };
        // Nothing is tried while the store is away.
        self.store.ping().await?;
        let now = (self.clock.unix_ms() / 1000) as i64;
        let mut returns = leases.take_returns(all, now);
        while !returns.is_empty() {
            let rest = returns.split_off(returns.len().min(CHUNK));
            let returned = self.store.return_quota(&returns).await;
            if returned.is_err() {
                leases.put_back(rest);
                return returned;
            }
            returns = rest;
        }
        Ok(())
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Saves all unsaved counts now, before the process ends.
#[derive(Debug)]
pub struct Save;

impl Request for Save {
    type Reply = Result<(), StoreError>;
}

/// The actor.
#[derive(Debug)]
pub struct QuotaKeeper {
    deps: Deps,
    saving: SingleFlight,
    returning: SingleFlight,
}

impl QuotaKeeper {
    /// An actor over the counters of earlier incarnations.
    pub fn new(deps: Deps) -> Self {
        Self {
            deps,
            saving: SingleFlight::default(),
            returning: SingleFlight::default(),
        }
    }

    fn now(&self) -> i64 {
        (self.deps.clock.unix_ms() / 1000) as i64
    }

    /// Loads the saved counts, and retries until that succeeds.
    fn load(&self, ctx: &mut Context<Self>) {
        let deps = self.deps.clone();
        let load = async move {
            while let Err(error) = load(&deps).await {
                tracing::debug!(%error, "used quotas could not be loaded");
                tokio::time::sleep(SAVE).await;
            }
        };
        ctx.spawn(load.into_actor(self));
    }

    /// Counts the unexpired tokens that were issued before the process started, once per process. Nothing waits for it: the
    /// counts are figures for operators.
    fn backfill_unexpired_counts(&self, ctx: &mut Context<Self>) {
        if !self.deps.counters.claim_backfill() {
            return;
        }
        let (deps, now, started_ms) = (self.deps.clone(), self.now(), self.deps.clock.unix_ms());
        let backfill = async move {
            for attempt in 1..=BACKFILL_ATTEMPTS {
                match deps.store.expiring_tokens(now, started_ms).await {
                    Ok(tokens) => {
                        if tokens.len() >= MAX_EXPIRING_ROWS {
                            tracing::warn!(
                                counted = tokens.len(),
                                "only part of the unexpired tokens issued before the start is counted"
                            );
                        }
                        for token in tokens {
                            deps.counters
                                .backfill(&token.client_id, token.expires_at, token.count, now);
                        }
                        return;
                    }
                    Err(error) if attempt == BACKFILL_ATTEMPTS => {
                        tracing::warn!(%error, "unexpired tokens issued before the start are not counted");
                    }
                    Err(_) => tokio::time::sleep(BACKFILL_PAUSE).await,
                }
            }
        };
        ctx.spawn(backfill.into_actor(self));
    }

    fn purge(&self, ctx: &mut Context<Self>) {
        let (store, now) = (self.deps.store.clone(), self.now());
        let purge = async move {
            if let Err(error) = store.purge_quota_usage(now - PURGE_AFTER).await {
                tracing::warn!(%error, "quota usage of old windows could not be purged");
            }
            if let Err(error) = store.purge_group_usage(now - groups::RETENTION).await {
                tracing::warn!(%error, "old usage of groups could not be purged");
            }
        };
        ctx.spawn(purge.into_actor(self));
    }

    fn give_back(&mut self, ctx: &mut Context<Self>) {
        let job = || {
            let deps = self.deps.clone();
            async move { deps.give_back(false).await }
        };
        self.returning.run(ctx, job, |returned, _, _| {
            if let Err(error) = returned {
                tracing::debug!(%error, "leases of quotas could not be returned");
            }
        });
    }

    fn save(&mut self, ctx: &mut Context<Self>) {
        let job = || {
            let deps = self.deps.clone();
            async move { deps.save().await }
        };
        self.saving.run(ctx, job, |saved, _, _| {
            if let Err(error) = saved {
                tracing::debug!(%error, "used quotas could not be saved");
            }
        });
    }
}

async fn load(deps: &Deps) -> Result<(), StoreError> {
    let mut after: Option<(String, Window)> = None;
    loop {
        let sent = Instant::now();
        let from = after.as_ref().map(|(client_id, window)| (client_id.as_str(), *window));
        let page = deps.store.quota_usage(from, CHUNK).await?;
        deps.counters.apply_stored(&page, sent);
        match page.last() {
            Some(last) if page.len() >= CHUNK => after = Some((last.client_id.clone(), last.window)),
            _ => break,
        }
    }
    deps.counters.set_loaded();
    Ok(())
}

/// Saves the unsaved counts. `observe` is called per statement on quotas with the time since the start and whether it succeeded.
pub async fn save(
    store: &Store,
    counters: &Counters,
    clock: &StoreClock,
    observe: impl Fn(Duration, bool),
) -> Result<(), StoreError> {
    let saved = save_quotas(store, counters, observe).await;
    saved.and(counters.groups.save(store, clock.unix_ms()).await)
}

async fn save_quotas(store: &Store, counters: &Counters, observe: impl Fn(Duration, bool)) -> Result<(), StoreError> {
    let sent = Instant::now();
    let unsaved = counters.take_unsaved();
    if unsaved.is_empty() {
        counters.apply_stored(&[], sent);
        return Ok(());
    }
    for (done, chunk) in unsaved.chunks(CHUNK).enumerate() {
        let saved = store.add_quota_usage(chunk).await;
        observe(sent.elapsed(), saved.is_ok());
        match saved {
            Ok(stored) => counters.apply_stored(&stored, sent),
            Err(error) => {
                counters.put_back(&unsaved[done * CHUNK..]);
                return Err(error);
            }
        }
    }
    Ok(())
}

impl Actor for QuotaKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |actor, ctx| {
            actor.load(ctx);
            actor.backfill_unexpired_counts(ctx);
            actor.purge(ctx);
            ctx.run_interval(SAVE, Self::save);
            if let Some(leases) = actor.deps.leases.clone() {
                let deps = actor.deps.clone();
                ctx.spawn(async move { deps.lease(&leases).await }.into_actor(actor));
                ctx.run_interval(IDLE, Self::give_back);
            }
            ctx.run_interval(PURGE, |actor, ctx| actor.purge(ctx));
            ctx.run_interval(SWEEP, |actor, _| {
                let deps = &actor.deps;
                deps.counters
                    .sweep(deps.unexpired_threshold, &*deps.quotas, actor.now());
            });
        });
    }
}

impl Handler<Envelope<Save>> for QuotaKeeper {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Save>, ctx: &mut Context<Self>) {
        let (deps, (Save, reply)) = (self.deps.clone(), envelope.into_parts());
        let (saving, returning) = (self.saving.clone(), self.returning.clone());
        let save = async move {
            // A save that fails puts its counts back: wait for it, or they are lost.
            saving.idle().await;
            returning.idle().await;
            if let Some(leases) = &deps.leases {
                leases.close().await;
            }
            let saved = deps.save().await;
            let returned = deps.give_back(true).await;
            reply.send(saved.and(returned));
        };
        ctx.spawn(save.into_actor(self));
    }
}

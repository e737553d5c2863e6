//! The token store.
//!
//! - Owns: the way into the store for every verb but the recording of tokens ([`Call`]; that is the
//!   [`recorder`](crate::recorder)). It keeps the [`Directory`] of clients and keys true, and does the store's upkeep.
//! - Source of truth: the database.
//! - On restart: callers whose message died with the actor are told so; the directory is loaded again.
//! - When full: callers are refused at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use crate::directory::Directory;
use crate::error::StoreError;
use crate::freshness::STALENESS_BUDGET;
use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::when::when;
use crate::store::{LogPosition, Maintenance, Store};

mod handle;

pub use handle::TokenStoreHandle;

/// How often changes of clients and keys are looked for.
const REFRESH: Duration = Duration::from_millis(250);

/// Pause before a change that was made is looked for again.
const RETRY: Duration = Duration::from_millis(25);

/// How often partitions are made and expired rows cleared.
const UPKEEP: Duration = Duration::from_mins(1);

type Verb<T> = Box<dyn FnOnce(Store) -> Pin<Box<dyn Future<Output = Result<T, StoreError>>>> + Send>;

/// Runs any other verb of the store.
pub struct Call<T> {
    verb: Verb<T>,
    changes_directory: bool,
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("changes_directory", &self.changes_directory)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Request for Call<T> {
    type Reply = Result<T, StoreError>;
}

/// What the actor makes known of its upkeep.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// Partitions that exist, the default one not counted.
    pub partitions: AtomicU64,
    /// Rows in the default partition.
    pub default_partition_rows: AtomicU64,
}

/// What the actor is built from, again after each crash.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// What to keep true.
    pub directory: Arc<Directory>,
    /// Turns true once the schema and the keys are there.
    pub prepared: watch::Receiver<bool>,
    /// The server's default token lifetime, seconds.
    pub default_lifetime: u32,
    /// The clock, kept to the store's.
    pub clock: Arc<StoreClock>,
    /// What is made known.
    pub upkeep: Arc<Upkeep>,
    /// Days that audit rows are kept; `None` = for ever.
    pub audit_days: Option<u32>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The store has not answered a refresh since then.
#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Whether the log says so.
    told: bool,
}

/// The actor.
#[derive(Debug)]
pub struct TokenStore {
    parts: Parts,
    position: Option<LogPosition>,
    refreshing: bool,
    outage: Option<Outage>,
    kept_up: Option<(Instant, u32)>,
    upkeep_running: bool,
}

impl TokenStore {
    /// An actor with nothing loaded.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            position: None,
            refreshing: false,
            outage: None,
            kept_up: None,
            upkeep_running: false,
        }
    }

    fn refresh(&mut self, ctx: &mut Context<Self>) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let (parts, from) = (self.parts.clone(), self.position);
        let refresh = async move {
            let position = parts.directory.refresh(&parts.store, from).await?;
            let sent = parts.clock.local_ms();
            parts.clock.observe(parts.store.ping().await?, sent);
            Ok(position)
        };
        ctx.spawn(refresh.into_actor(self).map(|position, actor, ctx| {
            actor.refreshing = false;
            match position {
                Ok(position) => {
                    actor.position = Some(position);
                    if actor.outage.take().is_some_and(|outage| outage.told) {
                        tracing::info!("the store is back");
                    }
                }
                Err(error) => actor.complain(&error),
            }
            actor.keep_up(ctx);
        }));
    }

    /// Says once, not at every attempt, that the store is out of reach for long enough to matter.
    fn complain(&mut self, error: &StoreError) {
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: Instant::now(),
            told: false,
        });
        if !outage.told && outage.since.elapsed() >= STALENESS_BUDGET {
            outage.told = true;
            tracing::warn!(%error, "clients and keys cannot be refreshed, so introspection is refused");
        }
        tracing::debug!(%error, "clients and keys could not be refreshed");
    }

    /// Does the store's upkeep when it is due, or when tokens may now live longer than partitions were made for.
    fn keep_up(&mut self, ctx: &mut Context<Self>) {
        let horizon = self.parts.directory.longest_lifetime().max(self.parts.default_lifetime);
        let due = self
            .kept_up
            .is_none_or(|(at, reached)| at.elapsed() >= UPKEEP || horizon > reached);
        // With a clock that is wrong, nothing can be told to have expired.
        if !due || self.upkeep_running || self.position.is_none() || !self.parts.clock.is_right() {
            return;
        }
        self.upkeep_running = true;
        let (store, now) = (self.parts.store.clone(), (self.parts.clock.unix_ms() / 1000) as i64);
        let audit_before = self.parts.audit_days.map(|days| now - i64::from(days) * 86_400);
        let work = async move {
            if let Some(before) = audit_before {
                store.purge_audit(before).await?;
            }
            store.maintain(now, horizon.into()).await
        };
        ctx.spawn(work.into_actor(self).map(move |done, actor, _| {
            actor.upkeep_running = false;
            actor.kept_up = Some((Instant::now(), horizon));
            match done {
                Ok(done) => actor.report(&done),
                Err(error) => tracing::warn!(%error, "the store's upkeep did not finish"),
            }
        }));
    }

    fn report(&self, done: &Maintenance) {
        self.parts
            .upkeep
            .partitions
            .store(done.partitions.into(), Ordering::Relaxed);
        self.parts
            .upkeep
            .default_partition_rows
            .store(done.default_partition_rows, Ordering::Relaxed);
        if (Maintenance {
            partitions: 0,
            default_partition_rows: 0,
            ..*done
        }) != Maintenance::default()
        {
            tracing::info!(?done, "store upkeep");
        }
    }
}

impl Actor for TokenStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when(ctx, self.parts.prepared.clone(), |actor, ctx| {
            actor.refresh(ctx);
            ctx.run_interval(REFRESH, Self::refresh);
        });
    }
}

impl<T: Send + 'static> Handler<Envelope<Call<T>>> for TokenStore {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Call<T>>, ctx: &mut Context<Self>) {
        if envelope.is_abandoned() {
            return;
        }
        let (call, mut answer) = envelope.into_parts();
        let (store, directory, from) = (
            self.parts.store.clone(),
            Arc::clone(&self.parts.directory),
            self.position,
        );
        ctx.spawn(
            async move {
                // Nobody is told of what is done after the caller left, so it is not done.
                let Some(done) = answer.while_awaited((call.verb)(store.clone())).await else {
                    return;
                };
                if call.changes_directory && done.is_ok() {
                    // The change is made, but whoever made it may use it at once, here: they are told when it can be used.
                    while directory.refresh(&store, from).await.is_err() && !answer.is_abandoned() {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                answer.send(done);
            }
            .into_actor(self),
        );
    }
}

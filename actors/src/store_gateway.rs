//! The store gateway: access to the store for request handlers.
//!
//! - Owns: the execution of every verb of the store but inserts of issued tokens ([`Call`]), the refresh of the [`Directory`] of
//!   clients and keys, the store's maintenance, the probe of its writes, and the checks of its replica.
//! - Source of truth: the database.
//! - On restart: calls in the mailbox fail with [`AskError::Crashed`](crate::error::AskError::Crashed); the directory is loaded
//!   again.
//! - When full: asks fail at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::fut::wrap_stream;
use actix::prelude::*;
use arc_swap::ArcSwap;
use futures_util::stream;
use tokio::sync::watch;

use crate::directory::Directory;
use crate::freshness::STALENESS_BUDGET;
use crate::runtime::clock::{Clock, IdClock, Reservation, StoreClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::schedule::{Pace, SingleFlight, Wake, follow, when_ready};
use oauth2_store::StoreError;
use oauth2_store::{LedgerFigures, LogPosition, Maintenance, Store};

mod clock_watch;
pub mod handle;
mod replica_watch;
mod write_watch;

use clock_watch::ClockWatch;
use replica_watch::ReplicaWatch;
use write_watch::WriteWatch;

/// Pause before a failed refresh is retried while a change waits for it.
const RETRY: Duration = Duration::from_millis(25);

/// Interval at which partitions are created and expired rows deleted.
const MAINTENANCE: Duration = Duration::from_mins(1);

type Verb<T> = Box<dyn FnOnce(Store) -> Pin<Box<dyn Future<Output = Result<T, StoreError>>>> + Send>;

/// Runs a verb of the store.
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

/// Figures of maintenance, for metrics.
#[derive(Debug, Default)]
pub struct MaintenanceFigures {
    /// The state of the ledger after the last round, whether it succeeded or not.
    pub ledger: ArcSwap<LedgerFigures>,
    /// When a round last succeeded by the store's clock, Unix seconds; 0 before the first.
    pub succeeded_at: AtomicI64,
    /// The longest token lifetime for which partitions are kept, seconds.
    pub horizon: AtomicU32,
}

/// What each incarnation of the actor is built from.
#[derive(Clone)]
pub struct Deps {
    /// The store.
    pub store: Store,
    /// The directory to refresh.
    pub directory: Arc<Directory>,
    /// True once the schema is up to date and the first keys exist.
    pub prepared: watch::Receiver<bool>,
    /// The server's default token lifetime, seconds.
    pub default_lifetime: u32,
    /// The store's clock; this actor measures its difference from the local clock.
    pub clock: Arc<StoreClock>,
    /// Token ids; this actor agrees on their time with the store.
    pub ids: Arc<IdClock>,
    /// Where the figures of maintenance are published.
    pub maintenance: Arc<MaintenanceFigures>,
    /// Days that audit rows are kept; `None`: they are never deleted.
    pub audit_days: Option<u32>,
    /// How often the log of changes is polled.
    pub pace: Pace,
    /// Causes a refresh of the directory before the next poll.
    pub wake: Wake,
    /// Wakes the revocation cache: deleting a client or revoking a key writes a revocation too.
    pub wake_revocations: Wake,
}

impl Deps {
    /// Measures the store's clock, and agrees with the store on the time of ids. Answers by how much the clock was set, and what to write.
    async fn read_time(&self) -> Result<(Option<i64>, Option<Reservation>), StoreError> {
        let sent = self.clock.local_ms();
        let time = self.store.time().await?;
        let step = self.clock.observe(time.now_ms, sent);
        Ok((step, self.ids.agree(&time)))
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Refreshes have failed since then.
#[derive(Debug)]
struct Outage {
    since: Instant,
    is_logged: bool,
    /// The store responds, and denies reads.
    is_denied: bool,
}

/// The actor.
#[derive(Debug)]
pub struct StoreGateway {
    deps: Deps,
    position: Option<LogPosition>,
    refreshing: SingleFlight,
    /// When the last refresh that succeeded began. Changes wait for one that began after their commit.
    refreshed: watch::Sender<Option<Instant>>,
    retry: SingleFlight,
    outage: Option<Outage>,
    clock_watch: ClockWatch,
    reserving: SingleFlight,
    maintaining: SingleFlight,
    probing: SingleFlight,
    checking_replica: SingleFlight,
    replica_watch: ReplicaWatch,
    write_watch: WriteWatch,
    /// When maintenance last ran, and the token lifetime (seconds) that it created partitions for.
    last_maintenance: Option<(Instant, u32)>,
}

impl StoreGateway {
    /// An actor with nothing loaded.
    pub fn new(deps: Deps) -> Self {
        Self {
            deps,
            position: None,
            refreshing: SingleFlight::default(),
            refreshed: watch::Sender::new(None),
            retry: SingleFlight::default(),
            outage: None,
            clock_watch: ClockWatch::default(),
            reserving: SingleFlight::default(),
            maintaining: SingleFlight::default(),
            probing: SingleFlight::default(),
            checking_replica: SingleFlight::default(),
            replica_watch: ReplicaWatch::default(),
            write_watch: WriteWatch::default(),
            last_maintenance: None,
        }
    }

    fn refresh(&mut self, ctx: &mut Context<Self>) {
        let job = || {
            let (deps, from, refreshed) = (self.deps.clone(), self.position, self.refreshed.clone());
            async move {
                // No request is served before the first refresh: ids must be agreed on by then.
                let first = match from {
                    None => Some(deps.read_time().await?),
                    Some(_) => None,
                };
                let began = Instant::now();
                let position = deps.directory.refresh(&deps.store, from).await?;
                refreshed.send_replace(Some(began));
                let (step, reservation) = match first {
                    Some(read) => read,
                    None => deps.read_time().await?,
                };
                Ok((position, step, reservation))
            }
        };
        self.refreshing.run(ctx, job, |refreshed, actor, ctx| {
            match refreshed {
                Ok((position, step, reservation)) => {
                    actor.position = Some(position);
                    let deps = &actor.deps;
                    actor.clock_watch.report(&deps.clock, step, deps.ids.ahead_ms());
                    if let Some(reservation) = reservation {
                        actor.reserve_ids(reservation, ctx);
                    }
                    if actor.outage.take().is_some_and(|outage| outage.is_logged) {
                        tracing::info!("the store is reachable again: clients and keys are read");
                    }
                }
                Err(error) => {
                    actor.log_outage(&error);
                    if actor.refreshed.receiver_count() > 0 {
                        // A change waits: do not leave it until the next poll.
                        let pause = || tokio::time::sleep(RETRY);
                        actor.retry.run(ctx, pause, |(), actor, ctx| actor.refresh(ctx));
                    }
                }
            }
            actor.maintain(ctx);
            actor.watch_writes(ctx);
            actor.watch_replica(ctx);
        });
    }

    /// Checks the replica, if there is one, at each poll.
    fn watch_replica(&mut self, ctx: &mut Context<Self>) {
        let store = self.deps.store.clone();
        if store.read_counts().is_none() {
            return;
        }
        let job = || async move { store.check_replica().await };
        self.checking_replica.run(ctx, job, |status, actor, _| {
            if let Some(status) = status {
                actor.replica_watch.report(&status);
            }
        });
    }

    /// Probes the writes of a store that can be read, when that is due.
    fn watch_writes(&mut self, ctx: &mut Context<Self>) {
        self.write_watch.report(self.deps.store.write_health());
        let health = self.deps.store.write_health();
        if self.outage.as_ref().is_none_or(|outage| outage.is_denied) && health.is_probe_due() {
            let (store, is_failing) = (self.deps.store.clone(), !health.is_writable());
            let job = || async move { store.probe_writes(is_failing).await };
            self.probing.run(ctx, job, |outcome, actor, _| {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a probe of the store's writes failed");
                }
                actor.write_watch.report(actor.deps.store.write_health());
            });
        }
    }

    /// Writes to the store how far ids may go. Reads do not wait for it: the file of an embedded store may be locked for long.
    fn reserve_ids(&mut self, reservation: Reservation, ctx: &mut Context<Self>) {
        let store = self.deps.store.clone();
        let Reservation {
            reserved_ms,
            known,
            slew,
        } = reservation;
        let job = || async move { store.reserve_ids(reserved_ms, known, slew).await };
        self.reserving.run(ctx, job, |reserved, _, _| {
            if let Err(error) = reserved {
                tracing::debug!(%error, "the time of token ids could not be saved");
            }
        });
    }

    /// Logs an outage once, not at every attempt, and only once it exceeds the staleness budget.
    fn log_outage(&mut self, error: &StoreError) {
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: Instant::now(),
            is_logged: false,
            is_denied: false,
        });
        outage.is_denied = matches!(error, StoreError::Denied(_));
        if !outage.is_logged && outage.since.elapsed() >= STALENESS_BUDGET {
            outage.is_logged = true;
            let problem = if outage.is_denied {
                "clients and keys cannot be read"
            } else {
                "the store is unreachable"
            };
            tracing::warn!(%error, "{problem}; clients and keys are stale, so introspection fails");
        }
        tracing::debug!(%error, "clients and keys could not be refreshed");
    }

    /// Runs maintenance when it is due, or when tokens may live longer than partitions exist for.
    fn maintain(&mut self, ctx: &mut Context<Self>) {
        let horizon = self.deps.directory.longest_lifetime().max(self.deps.default_lifetime);
        let due = self
            .last_maintenance
            .is_none_or(|(at, reached)| at.elapsed() >= MAINTENANCE || horizon > reached);
        // With a wrong clock, rows that have not expired might be deleted.
        if !due || self.position.is_none() || !self.deps.clock.is_synchronized() {
            return;
        }
        let (store, now) = (self.deps.store.clone(), (self.deps.clock.unix_ms() / 1000) as i64);
        let audit_before = self.deps.audit_days.map(|days| now - i64::from(days) * 86_400);
        let figures = Arc::clone(&self.deps.maintenance);
        figures.horizon.store(horizon, Ordering::Relaxed);
        let job = || async move {
            let done = maintain(&store, audit_before, now, horizon).await;
            if done.is_ok() {
                figures.succeeded_at.store(now, Ordering::Relaxed);
            }
            // Also after a failure: they show what is left undone.
            match store.ledger_figures(now).await {
                Ok(ledger) => figures.ledger.store(Arc::new(ledger)),
                Err(error) => tracing::debug!(%error, "the state of the ledger could not be read"),
            }
            done
        };
        self.maintaining.run(ctx, job, move |done, actor, _| {
            actor.last_maintenance = Some((Instant::now(), horizon));
            match done {
                Ok(done) if done != Maintenance::default() => tracing::info!(?done, "store maintenance"),
                Ok(_) => {}
                // Reported once, by `watch_writes`.
                Err(error @ (StoreError::NotWritable(_) | StoreError::Denied(_))) => {
                    tracing::debug!(%error, "store maintenance failed");
                }
                Err(error) => tracing::warn!(%error, "store maintenance failed"),
            }
        });
    }
}

async fn maintain(store: &Store, audit_before: Option<i64>, now: i64, horizon: u32) -> Result<Maintenance, StoreError> {
    if let Some(before) = audit_before {
        store.purge_audit(before).await?;
    }
    store.maintain(now, horizon.into()).await
}

impl Actor for StoreGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |actor, ctx| {
            follow(
                ctx,
                &actor.deps.pace,
                &actor.deps.wake,
                &actor.refreshing,
                Self::refresh,
            );
        });
        // Nobody answers from what an earlier server held.
        let changes = stream::unfold(self.deps.store.server_change().subscribe(), |mut changes| async move {
            changes.changed().await.ok()?;
            Some(((), changes))
        });
        ctx.spawn(
            wrap_stream(changes)
                .map(|(), actor: &mut Self, _| {
                    actor.deps.wake.wake();
                    actor.deps.wake_revocations.wake();
                })
                .finish(),
        );
    }
}

impl<T: Send + 'static> Handler<Envelope<Call<T>>> for StoreGateway {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Call<T>>, ctx: &mut Context<Self>) {
        if envelope.is_abandoned() {
            return;
        }
        let (call, mut reply) = envelope.into_parts();
        let (store, refreshed) = (self.deps.store.clone(), self.refreshed.clone());
        let (wake, wake_revocations) = (self.deps.wake.clone(), self.deps.wake_revocations.clone());
        ctx.spawn(
            async move {
                // Without a caller no one would learn of the outcome: the verb stops when the caller leaves.
                let Some(done) = reply.while_awaited((call.verb)(store)).await else {
                    return;
                };
                if call.changes_directory && done.is_ok() {
                    // The caller may use the change on this node at once: reply when the directory holds it.
                    let committed = Instant::now();
                    let mut refreshed = refreshed.subscribe();
                    wake.wake();
                    wake_revocations.wake();
                    let is_read = refreshed.wait_for(|began| began.is_some_and(|began| began >= committed));
                    if reply.while_awaited(is_read).await.is_none() {
                        return;
                    }
                }
                reply.send(done);
            }
            .into_actor(self),
        );
    }
}

//! The revocation cache.
//!
//! - Owns: the set of revoked token ids, and the cut-offs of clients, users, keys and the issuer.
//! - Source of truth: the store's revocation log. The cache reads it at its pace ([`POLL`] without hints) and at each wake-up. A
//!   revocation that this node committed, or another node announced by a hint, is applied at once by [`Apply`].
//! - Published: [`RevocationView`], which handlers read without a mailbox. It carries when it last agreed with the store.
//! - On restart: the new actor reads the whole log into a new view before it publishes that. Until then the old view stays
//!   published and becomes stale.
//! - When full: [`Apply`] fails; its caller must not report that the revocation is in force on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::runtime::clock::{Clock, IdClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::schedule::{Pace, SingleFlight, Wake, follow, when_ready};
use oauth2_store::StoreError;
use oauth2_store::model::{Revocation, RevocationTarget};
use oauth2_store::{LogPosition, Store};

mod view;

pub use view::{RevocationView, Subject};

/// Interval at which the log is read where there are no hints.
pub const POLL: Duration = Duration::from_millis(250);

/// Interval at which revocations of expired tokens are dropped.
const PURGE: Duration = Duration::from_mins(1);

/// The published view: handlers load it for each check.
pub type PublishedRevocations = Arc<ArcSwap<RevocationView>>;

/// Applies revocations that the store has committed.
#[derive(Debug)]
pub struct Apply(pub Vec<Revocation>);

impl Request for Apply {
    type Reply = ();
}

/// What each incarnation of the actor is built from.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The store, which holds the log.
    pub store: Store,
    /// Where the view is published once the log has been read.
    pub published: PublishedRevocations,
    /// True once the schema is up to date; nothing is read before.
    pub prepared: watch::Receiver<bool>,
    /// Moved past each cut-off, so that tokens issued afterwards are beyond it.
    pub ids: Arc<IdClock>,
    /// The clock that decides which tokens have expired.
    pub clock: Arc<dyn Clock>,
    /// The number of incarnations so far.
    pub generations: Arc<AtomicU64>,
    /// How often the log is polled.
    pub pace: Pace,
    /// Causes a read of the log before the next poll.
    pub wake: Wake,
}

/// The actor.
#[derive(Debug)]
pub struct RevocationCache {
    deps: Deps,
    view: Arc<RevocationView>,
    position: Option<LogPosition>,
    polling: SingleFlight,
}

/// Applies the log since `from` to a view, and moves the id clock past its cut-offs. Returns where the next read begins; `None` if a
/// cut-off that the view may hold was lowered: begin again, with an empty view. The view's freshness is the caller's to stamp.
pub async fn read_log(
    store: &Store,
    from: LogPosition,
    view: &RevocationView,
    ids: &IdClock,
) -> Result<Option<LogPosition>, StoreError> {
    let position = store
        .for_each_revocation_since(from, &mut |revocation| apply(ids, view, &revocation))
        .await?;
    if from != LogPosition::default() && position.is_corrected(&from) {
        return Ok(None);
    }
    Ok(Some(position))
}

impl RevocationCache {
    /// An actor with an empty view.
    pub fn new(deps: Deps) -> Self {
        let generation = deps.generations.fetch_add(1, Ordering::AcqRel) + 1;
        Self {
            deps,
            view: Arc::new(RevocationView::new(generation)),
            position: None,
            polling: SingleFlight::default(),
        }
    }

    fn poll(&mut self, ctx: &mut Context<Self>) {
        let (from, sent) = (self.position.unwrap_or_default(), Instant::now());
        let job = || {
            let (deps, view) = (self.deps.clone(), Arc::clone(&self.view));
            async move { read_log(&deps.store, from, &view, &deps.ids).await }
        };
        self.polling.run(ctx, job, move |read, actor, ctx| {
            if matches!(read, Ok(None)) {
                tracing::info!("a revocation cut-off was corrected; loading all revocations");
                actor.view = Arc::new(RevocationView::new(actor.view.generation));
                actor.position = None;
                actor.poll(ctx);
            } else {
                actor.finish_poll(read, sent);
            }
        });
    }

    fn finish_poll(&mut self, read: Result<Option<LogPosition>, StoreError>, sent: Instant) {
        let position = match read {
            Ok(Some(position)) => position,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the revocation log could not be read");
                if matches!(error, StoreError::Timeout) {
                    // The log since `position` may be too long for the timeout of a poll; a first read has a longer one.
                    self.position = None;
                }
                if self.position.is_none() {
                    // A cut-off that was read before the failure may be corrected before the log is read again.
                    self.view = Arc::new(RevocationView::new(self.view.generation));
                }
                return;
            }
        };
        self.view.freshness().stamp(sent);
        let is_first = self.position.replace(position).is_none();
        if is_first && self.publish() {
            self.view.purge(self.deps.clock.unix_ms());
            tracing::info!(held = self.view.len(), "revocations loaded");
        }
    }

    /// Publishes the view, unless a later incarnation has published its own: an actor that was given up as frozen may get here
    /// late.
    fn publish(&self) -> bool {
        let own = &self.view;
        let newest = |published: &Arc<RevocationView>| {
            let is_later = published.generation > own.generation;
            Arc::clone(if is_later { published } else { own })
        };
        self.deps.published.rcu(newest);
        Arc::ptr_eq(&self.deps.published.load(), own)
    }
}

/// Applies a revocation to the view. Tokens that this node issues afterwards are later than a cut-off.
fn apply(ids: &IdClock, view: &RevocationView, revocation: &Revocation) {
    view.apply(revocation);
    if !matches!(revocation.target, RevocationTarget::Token { .. }) {
        ids.advance_past(revocation.cutoff_ms);
    }
}

impl Actor for RevocationCache {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |actor, ctx| {
            follow(ctx, &actor.deps.pace, &actor.deps.wake, &actor.polling, Self::poll);
        });
        ctx.run_interval(PURGE, |actor, _| actor.view.purge(actor.deps.clock.unix_ms()));
    }
}

impl Handler<Envelope<Apply>> for RevocationCache {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Apply>, _: &mut Context<Self>) {
        envelope.reply_with(|Apply(revocations)| {
            // While a restarted actor still loads, handlers read the view of its predecessor: apply to both.
            let published = self.deps.published.load();
            for revocation in &revocations {
                published.apply(revocation);
                apply(&self.deps.ids, &self.view, revocation);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::runtime::clock::ManualClock;
    use oauth2_store::{Location, Pooler, StoreOptions};

    async fn deps(directory: &tempfile::TempDir) -> Deps {
        let wait = Duration::from_secs(5);
        let options = StoreOptions {
            location: Location::Sqlite(directory.path().join("oauth2.db")),
            max_connections: 2,
            ledger_writers: 1,
            min_connections: 0,
            connect_timeout: wait,
            idle_timeout: wait,
            min_lock_wait: Duration::ZERO,
            acquire_timeout: wait,
            password_file: None,
            pooler: Pooler::None,
            listen_at: None,
            read_at: None,
        };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
        Deps {
            store: Store::open(&options).await.unwrap(),
            published: PublishedRevocations::default(),
            prepared: watch::channel(true).1,
            ids: Arc::new(IdClock::new(Arc::clone(&clock))),
            clock,
            generations: Arc::default(),
            pace: Pace::every(POLL),
            wake: Wake::default(),
        }
    }

    /// An incarnation that was given up as frozen may publish after its successor.
    #[tokio::test]
    async fn an_earlier_incarnation_does_not_replace_the_view_of_a_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let deps = deps(&directory).await;
        let (first, second) = (RevocationCache::new(deps.clone()), RevocationCache::new(deps.clone()));
        assert!(first.publish());
        assert!(second.publish());
        assert!(!first.publish());
        assert!(Arc::ptr_eq(&deps.published.load(), &second.view));
    }

    /// A cut-off that it read may be corrected before the next read, and a view never lowers one.
    #[tokio::test]
    async fn a_first_read_that_fails_leaves_nothing_in_the_view() {
        let directory = tempfile::tempdir().unwrap();
        let mut cache = RevocationCache::new(deps(&directory).await);
        cache.view.apply(&Revocation::of_client("ci", 9000, 0));
        cache.finish_poll(Err(StoreError::Timeout), Instant::now());
        assert!(cache.view.is_empty());
        // A later read that fails: what was read before it stays, and the next read goes on from there.
        cache.finish_poll(Ok(Some(LogPosition::default())), Instant::now());
        cache.view.apply(&Revocation::of_client("ci", 9000, 0));
        cache.finish_poll(Err(StoreError::Unavailable(String::new())), Instant::now());
        assert!(!cache.view.is_empty());
    }
}

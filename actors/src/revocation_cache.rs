//! The revocation cache.
//!
//! - Owns: the set of revoked token ids and the cut-offs for clients, users, keys and the issuer.
//! - Source of truth: the store's revocation log. The cache follows it every [`POLL`]; what this node revokes is applied at
//!   once by [`Apply`], after the store has committed it.
//! - Published: [`RevocationView`], read by handlers without a mailbox. It says when it last agreed with the store.
//! - On restart: the new actor reads the whole log into a fresh view and only then publishes it. Until then the old view
//!   stands and grows stale.
//! - When full: the caller of [`Apply`] is told, and must not claim that the revocation holds here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::StoreError;
use crate::freshness::Freshness;
use crate::model::token::uuid_v7_ms;
use crate::model::{MAX_TOKEN_LIFETIME, Revocation, RevocationTarget};
use crate::runtime::clock::{Clock, IdClock};
use crate::runtime::mailbox::{Envelope, Request};
use crate::runtime::when::when;
use crate::store::{LogPosition, Store};

/// How often the log is read.
pub const POLL: Duration = Duration::from_millis(250);

/// How often what can no longer matter is forgotten.
const FORGET: Duration = Duration::from_mins(1);

/// How long it is kept beyond that, as the store keeps its rows.
const GRACE_MS: u64 = 3_600_000;

/// After this many revocations of a long log the actor's other work gets its turn.
const TURN: usize = 10_000;

/// What is known to be revoked.
#[derive(Debug, Default)]
pub struct RevocationView {
    tokens: DashMap<Uuid, i64>,
    clients: DashMap<Box<str>, u64>,
    users: DashMap<Box<str>, u64>,
    keys: DashMap<Box<str>, u64>,
    issuer: AtomicU64,
    freshness: Freshness,
    /// Which life of the actor made it.
    life: u64,
}

/// What of a token decides whether it is revoked.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its id.
    pub jti: Uuid,
    /// The client it was issued to.
    pub client_id: &'a str,
    /// The user it stands for, if any.
    pub user_id: Option<&'a str>,
    /// The key that signed it, if any.
    pub kid: Option<&'a str>,
}

impl RevocationView {
    /// Whether the token is revoked, by its id or by a cut-off at or after the millisecond of its `jti`.
    pub fn is_revoked(&self, token: Subject<'_>) -> bool {
        let minted = uuid_v7_ms(&token.jti);
        let cut = |map: &DashMap<Box<str>, u64>, id: Option<&str>| {
            id.and_then(|id| map.get(id)).is_some_and(|cutoff| minted <= *cutoff)
        };
        minted <= self.issuer.load(Ordering::Acquire)
            || self.tokens.contains_key(&token.jti)
            || cut(&self.clients, Some(token.client_id))
            || cut(&self.users, token.user_id)
            || cut(&self.keys, token.kid)
    }

    /// When the view last agreed with the store.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Token ids and cut-offs held.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.clients.len() + self.users.len() + self.keys.len()
    }

    /// Whether nothing but perhaps an issuer's cut-off is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn apply(&self, revocation: &Revocation) {
        let raise = |map: &DashMap<Box<str>, u64>, id: &str| {
            let mut cutoff = map.entry(id.into()).or_insert(0);
            *cutoff = (*cutoff).max(revocation.cutoff_ms);
        };
        match &revocation.target {
            RevocationTarget::Token { jti, expires_at } => {
                self.tokens.insert(*jti, *expires_at);
            }
            RevocationTarget::Client(id) => raise(&self.clients, id),
            RevocationTarget::User(id) => raise(&self.users, id),
            RevocationTarget::Key(kid) => raise(&self.keys, kid),
            RevocationTarget::Issuer => {
                self.issuer.fetch_max(revocation.cutoff_ms, Ordering::AcqRel);
            }
        }
    }

    /// Drops ids of tokens that have expired, and cut-offs before which no living token was minted.
    fn forget(&self, now_ms: u64) {
        // A clock that is wrong for a while must not make anything valid again.
        let now_ms = now_ms.saturating_sub(GRACE_MS);
        let now = (now_ms / 1000) as i64;
        self.tokens.retain(|_, expires_at| *expires_at >= now);
        let oldest = now_ms.saturating_sub(MAX_TOKEN_LIFETIME.unsigned_abs() * 1000);
        for map in [&self.clients, &self.users, &self.keys] {
            map.retain(|_, cutoff| *cutoff >= oldest);
        }
    }
}

/// The view's place: handlers hold this and load the view for each look.
pub type PublishedRevocations = Arc<ArcSwap<RevocationView>>;

/// Takes over what this node has just committed.
#[derive(Debug)]
pub struct Apply(pub Revocation);

impl Request for Apply {
    type Reply = ();
}

/// What the actor is built from, again after each crash.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where the log is.
    pub store: Store,
    /// Where the view is published once the log has been read.
    pub published: PublishedRevocations,
    /// Turns true once the schema is there; nothing is read before.
    pub prepared: watch::Receiver<bool>,
    /// Moved past each cut-off, so that what is minted afterwards is later.
    pub ids: Arc<IdClock>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Counts the lives of the actor.
    pub lives: Arc<AtomicU64>,
}

/// The actor.
#[derive(Debug)]
pub struct RevocationCache {
    parts: Parts,
    view: Arc<RevocationView>,
    position: Option<LogPosition>,
    polling: bool,
}

impl RevocationCache {
    /// An actor that has read nothing yet.
    pub fn new(parts: Parts) -> Self {
        let life = parts.lives.fetch_add(1, Ordering::AcqRel) + 1;
        Self {
            parts,
            view: Arc::new(RevocationView {
                life,
                ..RevocationView::default()
            }),
            position: None,
            polling: false,
        }
    }

    fn poll(&mut self, ctx: &mut Context<Self>) {
        if self.polling {
            return;
        }
        self.polling = true;
        let (parts, view) = (self.parts.clone(), Arc::clone(&self.view));
        let (from, sent) = (self.position.unwrap_or_default(), Instant::now());
        let read = async move {
            let (revocations, position) = parts.store.revocations_since(from).await?;
            for some in revocations.chunks(TURN) {
                for revocation in some {
                    take(&parts.ids, &view, revocation);
                }
                tokio::task::yield_now().await;
            }
            Ok(position)
        };
        ctx.spawn(read.into_actor(self).map(move |read, actor, _| {
            actor.polling = false;
            actor.taken_over(read, sent);
        }));
    }

    fn taken_over(&mut self, read: Result<LogPosition, StoreError>, sent: Instant) {
        let position = match read {
            Ok(position) => position,
            Err(error) => {
                tracing::debug!(%error, "the revocation log could not be read");
                if matches!(error, StoreError::Timeout) {
                    // Perhaps there is more of it than a poll may read: a first reading may take longer.
                    self.position = None;
                }
                return;
            }
        };
        self.view.freshness.stamp(sent);
        let first = self.position.replace(position).is_none();
        if first && self.publish() {
            self.view.forget(self.parts.clock.unix_ms());
            tracing::info!(held = self.view.len(), "revocations loaded");
        }
    }

    /// Publishes the view, unless a later life has done so: an actor that was given up may come to this late.
    fn publish(&self) -> bool {
        let mine = &self.view;
        let newest = |published: &Arc<RevocationView>| {
            let theirs = published.life > mine.life;
            Arc::clone(if theirs { published } else { mine })
        };
        self.parts.published.rcu(newest);
        Arc::ptr_eq(&self.parts.published.load(), mine)
    }
}

/// Takes over one revocation. What is minted here from now on is later than a cut-off.
fn take(ids: &IdClock, view: &RevocationView, revocation: &Revocation) {
    view.apply(revocation);
    if !matches!(revocation.target, RevocationTarget::Token { .. }) {
        ids.advance_past(revocation.cutoff_ms);
    }
}

impl Actor for RevocationCache {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when(ctx, self.parts.prepared.clone(), |actor, ctx| {
            actor.poll(ctx);
            ctx.run_interval(POLL, Self::poll);
        });
        ctx.run_interval(FORGET, |actor, _| actor.view.forget(actor.parts.clock.unix_ms()));
    }
}

impl Handler<Envelope<Apply>> for RevocationCache {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Apply>, _: &mut Context<Self>) {
        envelope.answer(|Apply(revocation)| {
            // While a restarted actor still loads, the view that handlers read is the old one: both must know.
            self.parts.published.load().apply(&revocation);
            take(&self.parts.ids, &self.view, &revocation);
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::runtime::clock::ManualClock;
    use crate::store::{Location, Pooler, StoreOptions};

    fn minted_at(ms: u64) -> Uuid {
        Uuid::from_u128((u128::from(ms) << 80) | (7 << 76) | 1)
    }

    fn subject(jti: Uuid) -> Subject<'static> {
        Subject {
            jti,
            client_id: "ci",
            user_id: Some("ada"),
            kid: Some("k1"),
        }
    }

    /// One that was given up for frozen may come to publishing after its successor.
    #[tokio::test]
    async fn a_later_life_keeps_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let wait = Duration::from_secs(5);
        let options = StoreOptions {
            location: Location::Sqlite(directory.path().join("oauth2.db")),
            max_connections: 2,
            ledger_writers: 1,
            min_connections: 0,
            connect_timeout: wait,
            idle_timeout: wait,
            acquire_timeout: wait,
            password_file: None,
            pooler: Pooler::None,
        };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
        let parts = Parts {
            store: Store::open(&options).await.unwrap(),
            published: PublishedRevocations::default(),
            prepared: watch::channel(true).1,
            ids: Arc::new(IdClock::new(Arc::clone(&clock))),
            clock,
            lives: Arc::default(),
        };
        let (first, second) = (RevocationCache::new(parts.clone()), RevocationCache::new(parts.clone()));
        assert!(first.publish());
        assert!(second.publish());
        assert!(!first.publish());
        assert!(Arc::ptr_eq(&parts.published.load(), &second.view));
    }

    #[test]
    fn a_cut_off_takes_its_own_millisecond_and_nothing_later() {
        let targets = [
            RevocationTarget::Client("ci".into()),
            RevocationTarget::User("ada".into()),
            RevocationTarget::Key("k1".into()),
            RevocationTarget::Issuer,
        ];
        for target in targets {
            let view = RevocationView::default();
            view.apply(&Revocation {
                target,
                cutoff_ms: 1000,
            });
            assert!(view.is_revoked(subject(minted_at(999))));
            assert!(view.is_revoked(subject(minted_at(1000))));
            assert!(!view.is_revoked(subject(minted_at(1001))));
        }
    }

    #[test]
    fn an_earlier_cut_off_never_lowers_a_later_one() {
        let view = RevocationView::default();
        for cutoff_ms in [1000, 500] {
            view.apply(&Revocation {
                target: RevocationTarget::Client("ci".into()),
                cutoff_ms,
            });
        }
        assert!(view.is_revoked(subject(minted_at(1000))));
    }

    #[test]
    fn what_can_no_longer_matter_is_forgotten() {
        let view = RevocationView::default();
        let token = |expires_at| RevocationTarget::Token {
            jti: minted_at(expires_at as u64),
            expires_at,
        };
        view.apply(&Revocation {
            target: token(10),
            cutoff_ms: 0,
        });
        view.apply(&Revocation {
            target: token(30),
            cutoff_ms: 0,
        });
        view.forget(20_000 + GRACE_MS);
        assert!(!view.is_revoked(subject(minted_at(10))));
        assert!(view.is_revoked(subject(minted_at(30))));
    }
}

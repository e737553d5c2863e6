//! The HTTP edge: what comes in is parsed here, what goes out is written here, and statuses are decided here.
//!
//! - [`routes`]: every URL on one screen. [`edge`]: what every request goes through. [`error`]: the one status table.
//! - [`token`], [`introspect`], [`introspect_batch`], [`revoke`], [`discovery`], [`health`], [`metrics`]: one endpoint a file.
//! - [`admin`]: the JSON API of the management listener.
//! - [`openapi`]: the document of all of them; [`refusals`]: what it says of errors.
//! - [`authenticate`], [`client_address`], [`limits`], [`quotas`], [`signing`], [`resolve`], [`body`], [`answer`]: what several endpoints share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::web;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use oauth2_actors::audit_writer::Failures;
use oauth2_actors::directory::Directory;
use oauth2_actors::error::ServiceError;
use oauth2_actors::freshness::{Freshness, STALENESS_BUDGET};
use oauth2_actors::metrics::{Instruments, Metrics};
use oauth2_actors::model::{AuditEntry, Revocation};
use oauth2_actors::quota_keeper::Counters;
use oauth2_actors::rate_limiter::PublishedLimits;
use oauth2_actors::revocation_cache::{Apply, PublishedRevocations, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_actors::runtime::supervisor::ActorStatus;
use oauth2_actors::signer::Signers;
use oauth2_actors::token_store::TokenStoreHandle;
use tokio::sync::watch;

use crate::oauth::grants::Defaults;
use crate::oauth::registration;
use crate::tokens::fingerprint::Fingerprints;
use crate::tokens::issued::IssuedTokens;
use crate::tokens::lifecycle::Timing;
use crate::tokens::reuse::ReusableTokens;
use crate::tokens::sealing::Seals;
use crate::tokens::verified::VerifiedTokens;

pub mod admin;
pub mod answer;
pub mod authenticate;
pub mod body;
pub mod client_address;
pub mod discovery;
pub mod edge;
pub mod error;
pub mod health;
pub mod introspect;
pub mod introspect_batch;
pub mod limits;
pub mod metrics;
pub mod openapi;
pub mod quotas;
pub mod refusals;
pub mod resolve;
pub mod reuse;
pub mod revoke;
pub mod routes;
pub mod shapes;
pub mod signing;
pub mod token;

/// How long a token, introspection or revocation request may take once its body is there.
pub const DEADLINE: Duration = Duration::from_secs(1);

/// How long an administrative request may take.
pub const ADMIN_DEADLINE: Duration = Duration::from_secs(5);

/// What handlers work with. One for the process; every worker holds it.
#[derive(Debug)]
pub struct State {
    /// What is granted where a client has no setting of its own.
    pub defaults: Defaults,
    /// SHA-256 of the static admin token, if there is one.
    pub admin_token: Option<[u8; 32]>,
    /// The published clients.
    pub directory: Arc<Directory>,
    /// Who makes signatures that take long.
    pub signers: Arc<Signers>,
    /// Seals private keys.
    pub seals: Seals,
    /// Whether there is a secret that is shared with verifiers.
    pub shares_secret: bool,
    /// How long keys are published, sign, and are kept.
    pub timing: Timing,
    /// The published keys and the documents made of them.
    pub keys: Arc<ArcSwap<discovery::PublishedKeys>>,
    /// The authorization server metadata.
    pub metadata: discovery::Metadata,
    /// Tokens verified before.
    pub verified: Arc<VerifiedTokens>,
    /// Tokens signed here.
    pub issued: IssuedTokens,
    /// How tokens are told apart in these two.
    pub fingerprints: Fingerprints,
    /// The published revocations.
    pub revocations: PublishedRevocations,
    /// The published buckets of clients and of failed authentications.
    pub limits: PublishedLimits,
    /// Limits where a client has none of its own.
    pub rules: limits::Rules,
    /// What clients have used of their quotas, and how many of their tokens are still valid.
    pub counters: Arc<Counters>,
    /// Failed authentications on their way into the audit log.
    pub failures: Arc<Failures>,
    /// Quotas where a client has none of its own.
    pub quota_rules: quotas::Rules,
    /// Tokens that are given out again.
    pub reusable: ReusableTokens,
    /// Proxies that are believed what they say of their callers.
    pub trusted_proxies: Vec<IpNet>,
    /// The way into the store.
    pub tokens: TokenStoreHandle,
    /// The revocation cache's mailbox.
    pub revocation_cache: Mailbox<RevocationCache>,
    /// The metrics actor's mailbox.
    pub metrics: Mailbox<Metrics>,
    /// What requests are counted on.
    pub instruments: Arc<Instruments>,
    /// Token ids.
    pub ids: Arc<IdClock>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Whether the process is fit to serve.
    pub readiness: Readiness,
}

/// The state as handlers take it.
pub type App = web::Data<State>;

impl State {
    /// Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        (self.now_ms() / 1000) as i64
    }

    /// The defaults that registrations are checked against.
    pub fn registration_defaults(&self) -> registration::Defaults {
        registration::Defaults {
            format: self.defaults.format,
            ledger: self.defaults.ledger,
            shares_secret: self.shares_secret,
        }
    }

    /// Refuses to go on after the request's deadline, or when clients or revocations were not confirmed by the store
    /// within the staleness budget. To be asked last, so that a process that was paused cannot answer from before the
    /// pause.
    pub fn fresh(&self, deadline: Instant) -> Result<(), error::Failure> {
        let revocations = self.revocations.load();
        timely(deadline, [self.directory.freshness(), revocations.freshness()])
    }

    /// Commits a revocation, then makes it hold on this node.
    pub async fn revoke(
        &self,
        revocation: Revocation,
        audit: AuditEntry,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        let (row, now_ms) = (revocation.clone(), self.now_ms());
        self.tokens
            .call(deadline, move |store| async move {
                store.revoke(&row, now_ms, &audit).await
            })
            .await?;
        self.instruments.token_revoked(&revocation.target);
        self.enforce(revocation, deadline).await
    }

    /// Makes a committed revocation hold on this node; the log would do so in a moment.
    pub async fn enforce(&self, revocation: Revocation, deadline: Instant) -> Result<(), ServiceError> {
        Ok(self.revocation_cache.ask(Apply(revocation), deadline)?.await?)
    }
}

/// Whether an answer made from these views may still be given.
fn timely(deadline: Instant, views: [&Freshness; 2]) -> Result<(), error::Failure> {
    let now = Instant::now();
    if now > deadline {
        return Err(error::Failure::Unavailable("deadline"));
    }
    if views.iter().all(|view| view.is_within_at(STALENESS_BUDGET, now)) {
        return Ok(());
    }
    Err(error::Failure::Unavailable("stale"))
}

/// Whether the process is fit to serve, and why not.
#[derive(Debug)]
pub struct Readiness {
    /// Set once the start is complete, unset when the process has been told to stop.
    pub accepting: AtomicBool,
    /// What each actor's supervisor says.
    pub actors: Vec<(&'static str, watch::Receiver<ActorStatus>)>,
}

/// Store answers older than this make the process not ready.
const READY_BUDGET: Duration = Duration::from_secs(2);

/// One readiness check: its name, and whether it holds.
pub type Check = (&'static str, bool);

impl State {
    /// Every readiness check.
    pub fn checks(&self) -> [Check; 5] {
        let actors = &self.readiness.actors;
        [
            ("accepting", self.readiness.accepting.load(Ordering::Acquire)),
            (
                "store",
                self.directory.freshness().is_within(READY_BUDGET)
                    && self.revocations.load().freshness().is_within(READY_BUDGET),
            ),
            ("clock", self.clock.is_right() && self.ids.is_right()),
            ("keys", self.keys.load().keyring.can_sign(self.now_ms() as i64)),
            (
                "actors",
                actors
                    .iter()
                    .all(|(_, status)| *status.borrow() == ActorStatus::Running),
            ),
        ]
    }

    /// Whether every check holds.
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(|(_, holds)| *holds)
    }

    /// Whether every check holds but that the start is complete.
    pub fn is_loaded(&self) -> bool {
        self.checks().iter().skip(1).all(|(_, holds)| *holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_needs_fresh_views_and_time_left() {
        let (fresh, never, now) = (Freshness::default(), Freshness::default(), Instant::now());
        fresh.stamp(now);
        let soon = now + Duration::from_mins(1);
        assert_eq!(timely(soon, [&fresh, &fresh]), Ok(()));
        for stale in [[&fresh, &never], [&never, &fresh]] {
            assert_eq!(timely(soon, stale), Err(error::Failure::Unavailable("stale")));
        }
        assert_eq!(
            timely(now, [&fresh, &fresh]),
            Err(error::Failure::Unavailable("deadline"))
        );
    }
}

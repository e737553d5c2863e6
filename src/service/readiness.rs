//! Whether the process should get requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::supervisor::ActorStatus;
use oauth2_actors::token_store::workers::NAME as TOKEN_STORE;
use oauth2_store::Store;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::published_keys::KeysHandle;
use super::views::Views;

/// Views that the store confirmed longer ago make the process not ready.
const BUDGET: Duration = Duration::from_secs(2);

/// Ids that are less ahead of the clock are not reported, milliseconds: a correction of a cut-off moves them by as much.
const REPORTED_MS: u64 = 30_000;

/// How the clock is wrong, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClockNotice {
    /// By how much the store's clock is ahead of this machine's, milliseconds.
    pub difference_ms: i64,
    /// By how much the store's clock was set last while this process ran, milliseconds.
    pub last_step_ms: i64,
    /// By how much token ids are ahead of the store's clock, because it was set back, milliseconds. Tokens are issued by the clock.
    pub ids_ahead_ms: u64,
}

/// The readiness of this process.
#[derive(Debug)]
pub struct Readiness {
    /// Set when the start is complete, unset when the process receives a signal to stop.
    pub accepting: AtomicBool,
    /// What each actor's supervisor reports.
    pub actors: Vec<(&'static str, watch::Receiver<ActorStatus>)>,
    /// The store, which knows whether it accepts writes.
    pub store: Store,
    /// Clients and revocations.
    pub views: Views,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Token ids.
    pub ids: Arc<IdClock>,
    /// The keys of this node.
    pub keys: KeysHandle,
}

/// A readiness check: its name, and whether it passes.
pub type Check = (&'static str, bool);

impl Readiness {
    /// Every check.
    pub fn checks(&self) -> [Check; 6] {
        [
            ("accepting", self.is_accepting()),
            ("store", self.is_store_up()),
            ("writes", self.store.write_health().is_writable()),
            ("clock", self.clock.is_synchronized() && self.clock.status().is_steady),
            ("keys", self.can_sign()),
            ("actors", self.are_running(|_| true)),
        ]
    }

    fn can_sign(&self) -> bool {
        self.keys.load().keyring.can_sign(self.clock.unix_ms() as i64)
    }

    /// Whether the actors with certain names run.
    fn are_running(&self, is_asked_for: impl Fn(&str) -> bool) -> bool {
        let mut asked_for = self.actors.iter().filter(|(name, _)| is_asked_for(name));
        asked_for.all(|(_, status)| *status.borrow() == ActorStatus::Running)
    }

    /// Whether the start is complete, and no signal to stop was received.
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::Acquire)
    }

    /// What is wrong with the clock or was: `None` if it is right.
    pub fn clock_notice(&self) -> Option<ClockNotice> {
        let (status, ids_ahead_ms) = (self.clock.status(), self.ids.ahead_ms());
        let is_right = self.clock.is_synchronized() && status.is_steady && ids_ahead_ms <= REPORTED_MS;
        (!is_right).then_some(ClockNotice {
            difference_ms: status.difference_ms,
            last_step_ms: status.step_ms,
            ids_ahead_ms,
        })
    }

    /// Whether the store confirmed clients and revocations recently, and denies nothing besides writes.
    pub fn is_store_up(&self) -> bool {
        self.views.are_within(BUDGET, Instant::now()) && !self.store.write_health().is_denied()
    }

    /// Whether every check passes.
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(|(_, passes)| *passes)
    }

    /// Whether clients, keys and revocations are loaded, so that requests can be answered once the token stores run. Not whether the
    /// node is ready: one that cannot write still answers introspection.
    pub fn may_listen(&self) -> bool {
        self.views.are_within(BUDGET, Instant::now()) && self.can_sign() && self.are_running(|name| name != TOKEN_STORE)
    }

    /// Whether the actors run that commit tokens. They do so on the threads of the workers of the public listener.
    pub fn are_token_stores_running(&self) -> bool {
        self.are_running(|name| name == TOKEN_STORE)
    }

    /// Whether every check passes except that the start is not complete.
    pub fn is_loaded(&self) -> bool {
        self.checks().iter().skip(1).all(|(_, passes)| *passes)
    }
}

//! The key keeper: publishes and removes signing keys in time, and follows which verifiers have fetched them.
//!
//! - Owns: when the steps of a key's lifecycle are written to the store. Its [`Plan`] decides which steps are due. No step is
//!   needed to activate or retire a key: that follows from the times stored with it.
//! - Source of truth: the store. Several nodes may plan the same step; the store lets one of them take it.
//! - On restart: it plans again from the store's keys.
//! - When full: does not apply, it takes no messages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::watch;

use crate::directory::Directory;
use crate::key_fetches::KeyFetches;
use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::schedule::{SingleFlight, when_ready};
use oauth2_store::Store;
use oauth2_store::StoreError;
use oauth2_store::model::key_verifier::FORGET_AFTER;
use oauth2_store::model::{AuditEntry, KeyVerifier, StoredKey};

/// Interval between checks for steps that are due.
const CHECK: Duration = Duration::from_secs(1);

/// Checks between writes of the verifiers of the key sets.
const WRITE_EVERY: u32 = 3;

/// Checks between reads of the verifiers of the key sets, while no key waits for them.
const READ_EVERY: u32 = 30;

/// Generates a key, or returns why it cannot. Called on a blocking thread: an RSA key may take a second.
pub type GenerateKey = Box<dyn FnOnce() -> Result<StoredKey, String> + Send>;

/// A step of the lifecycle of keys.
pub enum Step {
    /// Publish a new key, unless a key of its algorithm signs from a time later than this (Unix milliseconds).
    Publish(GenerateKey, i64),
    /// Remove a key whose last token has expired.
    Remove(StoredKey),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(_, after_ms) => f.debug_tuple("Publish").field(after_ms).finish_non_exhaustive(),
            Self::Remove(key) => f.debug_tuple("Remove").field(&key.kid).finish(),
        }
    }
}

/// Returns the steps that are due for these keys at a time (Unix milliseconds).
pub type Plan = Arc<dyn Fn(&[StoredKey], i64) -> Vec<Step> + Send + Sync>;

/// Returns the keys that waited for their verifiers and are to sign now, and publishes how many verifiers are behind.
pub type Watch = Arc<dyn Fn(&[StoredKey], &[KeyVerifier], i64) -> Vec<StoredKey> + Send + Sync>;

/// Called at each check with the keys, the longest token lifetime in seconds, and the time (Unix milliseconds), before anything is
/// changed.
pub type ObserveKeys = Arc<dyn Fn(&[StoredKey], i64, i64) + Send + Sync>;

/// What each incarnation of the actor is built from.
#[derive(Clone)]
pub struct Deps {
    /// The store.
    pub store: Store,
    /// The longest token lifetime of any client.
    pub directory: Arc<Directory>,
    /// The server's default token lifetime, seconds.
    pub default_lifetime: u32,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// True once the schema is up to date and the first keys exist.
    pub prepared: watch::Receiver<bool>,
    /// Decides which steps are due.
    pub plan: Plan,
    /// The verifiers of the key sets that this node has seen.
    pub fetches: Arc<KeyFetches>,
    /// Decides by the verifiers that all nodes have seen.
    pub watch: Watch,
    /// For metrics.
    pub observe: ObserveKeys,
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
pub struct KeyKeeper {
    deps: Deps,
    maintaining: SingleFlight,
    watching: SingleFlight,
    checks: u32,
    /// Why steps failed at the last check.
    failures: Vec<String>,
}

impl KeyKeeper {
    /// An actor that has checked nothing yet.
    pub fn new(deps: Deps) -> Self {
        Self {
            deps,
            maintaining: SingleFlight::default(),
            watching: SingleFlight::default(),
            checks: 0,
            failures: Vec::new(),
        }
    }

    fn maintain(&mut self, ctx: &mut Context<Self>) {
        // With a wrong clock, keys would be published and removed at the wrong time; before the clients are loaded, their
        // algorithms and lifetimes are unknown.
        if !self.deps.clock.is_synchronized() || self.deps.directory.freshness().age().is_none() {
            return;
        }
        let job = || take_due_steps(self.deps.clone());
        self.maintaining.run(ctx, job, |outcome, actor, _| match outcome {
            Ok(failures) => actor.log_failures(failures),
            // The store gateway logs an outage of the store.
            Err(error) => tracing::debug!(%error, "signing keys could not be checked"),
        });
    }

    /// Writes the verifiers of the key sets that this node has seen, and follows the verifiers of all nodes.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        self.checks = self.checks.wrapping_add(1);
        if !self.deps.clock.is_synchronized() || !self.checks.is_multiple_of(WRITE_EVERY) {
            return;
        }
        let is_read = self.checks.is_multiple_of(READ_EVERY);
        let job = || watch_verifiers(self.deps.clone(), is_read);
        self.watching.run(ctx, job, |outcome, _, _| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "the verifiers of the key sets could not be written or read");
            }
        });
    }

    /// Logs each failure once, not at every check.
    fn log_failures(&mut self, failures: Vec<String>) {
        for why in failures.iter().filter(|why| !self.failures.contains(why)) {
            tracing::warn!("a signing key cannot be published or removed: {why}");
        }
        self.failures = failures;
    }
}

/// Takes every step that is due, also after one has failed, and returns the reasons of the failures.
async fn take_due_steps(deps: Deps) -> Result<Vec<String>, StoreError> {
    let keys = deps.store.keys().await?;
    let longest = i64::from(deps.directory.longest_lifetime().max(deps.default_lifetime));
    let now_ms = deps.clock.unix_ms() as i64;
    (deps.observe)(&keys, longest, now_ms);
    if keys.iter().any(|key| key.token_lifetime < longest) {
        // Extended before anything is planned: the next check plans with it.
        deps.store.extend_key_retention(longest).await?;
        return Ok(Vec::new());
    }
    expire_verify_only_keys(&deps.store, now_ms / 1000).await?;
    let mut failures = Vec::new();
    for step in (deps.plan)(&keys, now_ms) {
        match take_step(&deps.store, step, now_ms).await {
            Ok(()) => {}
            Err(
                error @ (StoreError::Unavailable(_)
                | StoreError::Timeout
                | StoreError::NotWritable(_)
                | StoreError::Denied(_)),
            ) => {
                return Err(error);
            }
            Err(error @ (StoreError::Conflict(_) | StoreError::InvalidValue(_))) => failures.push(error.to_string()),
            Err(StoreError::Corrupt(why)) => failures.push(why),
        }
    }
    Ok(failures)
}

/// Writes the verifiers that this node has seen. If a key waits for its verifiers, or with `is_read`, reads the verifiers of all nodes, and activates
/// the keys that all of them have fetched.
async fn watch_verifiers(deps: Deps, is_read: bool) -> Result<(), StoreError> {
    let now_ms = deps.clock.unix_ms() as i64;
    let now = now_ms / 1000;
    let unwritten = deps.fetches.take_unwritten();
    if !unwritten.is_empty()
        && let Err(error) = deps.store.record_key_fetches(&unwritten, now - FORGET_AFTER).await
    {
        deps.fetches.give_back(unwritten);
        return Err(error);
    }
    let keys = deps.store.keys().await?;
    let is_awaited = keys.iter().any(|key| key.when_seen && key.signs_from_ms > now_ms);
    if !is_read && !is_awaited {
        return Ok(());
    }
    let verifiers = deps.store.key_verifiers(now - FORGET_AFTER).await?;
    for key in (deps.watch)(&keys, &verifiers, now_ms) {
        let audit = audit_entry("key.activate", &key);
        if deps.store.activate_key(&key, now_ms.unsigned_abs(), &audit).await? {
            tracing::info!(kid = key.kid, algorithm = %key.algorithm, "activated a signing key: every recent verifier has fetched it");
        }
    }
    Ok(())
}

/// Removes the keys of a replaced issuer whose time is over.
async fn expire_verify_only_keys(store: &Store, now: i64) -> Result<(), StoreError> {
    for key in store.verify_only_keys().await? {
        if key.kept_until > now {
            continue;
        }
        let audit = AuditEntry {
            actor: "server".to_owned(),
            action: "key.remove",
            detail: serde_json::json!({"algorithm": key.algorithm, "verify_only": true, "issuer": key.issuer}),
        };
        if store.expire_verify_only_key(&key.kid, now, &audit).await? {
            tracing::info!(
                kid = key.kid,
                issuer = key.issuer,
                "removed a verify-only key: its time is over"
            );
        }
    }
    Ok(())
}

async fn take_step(store: &Store, step: Step, now_ms: i64) -> Result<(), StoreError> {
    match step {
        Step::Publish(generate, after_ms) => {
            let generated = tokio::task::spawn_blocking(generate).await;
            let generated = generated.unwrap_or_else(|_| Err("key generation panicked".to_owned()));
            let key = generated.map_err(StoreError::Corrupt)?;
            let action = if after_ms == i64::MIN {
                "key.create"
            } else {
                "key.rotate"
            };
            let audit = audit_entry(action, &key);
            if store.add_key(&key, Some(after_ms), &audit).await? {
                tracing::info!(kid = key.kid, algorithm = %key.algorithm, signs_from_ms = key.signs_from_ms, "published a signing key");
            }
        }
        Step::Remove(key) => {
            let audit = audit_entry("key.remove", &key);
            if store.remove_key(&key, now_ms / 1000, &audit).await? {
                tracing::info!(kid = key.kid, algorithm = %key.algorithm, "removed a signing key: its last token has expired");
            }
        }
    }
    Ok(())
}

fn audit_entry(action: &'static str, key: &StoredKey) -> AuditEntry {
    AuditEntry {
        actor: "server".to_owned(),
        action,
        detail: serde_json::json!({"algorithm": key.algorithm, "signs_from_ms": key.signs_from_ms}),
    }
}

impl Actor for KeyKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |actor, ctx| {
            actor.maintain(ctx);
            ctx.run_interval(CHECK, |actor, ctx| {
                actor.maintain(ctx);
                actor.watch(ctx);
            });
        });
    }
}

//! The key keeper.
//!
//! - Owns: the moment at which signing keys are made and removed. Which and when is a plan that it is given; that a key of
//!   those that are there signs needs nobody, it follows from the keys' own times.
//! - Source of truth: the store. Of several nodes that plan the same, one does it: the store decides.
//! - On restart: it looks again.
//! - When full: it takes no messages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::watch;

use crate::directory::Directory;
use crate::error::StoreError;
use crate::model::{AuditEntry, StoredKey};
use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::when::when;
use crate::store::Store;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Makes a key; an error says why it could not be made. It may take long.
pub type Make = Box<dyn FnOnce() -> Result<StoredKey, String> + Send>;

/// What is to be done with the keys of a moment.
pub enum Step {
    /// Make one, if no key of its algorithm signs or will sign from a later moment than this.
    Make(Make, i64),
    /// Remove one.
    Remove(StoredKey),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(_, after_ms) => f.debug_tuple("Make").field(after_ms).finish_non_exhaustive(),
            Self::Remove(key) => f.debug_tuple("Remove").field(&key.kid).finish(),
        }
    }
}

/// Plans for the keys of a moment (Unix milliseconds).
pub type Plan = Arc<dyn Fn(&[StoredKey], i64) -> Vec<Step> + Send + Sync>;

/// What the actor is built from, again after each crash.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Knows how long tokens may live.
    pub directory: Arc<Directory>,
    /// The server's default token lifetime, seconds.
    pub default_lifetime: u32,
    /// The clock, kept to the store's.
    pub clock: Arc<StoreClock>,
    /// Turns true once the schema and the first keys are there.
    pub prepared: watch::Receiver<bool>,
    /// What to do.
    pub plan: Plan,
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
pub struct KeyKeeper {
    parts: Parts,
    looking: bool,
    /// What did not succeed the last time.
    failed: Vec<String>,
}

impl KeyKeeper {
    /// An actor that has looked at nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            looking: false,
            failed: Vec::new(),
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        // By a clock that is wrong keys would be made and removed at the wrong time; before there are clients, too.
        if self.looking || !self.parts.clock.is_right() || self.parts.directory.freshness().age().is_none() {
            return;
        }
        self.looking = true;
        let parts = self.parts.clone();
        ctx.spawn(keep(parts).into_actor(self).map(|done, actor, _| {
            actor.looking = false;
            match done {
                Ok(failed) => actor.report(failed),
                // That the store is away is told by others.
                Err(error) => tracing::debug!(%error, "signing keys could not be looked after"),
            }
        }));
    }

    /// Says once, not at every look, what did not succeed.
    fn report(&mut self, failed: Vec<String>) {
        for why in failed.iter().filter(|why| !self.failed.contains(why)) {
            tracing::warn!("signing keys cannot follow each other as they should: {why}");
        }
        self.failed = failed;
    }
}

/// Takes every step, whatever becomes of the others; answers why some did not succeed.
async fn keep(parts: Parts) -> Result<Vec<String>, StoreError> {
    let keys = parts.store.keys().await?;
    let longest = i64::from(parts.directory.longest_lifetime().max(parts.default_lifetime));
    if keys.iter().any(|key| key.token_lifetime < longest) {
        // Lengthened before anything is planned: the next look plans with it.
        parts.store.lengthen_keys(longest).await?;
        return Ok(Vec::new());
    }
    let now_ms = parts.clock.unix_ms() as i64;
    let mut failed = Vec::new();
    for step in (parts.plan)(&keys, now_ms) {
        match take(&parts.store, step, now_ms).await {
            Ok(()) => {}
            Err(error @ (StoreError::Unavailable(_) | StoreError::Timeout)) => return Err(error),
            Err(StoreError::Conflict(why) | StoreError::Corrupt(why)) => failed.push(why),
        }
    }
    Ok(failed)
}

async fn take(store: &Store, step: Step, now_ms: i64) -> Result<(), StoreError> {
    match step {
        Step::Make(make, after_ms) => {
            let outcome = tokio::task::spawn_blocking(make).await;
            let outcome = outcome.unwrap_or_else(|_| Err("the thread that made a key failed".to_owned()));
            let key = outcome.map_err(StoreError::Corrupt)?;
            let action = if after_ms == i64::MIN {
                "key.create"
            } else {
                "key.rotate"
            };
            let audit = by_the_server(action, &key);
            if store.add_key(&key, Some(after_ms), &audit).await? {
                tracing::info!(kid = key.kid, algorithm = %key.algorithm, signs_from_ms = key.signs_from_ms, "a signing key is published");
            }
        }
        Step::Remove(key) => {
            let audit = by_the_server("key.remove", &key);
            if store.remove_key(&key, now_ms / 1000, &audit).await? {
                tracing::info!(kid = key.kid, algorithm = %key.algorithm, "a signing key is removed: its last token has expired");
            }
        }
    }
    Ok(())
}

fn by_the_server(action: &'static str, key: &StoredKey) -> AuditEntry {
    AuditEntry {
        actor: "server".to_owned(),
        action,
        detail: serde_json::json!({"algorithm": key.algorithm, "signs_from_ms": key.signs_from_ms}),
    }
}

impl Actor for KeyKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when(ctx, self.parts.prepared.clone(), |actor, ctx| {
            actor.look(ctx);
            ctx.run_interval(LOOK, Self::look);
        });
    }
}

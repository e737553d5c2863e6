//! Verifies secrets by hashes that other products made, and replaces such a hash with the fast one once its secret was presented.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::error::AskError;
use oauth2_actors::metrics::{ForeignCheck, Instruments};
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_store::model;
use oauth2_store::model::AuditEntry;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout_at;

use super::failures::Caller;
use super::pool::{Key, Pool, Presented, Verification};
use crate::protocol::client_auth::foreign_hash::ForeignHash;
use crate::service::error::{Result, ServiceError};
use crate::service::store_access::StoreAccess;
use crate::tokens::secret::{self, NoRandomness};

/// Time limit of a replacement.
const REPLACE_LIMIT: Duration = Duration::from_secs(5);

/// The action of the audit row of a replacement.
pub const UPGRADED: &str = "client.secret_upgrade";

/// How long a secret stays remembered whose hash could not be replaced; then it is verified, and its hash replaced, again.
const REPLACE_AGAIN: Duration = Duration::from_secs(10);

/// The use case. Clones share it.
#[derive(Debug, Clone)]
pub struct ForeignSecrets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    store: StoreAccess,
    clock: Arc<StoreClock>,
    instruments: Arc<Instruments>,
    /// Makes the keys of this process different from the keys of other processes: they are hashes of secrets that may be weak.
    salt: [u8; 32],
}

/// A presented secret, and the hash of a client that it may match.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) client_id: &'a Arc<str>,
    pub(super) hash: &'a model::ForeignHash,
    pub(super) presented: &'a str,
}

impl ForeignSecrets {
    /// With so many threads, at least one.
    pub fn new(
        threads: usize,
        store: StoreAccess,
        clock: Arc<StoreClock>,
        instruments: Arc<Instruments>,
    ) -> std::result::Result<Self, NoRandomness> {
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(threads),
            store,
            clock,
            instruments,
            salt: secret::random_bytes()?,
        })))
    }

    /// Secrets that wait for their verification, or are verified.
    pub fn queue_length(&self) -> usize {
        self.0.pool.len()
    }

    /// Whether a secret matches. [`AskError::Full`]: it is not known yet; a verification that began goes on, so a retry finds it done. The
    /// caller is charged for work in vain, also when it gave up.
    pub(super) async fn verify(&self, attempt: Attempt<'_>, caller: Caller<'_>, deadline: Instant) -> Result<bool> {
        let (inner, key) = (&self.0, self.0.key(attempt));
        if let Some(known) = inner.pool.known(&key) {
            inner.instruments.foreign_check(ForeignCheck::Remembered);
            return Ok(known);
        }
        let presented = Presented {
            key,
            client_id: attempt.client_id,
            secret: attempt.presented,
            is_over_limit: caller.is_over_limit(),
        };
        let parsed = || {
            let parsed = ForeignHash::from_stored(&attempt.hash.text);
            if parsed.is_none() {
                tracing::error!(
                    client_id = &**attempt.client_id,
                    "a stored hash of a secret cannot be read"
                );
            }
            parsed
        };
        let found = match inner.pool.verify(&presented, parsed) {
            Ok(Verification::Known(known)) => {
                inner.instruments.foreign_check(ForeignCheck::Remembered);
                return Ok(known);
            }
            Ok(Verification::Joined(outcome)) => timeout_at(deadline.into(), ended(outcome)).await,
            Ok(Verification::Began(outcome)) => {
                let answer = self.follow(key, attempt, outcome, caller.on_mismatch());
                let answer = timeout_at(deadline.into(), answer).await;
                answer.map(|found| found.ok().flatten())
            }
            Err(error) => {
                caller.charge();
                inner.instruments.foreign_check(ForeignCheck::Shed);
                return Err(error.into());
            }
        };
        let Ok(found) = found else {
            inner.instruments.foreign_check(ForeignCheck::Shed);
            // Not a missed deadline, which would say that an actor or the store is slow.
            return Err(AskError::Full.into());
        };
        found.ok_or(ServiceError::Ask(AskError::Crashed))
    }

    /// Counts the outcome of a verification, and replaces the hash if the secret allows that. Independent of the request, whose caller may give
    /// up: `on_mismatch` learns whether it awaited the outcome.
    fn follow(
        &self,
        key: Key,
        attempt: Attempt<'_>,
        outcome: watch::Receiver<Option<bool>>,
        on_mismatch: impl FnOnce(bool) + 'static,
    ) -> oneshot::Receiver<Option<bool>> {
        let (answer, awaited) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        let (client_id, foreign_id) = (Arc::clone(attempt.client_id), attempt.hash.id);
        let replacement = ForeignHash::from_stored(&attempt.hash.text)
            .filter(|hash| hash.may_be_replaced_by(attempt.presented))
            .map(|hash| (hash.scheme(), secret::hash(attempt.presented)));
        tokio::task::spawn_local(async move {
            let found = ended(outcome).await;
            let is_awaited = answer.send(found).is_ok();
            let Some(is_match) = found else {
                return;
            };
            if !is_match {
                on_mismatch(is_awaited);
            }
            let check = if is_match {
                ForeignCheck::Matched
            } else {
                ForeignCheck::Mismatched
            };
            inner.instruments.foreign_check(check);
            let Some((scheme, hash)) = replacement.filter(|_| is_match) else {
                return;
            };
            let audit = AuditEntry {
                actor: "server".to_owned(),
                action: UPGRADED,
                detail: json!({"secret": secret::fingerprint(&foreign_id), "scheme": scheme.as_str()}),
            };
            match inner.replace(&client_id, foreign_id, hash, audit).await {
                // Another node may have been first.
                Ok(is_replaced) => {
                    if is_replaced {
                        inner.instruments.secret_replaced();
                    }
                }
                Err(error) => {
                    tracing::warn!(client_id = &*client_id, %error, "the hash of a secret could not be replaced");
                    tokio::time::sleep(REPLACE_AGAIN).await;
                }
            }
            // The fast hash is enough from now on. If the slow one comes back, by an import, it is replaced again.
            inner.pool.forget(&key);
        });
        awaited
    }
}

/// The outcome of a verification; `None` if it crashed.
async fn ended(mut outcome: watch::Receiver<Option<bool>>) -> Option<bool> {
    outcome.wait_for(Option::is_some).await.ok().and_then(|found| *found)
}

impl Inner {
    fn key(&self, attempt: Attempt<'_>) -> Key {
        // With the client: each of several clients with the same hash has its hash replaced. All but the last have a fixed length.
        let client = secret::hash(attempt.client_id.as_bytes());
        let parts = [&self.salt[..], &attempt.hash.id, &client, attempt.presented.as_bytes()];
        secret::hash(parts.concat())
    }

    async fn replace(&self, client_id: &str, foreign_id: [u8; 32], hash: [u8; 32], audit: AuditEntry) -> Result<bool> {
        let (id, now) = (client_id.to_owned(), (self.clock.unix_ms() / 1000) as i64);
        let verb = move |store: oauth2_store::Store| async move {
            store.replace_foreign_hash(&id, &foreign_id, &hash, now, &audit).await
        };
        self.store.change(Instant::now() + REPLACE_LIMIT, verb).await
    }
}

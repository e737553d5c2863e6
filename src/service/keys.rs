//! The signing keys of the store: list, rotate, revoke, import, rewrap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::metrics::Instruments;
use oauth2_store::model::{
    KeyAlgorithm, KeyRevocation, KeySet, RevocationTarget, StoredKey, VerifyOnlyKey, succession,
};
use serde_json::json;

use super::error::{NotFound, Result, ServiceError};
use super::operator::Operator;
use super::parameter::without_controls;
use super::store_access::StoreAccess;
use crate::keys::generate::{self, KeyTimes, NewKey};
use crate::keys::keyring::Keyring;
use crate::keys::lifecycle::KeyTiming;
use crate::keys::wrapping::KeyWrapper;

pub mod verifiers;
pub mod verify_only;
pub mod view;

/// The use cases of signing keys.
#[derive(Debug)]
pub struct SigningKeys {
    /// The stored keys.
    pub store: StoreAccess,
    /// Wraps new keys. `None`: there is no key encryption key yet (command line, before the first start). An error: why it cannot be
    /// used.
    pub wrapper: Result<Option<KeyWrapper>>,
    /// How long keys are published, sign, and are kept.
    pub timing: KeyTiming,
    /// The `iss` of this server's tokens.
    pub issuer: Arc<str>,
    /// Lifetime of access tokens without a client's own setting, seconds.
    pub default_lifetime: u32,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// Which keys are rotated, and when the new ones sign.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotation {
    /// One algorithm; `None`: each that has keys.
    pub algorithm: Option<KeyAlgorithm>,
    /// Sign as soon as every recent verifier of the key sets has fetched the new key, and after this many seconds at the latest. `None`:
    /// once every cached key set has expired.
    pub when_seen: Option<u64>,
}

/// The stored keys of one moment.
#[derive(Debug)]
pub struct KeysAt {
    /// In the order in which they sign.
    pub keys: Vec<StoredKey>,
    /// Verify-only keys, in the order of their import.
    pub verify_only: Vec<VerifyOnlyKey>,
    /// The store's clock, Unix milliseconds.
    pub now_ms: i64,
}

impl KeysAt {
    /// Whether there is a key with this id.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid) || self.verify_only.iter().any(|key| key.kid == kid)
    }
}

impl SigningKeys {
    /// All keys, in the order in which they sign.
    pub async fn list(&self, deadline: Instant) -> Result<KeysAt> {
        Ok(KeysAt {
            keys: self.stored(deadline).await?,
            verify_only: self.verify_only(deadline).await?,
            now_ms: self.store.now_ms().await? as i64,
        })
    }

    /// Publishes a new key of one algorithm, or of each that has keys, all of them or none. A key signs when no verifier can be
    /// without it. Answers the new key ids.
    pub async fn rotate(&self, operator: &Operator, rotation: Rotation, deadline: Instant) -> Result<Vec<String>> {
        let longest = rotation
            .when_seen
            .map(|seconds| self.wait_for_verifiers(seconds))
            .transpose()?;
        let (wrapper, stored) = self.for_writing(deadline).await?;
        let mut new = Vec::new();
        for (algorithm, wait) in self.timing.rotation_plan(rotation.algorithm, &stored) {
            // The first key of an algorithm signs at once: nothing signs before it.
            let longest = longest.filter(|_| !wait.is_zero());
            let mut key = self.generate(algorithm, &wrapper, longest.unwrap_or(wait)).await?;
            key.when_seen = longest.is_some();
            let audit = operator.audit("key.rotate", detail(&key));
            new.push((key, audit));
        }
        let kids = new.iter().map(|(key, _)| key.kid.clone()).collect();
        self.store
            .change(deadline, move |store| async move { store.add_keys(&new).await })
            .await?;
        Ok(kids)
    }

    /// Removes a key at once, under every id that it has, and revokes every token it signed. If it signed, another key signs from now on.
    pub async fn revoke(&self, operator: &Operator, kid: &str, deadline: Instant) -> Result<()> {
        without_controls("kid", kid)?;
        let not_found = || ServiceError::NotFound(NotFound::Key(kid.to_owned()));
        let known = KeySet {
            signing: self.stored(deadline).await?,
            verify_only: self.verify_only(deadline).await?,
        };
        let algorithms = succession::revoked_algorithms(&known, kid).ok_or_else(not_found)?;
        let mut replacements = Vec::new();
        for algorithm in algorithms {
            let (wrapper, _) = self.for_writing(deadline).await?;
            replacements.push(self.generate(algorithm, &wrapper, Duration::ZERO).await?);
        }
        let now_ms = self.store.now_ms().await?;
        let detail = match replacements.first() {
            Some(key) => json!({"algorithm": key.algorithm, "cutoff_ms": now_ms}),
            None => json!({"verify_only": true, "cutoff_ms": now_ms}),
        };
        let revocation = KeyRevocation {
            kid: kid.to_owned(),
            now_ms,
            replacements,
        };
        let audit = operator.audit("key.revoke", detail);
        let found = self
            .store
            .change(deadline, move |store| async move {
                store.revoke_key(&revocation, &audit).await
            })
            .await?;
        if !found {
            return Err(not_found());
        }
        self.instruments.token_revoked(&RevocationTarget::Key(kid.to_owned()));
        Ok(())
    }

    /// Takes over a key that was made elsewhere. `published`: verifiers know it already, so it signs at once. Answers its id.
    pub async fn import(
        &self,
        operator: &Operator,
        new: &NewKey,
        published: bool,
        deadline: Instant,
    ) -> Result<String> {
        let (wrapper, stored) = self.for_writing(deadline).await?;
        let first = !stored.iter().any(|key| key.algorithm == new.algorithm);
        let wait = if published || first {
            Duration::ZERO
        } else {
            self.timing.publication()
        };
        let key = generate::to_stored(new, &wrapper, self.times(wait).await?)?;
        without_controls("kid", &key.kid)?;
        let same = |other: &&StoredKey| other.kid == key.kid || other.public_key == key.public_key;
        if let Some(known) = stored.iter().find(same) {
            let problem = if known.public_key == key.public_key {
                "the key is stored already; one key cannot sign for two algorithms or under two ids"
            } else {
                "another key has this id already"
            };
            return Err(ServiceError::Conflict(format!(
                "{problem}: {}, which signs {}",
                known.kid, known.algorithm
            )));
        }
        let mut detail = detail(&key);
        detail["published"] = json!(published);
        let (kid, audit) = (key.kid.clone(), operator.audit("key.import", detail));
        self.store
            .change(
                deadline,
                move |store| async move { store.add_key(&key, None, &audit).await },
            )
            .await?;
        Ok(kid)
    }

    /// Rewraps the keys that are wrapped under the previous key encryption key. Answers how many.
    pub async fn rewrap(&self, operator: &Operator, deadline: Instant) -> Result<usize> {
        let (wrapper, stored) = self.for_writing(deadline).await?;
        let rewrapped = wrapper.rewrap(&stored).map_err(crate::keys::KeyError::from)?;
        let count = rewrapped.len();
        if count > 0 {
            let now = (self.store.now_ms().await? / 1000) as i64;
            let audit = operator.audit("key.rewrap", json!({}));
            self.store
                .change(deadline, move |store| async move {
                    store.rewrap_keys(&rewrapped, now, &audit).await
                })
                .await?;
        }
        Ok(count)
    }

    /// Makes a key for an algorithm that a client's tokens are to be signed with, if there is none. The algorithms that every
    /// server signs with get theirs at the first start, which also provides the key encryption key. Returns whether there is a key now:
    /// without a key encryption key none is made.
    pub async fn ensure(&self, operator: &Operator, algorithm: KeyAlgorithm, deadline: Instant) -> Result<bool> {
        if KeyAlgorithm::REQUIRED.contains(&algorithm) {
            return Ok(true);
        }
        let stored = self.stored(deadline).await?;
        if stored.iter().any(|key| key.algorithm == algorithm) {
            return Ok(true);
        }
        let Some(wrapper) = self.wrapper.clone()? else {
            return Ok(false);
        };
        self.check_direct(&wrapper, &stored)?;
        let key = self.generate(algorithm, &wrapper, Duration::ZERO).await?;
        let audit = operator.audit("key.create", detail(&key));
        self.store
            .change(
                deadline,
                move |store| async move { store.ensure_keys(&[key], &audit).await },
            )
            .await?;
        Ok(true)
    }

    /// Fails unless there is a key encryption key, and every stored key unwraps.
    pub async fn check(&self, deadline: Instant) -> Result<()> {
        self.for_writing(deadline).await.map(drop)
    }

    async fn stored(&self, deadline: Instant) -> Result<Vec<StoredKey>> {
        self.store
            .call(deadline, |store| async move { store.keys().await })
            .await
    }

    /// On the command line: every stored key must unwrap, or the key encryption key is not that of the store. A server checked its own
    /// at the start; a key that does not unwrap since then must not prevent an operator from revoking or rotating it.
    fn check_direct(&self, wrapper: &KeyWrapper, stored: &[StoredKey]) -> Result<()> {
        match self.store {
            StoreAccess::Direct(_) => check(wrapper, stored),
            StoreAccess::Gateway(_) => Ok(()),
        }
    }

    /// The wrapper of a key that is to be written, and the stored keys.
    async fn for_writing(&self, deadline: Instant) -> Result<(KeyWrapper, Vec<StoredKey>)> {
        let wrapper = self.wrapper.clone()?.ok_or_else(|| {
            ServiceError::Key(
                "there is no key encryption key yet: start the server once, or set OAUTH2_KEY_ENCRYPTION_KEY"
                    .to_owned(),
            )
        })?;
        let stored = self.stored(deadline).await?;
        self.check_direct(&wrapper, &stored)?;
        Ok((wrapper, stored))
    }

    /// Generates a key off the calling thread: a prime may take a second to find.
    async fn generate(&self, algorithm: KeyAlgorithm, wrapper: &KeyWrapper, wait: Duration) -> Result<StoredKey> {
        let (wrapper, times) = (wrapper.clone(), self.times(wait).await?);
        let generated = tokio::task::spawn_blocking(move || generate::generate(algorithm, &wrapper, times)).await;
        Ok(generated.map_err(|_| ServiceError::Internal("cannot generate a signing key"))??)
    }

    async fn times(&self, wait: Duration) -> Result<KeyTimes> {
        Ok(KeyTimes {
            now_ms: self.store.now_ms().await? as i64,
            wait,
            token_lifetime: self.store.longest_lifetime().max(self.default_lifetime).into(),
        })
    }
}

/// A key wrapped under another key encryption key than the stored ones could be unwrapped by no server.
fn check(wrapper: &KeyWrapper, stored: &[StoredKey]) -> Result<()> {
    Keyring::open("", wrapper, stored, None)?;
    Ok(())
}

/// The audit detail of a key that is created.
pub fn detail(key: &StoredKey) -> serde_json::Value {
    let mut detail = json!({"algorithm": key.algorithm, "signs_from_ms": key.signs_from_ms});
    if key.when_seen {
        detail["when_seen"] = true.into();
    }
    detail
}

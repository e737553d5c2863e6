//! The signing keys of a process: opened and published when they change, published again and removed in time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oauth2_actors::directory::{ApplyKeys, Directory};
use oauth2_actors::key_fetches::KeyFetches;
use oauth2_actors::key_keeper::{self, ObserveKeys, Plan, Watch};
use oauth2_store::model::{KeyAlgorithm, SigningAlg};

use crate::config::Config;
use crate::keys::generate::{KeyTimes, generate};
use crate::keys::keyring::Keyring;
use crate::keys::lifecycle::{self, Step};
use crate::keys::verifiers;
use crate::keys::verify_only::VerifyOnlyKeys;
use crate::keys::wrapping::KeyWrapper;
use crate::service::published_keys::{KeysHandle, PublishedKeys};
use crate::tokens::verified::VerifiedTokens;

/// Opens changed keys and publishes them. A key that does not unwrap on this node is published and verifies, but never signs here.
pub(super) fn apply(
    config: &Config,
    wrapper: KeyWrapper,
    keys: &KeysHandle,
    verified: &Arc<VerifiedTokens>,
) -> ApplyKeys {
    let (issuer, grace) = (config.issuer.clone(), config.keys.grace());
    let (shared, previous) = (
        config.secrets.jwt_secret.clone(),
        config.secrets.previous_jwt_secret.clone(),
    );
    let (keys, verified) = (Arc::clone(keys), Arc::clone(verified));
    let logged: Mutex<HashSet<String>> = Mutex::default();
    Box::new(move |stored| {
        let shared = shared.as_ref().map(|secret| secret.expose().as_bytes());
        let (mut keyring, errors) = Keyring::open_lenient(&issuer, &wrapper, &stored.signing, shared, grace);
        if let Some(secret) = &previous {
            keyring.add_previous_shared_secret(secret.expose().as_bytes());
        }
        let errors: HashSet<String> = errors.iter().map(ToString::to_string).collect();
        let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
        for error in errors.difference(&logged) {
            tracing::error!("{error}; it is published and verifies, but does not sign on this node");
        }
        *logged = errors;
        let (verify_only, damaged) = VerifyOnlyKeys::open(&stored.verify_only);
        for error in damaged {
            tracing::error!("{error}; it verifies no token on this node");
        }
        keys.store(Arc::new(PublishedKeys::new(keyring, verify_only, &stored.signing)));
        verified.clear();
    })
}

/// Publishes how many retired keys are to be removed before their last token expires.
pub(super) fn observe(config: &Config, removed_early: &Arc<AtomicU64>) -> ObserveKeys {
    let (timing, removed_early) = (config.keys, Arc::clone(removed_early));
    Arc::new(move |keys, longest_lifetime, now_ms| {
        let count = lifecycle::removed_early(keys, longest_lifetime, now_ms, &timing);
        removed_early.store(count as u64, Ordering::Relaxed);
    })
}

/// Decides which keys every recent verifier has fetched.
pub(super) fn watch(config: &Config, fetches: &Arc<KeyFetches>) -> Watch {
    let (timing, fetches) = (config.keys, Arc::clone(fetches));
    Arc::new(move |keys, verifiers, now_ms| {
        let (seen, behind) = verifiers::count(keys, verifiers, now_ms, &timing);
        fetches.publish(seen, behind);
        let due = verifiers::due_activations(keys, verifiers, now_ms, &timing);
        due.into_iter().cloned().collect()
    })
}

/// Decides which steps of the lifecycle are due.
pub(super) fn plan(config: &Config, wrapper: KeyWrapper, directory: &Arc<Directory>) -> Plan {
    let (timing, directory) = (config.keys, Arc::clone(directory));
    let default_lifetime = config.tokens.access_token_lifetime;
    Arc::new(move |keys, now_ms| {
        let used: Vec<KeyAlgorithm> = KeyAlgorithm::ALL
            .iter()
            .copied()
            .filter(|algorithm| KeyAlgorithm::REQUIRED.contains(algorithm) || is_used(&directory, *algorithm))
            .collect();
        let due = lifecycle::due_steps(keys, &used, now_ms, &timing).into_iter();
        due.map(|step| match step {
            Step::Remove(key) => key_keeper::Step::Remove(key.clone()),
            Step::Publish {
                algorithm,
                after_ms,
                signs_from_ms,
            } => {
                let wrapper = wrapper.clone();
                let times = KeyTimes {
                    now_ms,
                    wait: Duration::from_millis((signs_from_ms - now_ms).unsigned_abs()),
                    token_lifetime: directory.longest_lifetime().max(default_lifetime).into(),
                };
                let make = move || generate(algorithm, &wrapper, times).map_err(|error| error.to_string());
                key_keeper::Step::Publish(Box::new(make), after_ms)
            }
        })
        .collect()
    })
}

/// Whether tokens of any client are signed with the algorithm.
fn is_used(directory: &Directory, algorithm: KeyAlgorithm) -> bool {
    let mut algorithms = SigningAlg::ALL
        .iter()
        .filter(|alg| alg.key_algorithm() == Some(algorithm));
    algorithms.any(|alg| directory.signs_with(*alg))
}

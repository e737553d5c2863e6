//! What becomes of signing keys: taken over when they change, and looked after.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use oauth2_actors::directory::{Directory, TakeKeys};
use oauth2_actors::key_keeper::{KeyKeeper, Parts, Plan, Step};
use oauth2_actors::model::{KeyAlgorithm, SigningAlg};
use oauth2_actors::runtime::clock::StoreClock;
use oauth2_actors::runtime::supervisor::{Policy, Supervised, supervise};
use oauth2_actors::store::Store;
use tokio::sync::watch;

use crate::config::Config;
use crate::config::embedded::Provided;
use crate::http::discovery::PublishedKeys;
use crate::tokens::generate::{Times, generate};
use crate::tokens::keyring::Keyring;
use crate::tokens::lifecycle;
use crate::tokens::verified::VerifiedTokens;

/// Opens changed keys and publishes them. One that this node cannot open keeps it from nothing but signing with it.
pub(super) fn take(
    config: &Config,
    secrets: &Provided,
    keys: &Arc<ArcSwap<PublishedKeys>>,
    verified: &Arc<VerifiedTokens>,
) -> TakeKeys {
    let (issuer, grace) = (config.issuer.clone(), config.keys.grace());
    let told: Mutex<HashSet<String>> = Mutex::default();
    let (seals, shared) = (secrets.seals.clone(), config.secrets.jwt_secret.clone());
    let (keys, verified) = (Arc::clone(keys), Arc::clone(verified));
    Box::new(move |stored| {
        let shared = shared.as_ref().map(|secret| secret.expose().as_bytes());
        let (keyring, useless) = Keyring::open_what_opens(&issuer, &seals, stored, shared, grace);
        let useless: HashSet<String> = useless.iter().map(ToString::to_string).collect();
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        for why in useless.difference(&told) {
            tracing::error!("{why}; here it is published and verifies, and others sign");
        }
        *told = useless;
        keys.store(Arc::new(PublishedKeys::new(keyring, stored)));
        verified.clear();
    })
}

/// The actor that looks after them.
pub(super) fn keeper(
    config: &Config,
    secrets: &Provided,
    store: &Store,
    directory: &Arc<Directory>,
    clock: &Arc<StoreClock>,
    prepared: &watch::Receiver<bool>,
) -> Supervised<KeyKeeper> {
    let parts = Parts {
        store: store.clone(),
        directory: Arc::clone(directory),
        default_lifetime: config.tokens.access_token_lifetime,
        clock: Arc::clone(clock),
        prepared: prepared.clone(),
        plan: plan(config, secrets, directory),
    };
    supervise("key_keeper", Policy::default(), move |_| KeyKeeper::new(parts.clone()))
}

/// What to do with the keys of a moment.
fn plan(config: &Config, secrets: &Provided, directory: &Arc<Directory>) -> Plan {
    let (timing, seals, directory) = (config.keys, secrets.seals.clone(), Arc::clone(directory));
    let lifetime = config.tokens.access_token_lifetime;
    Arc::new(move |keys, now_ms| {
        let wanted: Vec<KeyAlgorithm> = KeyAlgorithm::ALL
            .iter()
            .copied()
            .filter(|algorithm| KeyAlgorithm::ALWAYS.contains(algorithm) || is_wanted(&directory, *algorithm))
            .collect();
        let steps = lifecycle::steps(keys, &wanted, now_ms, &timing).into_iter();
        let step = |step| match step {
            lifecycle::Step::Remove(key) => Step::Remove(key.clone()),
            lifecycle::Step::Make {
                algorithm,
                after_ms,
                signs_from_ms,
            } => {
                let seals = seals.clone();
                let times = Times {
                    now_ms,
                    wait: Duration::from_millis((signs_from_ms - now_ms).unsigned_abs()),
                    token_lifetime: directory.longest_lifetime().max(lifetime).into(),
                };
                let make = move || generate(algorithm, &seals, times).map_err(|error| error.to_string());
                Step::Make(Box::new(make), after_ms)
            }
        };
        steps.map(step).collect()
    })
}

/// Whether a client has its tokens signed so.
fn is_wanted(directory: &Directory, algorithm: KeyAlgorithm) -> bool {
    let mut algorithms = SigningAlg::ALL.iter().filter(|alg| alg.key() == Some(algorithm));
    algorithms.any(|alg| directory.signs_with(*alg))
}

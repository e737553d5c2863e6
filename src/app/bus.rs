//! How the nodes of a store announce to each other what they committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth2_actors::bus::{ApplyHints, HintKeys, Transport};
use oauth2_actors::hints::Hint;
use oauth2_actors::issuer_key::IssuerKey;
use oauth2_actors::revocation_cache::{Apply, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_actors::runtime::schedule::{Pace, Wake};
use oauth2_actors::shared_redis::RedisProblem;
use oauth2_store::Store;
use oauth2_store::model::{Revocation, RevocationTarget};

use crate::config::Config;
use crate::failure::Failure;
use crate::keys::wrapping::KeyWrapper;
use crate::service::store_access::Announce;

/// How long the application of a hint may wait. Later, the log has been read.
const APPLY: Duration = Duration::from_secs(1);

/// What followers of the store's logs share.
pub(super) struct Follow {
    pub(super) pace: Pace,
    pub(super) wake: Wake,
    pub(super) wake_revocations: Wake,
}

/// The way that hints take; `None` where there are no other nodes, or no way to them.
pub(super) fn transport(config: &Config, store: &Store) -> Option<Transport> {
    if let Some(redis) = &config.redis {
        return Some(Transport::Redis(redis.options.clone()));
    }
    store.can_listen().then(|| Transport::Postgres(store.clone()))
}

/// The key that the nodes of this issuer share.
pub(super) fn issuer_key(wrapper: &KeyWrapper) -> IssuerKey {
    IssuerKey::new(wrapper.current, wrapper.previous)
}

/// The keys that authenticate hints.
pub(super) fn keys(wrapper: &KeyWrapper) -> HintKeys {
    HintKeys::derive(&issuer_key(wrapper))
}

/// An id for this process.
pub(super) fn node() -> u64 {
    (uuid::Uuid::now_v7().as_u128() as u64).max(1)
}

/// Applies revoked tokens at once, and reads everything else from the store at once.
pub(super) fn apply(follow: &Follow, revocation_cache: &Mailbox<RevocationCache>) -> ApplyHints {
    let (directory, log) = (follow.wake.clone(), follow.wake_revocations.clone());
    let revocation_cache = revocation_cache.clone();
    Arc::new(move |hints| {
        // A change of a client may revoke its tokens.
        if hints.contains(&Hint::Directory) {
            directory.wake();
            log.wake();
        } else if hints.contains(&Hint::CutOff) {
            log.wake();
        }
        let tokens: Vec<_> = hints.iter().filter_map(revocation).collect();
        if tokens.is_empty() {
            return;
        }
        match revocation_cache.ask(Apply(tokens), Instant::now() + APPLY) {
            Ok(applied) => drop(actix_web::rt::spawn(applied)),
            Err(_) => log.wake(),
        }
    })
}

fn revocation(hint: &Hint) -> Option<Revocation> {
    match *hint {
        Hint::Token { jti, expires_at } => Some(Revocation::new(RevocationTarget::Token { jti, expires_at }, 0)),
        Hint::CutOff | Hint::Directory => None,
    }
}

/// Announces to the nodes of a store what a subcommand committed.
pub(super) fn announce(
    config: &Config,
    store: &Store,
    wrapper: Option<&KeyWrapper>,
    clock: &Arc<StoreClock>,
) -> Announce {
    // Behind a pooler a subcommand cannot listen, but notify.
    let transport = match &config.redis {
        Some(redis) => Some(Transport::Redis(redis.options.clone())),
        None => (store.kind() == "postgres").then(|| Transport::Postgres(store.clone())),
    };
    let way = transport.zip(wrapper.map(keys));
    let (clock, has_failed) = (Arc::clone(clock), Arc::new(AtomicBool::new(false)));
    Arc::new(move |hints| {
        let (way, now_ms, has_failed) = (way.clone(), clock.unix_ms(), Arc::clone(&has_failed));
        Box::pin(async move {
            let Some((transport, keys)) = way else { return };
            // A long job must not wait for each of its changes.
            if has_failed.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = transport.send_once(&keys, now_ms, hints).await {
                has_failed.store(true, Ordering::Relaxed);
                tracing::debug!(%error, "servers read changes from the store: hints cannot be sent");
            }
        })
    })
}

/// Checks the Redis of a server that starts. A problem ends the start if Redis is required, else it is one line of the log.
pub(super) async fn check(config: &Config, store: &Store) -> Result<(), Failure> {
    let Some(redis) = &config.redis else {
        if store.kind() == "postgres" && !store.can_listen() {
            tracing::warn!(
                "a pooler in transaction mode passes on no notifications: changes of other nodes are read from the store each 250 ms; \
                 set OAUTH2_DATABASE_LISTEN_URL or OAUTH2_REDIS_URL"
            );
        }
        return Ok(());
    };
    match redis.options.check().await {
        Ok(version) => tracing::info!(version, hosts = redis.options.address.hosts(), "Redis responds"),
        Err(problem) if redis.is_required => {
            let text = format!("OAUTH2_REDIS_URL: {}", problem.text());
            return Err(match problem {
                RedisProblem::Unreachable(_) => Failure::Environment(text),
                RedisProblem::Unusable(_) | RedisProblem::Lacking(_) => Failure::Invalid(text),
            });
        }
        Err(RedisProblem::Lacking(problem)) => tracing::warn!(
            problem,
            "OAUTH2_REDIS_URL: using it all the same; set OAUTH2_REDIS_REQUIRED=true to fail instead"
        ),
        Err(problem) => tracing::warn!(
            problem = problem.text(),
            "OAUTH2_REDIS_URL: starting without Redis; set OAUTH2_REDIS_REQUIRED=true to fail instead"
        ),
    }
    Ok(())
}

//! Each actor with what it is made of, again after each crash.

use std::sync::Arc;

use arc_swap::ArcSwap;
use oauth2_actors::audit_writer::{self, AuditWriter, Failures};
use oauth2_actors::metrics::Instruments;
use oauth2_actors::quota_keeper::{self, Counters, QuotaKeeper};
use oauth2_actors::rate_limiter::{FailureOptions, Limits, PublishedLimits, RateLimiter};
use oauth2_actors::recorder::{self, ObserveCommit, Recorders};
use oauth2_actors::revocation_cache::{self, PublishedRevocations, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::supervisor::{Policy, Supervised, supervise};
use oauth2_actors::store::{Location, Store};
use tokio::sync::watch;

use crate::config::Config;

/// Messages that a recorder takes at a time: at 50 000 tokens a second, a tenth of a second of work.
const RECORDER_MAILBOX: usize = 5000;

pub(super) fn revocation_cache(
    store: &Store,
    prepared: &watch::Receiver<bool>,
    ids: &Arc<IdClock>,
    clock: &Arc<StoreClock>,
) -> (PublishedRevocations, Supervised<RevocationCache>) {
    let published = PublishedRevocations::default();
    let parts = revocation_cache::Parts {
        store: store.clone(),
        published: Arc::clone(&published),
        prepared: prepared.clone(),
        ids: Arc::clone(ids),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        lives: Arc::default(),
    };
    let actor = supervise("revocation_cache", Policy::default(), move |_| {
        RevocationCache::new(parts.clone())
    });
    (published, actor)
}

/// How many recorders there may be at the most: each has a connection of its own on Postgres, and the pool gets half of them.
fn most_recorders(config: &Config) -> usize {
    let options = config.database.options();
    match options.location {
        Location::Postgres(_) => options.max_connections as usize / 2,
        Location::Sqlite(_) => config.server.workers,
    }
}

/// How many recorders there are.
pub(super) fn recorder_count(config: &Config) -> usize {
    config.server.workers.min(most_recorders(config))
}

pub(super) fn recorders(
    config: &Config,
    store: &Store,
    prepared: &watch::Receiver<bool>,
    instruments: &Arc<Instruments>,
) -> Recorders {
    let parts = recorder::Parts {
        store: store.clone(),
        prepared: prepared.clone(),
        observe_commit: observe_commit(instruments),
    };
    let policy = Policy {
        mailbox_capacity: RECORDER_MAILBOX,
        ..Policy::default()
    };
    Recorders::new(config.server.workers, most_recorders(config), policy, &parts)
}

pub(super) fn rate_limiter(config: &Config) -> (PublishedLimits, Supervised<RateLimiter>) {
    let failures = FailureOptions {
        rate: config.limits.failures,
        most_keys: config.limits.failure_keys,
    };
    let published: PublishedLimits = Arc::new(ArcSwap::from_pointee(Limits::new(failures)));
    let buckets = Arc::clone(&published);
    let actor = supervise("rate_limiter", Policy::default(), move |_| {
        RateLimiter::new(Arc::clone(&buckets), failures)
    });
    (published, actor)
}

pub(super) fn quota_keeper(
    config: &Config,
    store: &Store,
    counters: &Arc<Counters>,
    clock: &Arc<StoreClock>,
    prepared: &watch::Receiver<bool>,
    instruments: &Arc<Instruments>,
) -> Supervised<QuotaKeeper> {
    let instruments = Arc::clone(instruments);
    let parts = quota_keeper::Parts {
        store: store.clone(),
        counters: Arc::clone(counters),
        clock: Arc::clone(clock),
        prepared: prepared.clone(),
        hoard: config.quotas.hoard,
        observe_save: Arc::new(move |elapsed, done| instruments.quota_save(elapsed, done)),
    };
    supervise("quota_keeper", Policy::default(), move |_| {
        QuotaKeeper::new(parts.clone())
    })
}

fn observe_commit(instruments: &Arc<Instruments>) -> ObserveCommit {
    let instruments = Arc::clone(instruments);
    Arc::new(move |rows, elapsed| instruments.commit(rows, elapsed))
}

pub(super) fn audit_writer(
    config: &Config,
    store: &Store,
    clock: &Arc<StoreClock>,
    prepared: &watch::Receiver<bool>,
) -> (Arc<Failures>, Supervised<AuditWriter>) {
    let failures = Arc::new(Failures::new(config.audit.auth_failures));
    let parts = audit_writer::Parts {
        store: store.clone(),
        failures: Arc::clone(&failures),
        clock: Arc::clone(clock),
        prepared: prepared.clone(),
    };
    let actor = supervise("audit_writer", Policy::default(), move |_| {
        AuditWriter::new(parts.clone())
    });
    (failures, actor)
}

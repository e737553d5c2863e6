//! Gauges and counters that are read at each scrape.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oauth2_actors::metrics::Exporter;
use oauth2_actors::quota_keeper::Counters;
use oauth2_actors::rate_limiter::PublishedLimits;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::store_gateway::MaintenanceFigures;
use oauth2_store::Store;
use oauth2_store::model::KeyAlgorithm;
use opentelemetry::KeyValue;

use super::logging;
use crate::keys::lifecycle::{KeyState, KeyTiming, Phase, key_states};
use crate::service::published_keys::KeysHandle;
use crate::service::readiness::Readiness;
use crate::tokens::verified::VerifiedTokens;

/// What the gauges read.
pub(super) struct Sources {
    pub(super) store: Store,
    pub(super) maintenance: Arc<MaintenanceFigures>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) verified: Arc<VerifiedTokens>,
    pub(super) limits: PublishedLimits,
    pub(super) counters: Arc<Counters>,
    pub(super) keys: KeysHandle,
    pub(super) timing: KeyTiming,
    pub(super) clock: Arc<StoreClock>,
}

/// Registers the gauges.
pub(super) fn register(exporter: &Exporter, sources: Sources) {
    let sources = Arc::new(sources);
    store(exporter, &sources);
    process(exporter, &sources);
    logs(exporter);
    tokens(exporter, &sources);
    signing_keys(exporter, &sources);
}

fn gauge(
    exporter: &Exporter,
    sources: &Arc<Sources>,
    name: &'static str,
    help: &'static str,
    value: fn(&Sources) -> f64,
) {
    let sources = Arc::clone(sources);
    exporter.gauge(name, help, move || value(&sources));
}

fn store(exporter: &Exporter, sources: &Arc<Sources>) {
    gauge(
        exporter,
        sources,
        "db_connections_active",
        "Store connections in use",
        |sources| sources.store.pool_use().active.into(),
    );
    gauge(
        exporter,
        sources,
        "db_connections_open",
        "Store connections open",
        |sources| sources.store.pool_use().open.into(),
    );
    gauge(
        exporter,
        sources,
        "db_connections_max",
        "Store connections allowed",
        |sources| sources.store.pool_use().max.into(),
    );
    gauge(
        exporter,
        sources,
        "token_partitions",
        "Partitions of the ledger without the default partition (Postgres)",
        |sources| sources.maintenance.partitions.load(Ordering::Relaxed) as f64,
    );
    gauge(
        exporter,
        sources,
        "token_default_partition_rows",
        "Tokens in the default partition (Postgres)",
        |sources| sources.maintenance.default_partition_rows.load(Ordering::Relaxed) as f64,
    );
}

fn process(exporter: &Exporter, sources: &Arc<Sources>) {
    gauge(
        exporter,
        sources,
        "ready",
        "1 while /ready responds with 200",
        |sources| flag(sources.readiness.is_ready()),
    );
    gauge(
        exporter,
        sources,
        "store_up",
        "1 while the store confirms clients and revocations",
        |sources| flag(sources.readiness.is_store_up()),
    );
    gauge(
        exporter,
        sources,
        "store_writable",
        "1 while the store accepts writes",
        |sources| flag(sources.store.write_health().is_writable()),
    );
    gauge(
        exporter,
        sources,
        "revocation_lag_seconds",
        "Seconds since the published revocations last agreed with the store; NaN before the first time",
        |sources| {
            let revocations = sources.readiness.views.revocations.load();
            revocations.freshness().age().map_or(f64::NAN, |age| age.as_secs_f64())
        },
    );
    gauge(
        exporter,
        sources,
        "revocations_held",
        "Revoked token ids and cut-offs in memory",
        |sources| sources.readiness.views.revocations.load().len() as f64,
    );
    clock(exporter, sources);
    gauge(exporter, sources, "clients", "Registered clients", |sources| {
        sources.readiness.views.directory.len() as f64
    });
    gauge(
        exporter,
        sources,
        "rate_limiter_keys",
        "Pairs of client and address with failed authentications",
        |sources| sources.limits.load().failure_buckets() as f64,
    );
    gauge(
        exporter,
        sources,
        "rate_limited_clients",
        "Buckets of clients with a rate limit, without full ones",
        |sources| sources.limits.load().client_buckets() as f64,
    );
    let limits = Arc::clone(&sources.limits);
    exporter.counter(
        "rate_limiter_evictions",
        "Buckets of failed authentications that were evicted before they were full",
        move || limits.load().failure_evictions(),
    );
}

fn clock(exporter: &Exporter, sources: &Arc<Sources>) {
    gauge(
        exporter,
        sources,
        "clock_difference_seconds",
        "By how much the store's clock is ahead of this machine's",
        |sources| sources.clock.status().difference_ms as f64 / 1000.0,
    );
    gauge(
        exporter,
        sources,
        "token_ids_ahead_seconds",
        "By how much token ids are ahead of the store's clock, which was set back",
        |sources| sources.readiness.ids.ahead_ms() as f64 / 1000.0,
    );
    gauge(
        exporter,
        sources,
        "cutoffs_ahead",
        "Cut-offs that revoke tokens that are issued now",
        |sources| {
            let issued_ms = sources.readiness.ids.id_ms();
            sources.readiness.views.revocations.load().cut_offs_after(issued_ms) as f64
        },
    );
    let steps = Arc::clone(&sources.clock);
    exporter.counter(
        "clock_steps",
        "How often the store's clock was set by more than a second",
        move || steps.status().steps,
    );
}

fn logs(exporter: &Exporter) {
    exporter.counter(
        "log_lines_dropped",
        "Log lines dropped because stderr was not read in time",
        logging::dropped_lines,
    );
    exporter.counter(
        "log_lines_suppressed",
        "Warnings and errors left out of the log because the same one was logged too often",
        logging::flood::suppressed_lines,
    );
}

fn tokens(exporter: &Exporter, sources: &Arc<Sources>) {
    gauge(
        exporter,
        sources,
        "verified_tokens",
        "Tokens in the cache of verified tokens",
        |sources| sources.verified.len() as f64,
    );
    gauge(
        exporter,
        sources,
        "still_valid_tokens",
        "Unexpired tokens, as this node knows them",
        |sources| sources.counters.unexpired_totals().tokens as f64,
    );
    gauge(
        exporter,
        sources,
        "still_valid_tokens_max",
        "The most unexpired tokens of one client",
        |sources| sources.counters.unexpired_totals().largest as f64,
    );
    gauge(
        exporter,
        sources,
        "clients_not_caching",
        "Clients with more unexpired tokens than OAUTH2_QUOTAS_STILL_VALID_TOKENS",
        |sources| sources.counters.unexpired_totals().clients_above_threshold as f64,
    );
}

/// Signing keys by phase, and the age of the signing ones.
fn signing_keys(exporter: &Exporter, sources: &Arc<Sources>) {
    let (meter, by_phase) = (exporter.meter(), Arc::clone(sources));
    let _ = meter
        .u64_observable_gauge("signing_keys")
        .with_description("Signing keys, by algorithm and phase of the lifecycle")
        .with_callback(move |observer| {
            let (keys, now_ms) = (by_phase.keys.load(), by_phase.clock.unix_ms() as i64);
            let states = key_states(&keys.stored, now_ms, &by_phase.timing);
            for algorithm in KeyAlgorithm::ALL {
                for phase in Phase::ALL {
                    let matches = |state: &&KeyState<'_>| state.key.algorithm == *algorithm && state.phase == phase;
                    let labels = [
                        KeyValue::new("algorithm", algorithm.as_str()),
                        KeyValue::new("state", phase.as_str()),
                    ];
                    observer.observe(states.iter().filter(matches).count() as u64, &labels);
                }
            }
        })
        .build();
    let by_age = Arc::clone(sources);
    let _ = meter
        .f64_observable_gauge("signing_key_age_seconds")
        .with_description("Seconds since the signing key of an algorithm was activated")
        .with_callback(move |observer| {
            let (keys, now_ms) = (by_age.keys.load(), by_age.clock.unix_ms() as i64);
            let states = key_states(&keys.stored, now_ms, &by_age.timing);
            for signing in states.iter().filter(|state| state.phase == Phase::Signing) {
                let age = (now_ms - signing.key.signs_from_ms) as f64 / 1000.0;
                observer.observe(age, &[KeyValue::new("algorithm", signing.key.algorithm.as_str())]);
            }
        })
        .build();
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

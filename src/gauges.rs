//! What `/metrics` asks for at each scrape: figures that are read, not counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::Data;
use oauth2_actors::metrics::Exporter;
use oauth2_actors::store::Store;
use oauth2_actors::token_store::Upkeep;

use crate::http::State;

/// Registers the gauges of the store and of what is published.
pub fn register(exporter: &Exporter, state: &Data<State>, store: Store, upkeep: Arc<Upkeep>) {
    let pool = store.clone();
    exporter.gauge("db_connections_active", "Store connections doing work", move || {
        pool.pool_use().active.into()
    });
    let pool = store.clone();
    exporter.gauge("db_connections_open", "Store connections open", move || {
        pool.pool_use().open.into()
    });
    exporter.gauge("db_connections_max", "Store connections allowed", move || {
        store.pool_use().max.into()
    });

    let of = |value: fn(&State) -> f64| {
        let state = state.clone();
        move || value(&state)
    };
    exporter.gauge(
        "ready",
        "1 while /ready answers 200",
        of(|state| f64::from(u8::from(state.is_ready()))),
    );
    exporter.gauge(
        "store_up",
        "1 while the store answers",
        of(|state| f64::from(u8::from(state.checks().contains(&("store", true))))),
    );
    exporter.gauge(
        "revocation_lag_seconds",
        "Seconds since the published revocations last agreed with the store; NaN before they ever did",
        of(|state| {
            state
                .revocations
                .load()
                .freshness()
                .age()
                .map_or(f64::NAN, |age| age.as_secs_f64())
        }),
    );
    exporter.gauge(
        "revocations_held",
        "Revoked token ids and cut-offs held",
        of(|state| state.revocations.load().len() as f64),
    );
    exporter.gauge(
        "clients",
        "Registered clients",
        of(|state| state.directory.len() as f64),
    );
    exporter.gauge(
        "verified_tokens",
        "Tokens whose verification is remembered",
        of(|state| state.verified.len() as f64),
    );
    exporter.gauge(
        "rate_limiter_keys",
        "Clients and addresses with failed authentications",
        of(|state| state.limits.load().failing() as f64),
    );
    exporter.gauge(
        "rate_limited_clients",
        "Buckets of clients that have a rate, not counting full ones",
        of(|state| state.limits.load().limited() as f64),
    );
    let evicted = state.clone();
    exporter.counter(
        "rate_limiter_evictions",
        "Buckets of failed authentications given up for others before they were full",
        move || evicted.limits.load().evicted(),
    );

    let partitions = Arc::clone(&upkeep);
    exporter.gauge(
        "token_partitions",
        "Partitions of the ledger, the default one not counted (Postgres)",
        move || partitions.partitions.load(Ordering::Relaxed) as f64,
    );
    exporter.gauge(
        "token_default_partition_rows",
        "Tokens that found no partition of their own (Postgres)",
        move || upkeep.default_partition_rows.load(Ordering::Relaxed) as f64,
    );
}

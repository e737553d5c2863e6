//! What `/metrics` asks for at each scrape: figures that are read, not counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::web::Data;
use oauth2_actors::metrics::Exporter;
use oauth2_actors::model::KeyAlgorithm;
use oauth2_actors::store::Store;
use oauth2_actors::token_store::Upkeep;
use opentelemetry::KeyValue;

use crate::http::State;
use crate::tokens::lifecycle::{Phase, Standing, standings};

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

    signing_keys(exporter, state);
    for (place, name, help) in [
        (
            0,
            "still_valid_tokens",
            "Tokens issued that have not expired, as this node knows them",
        ),
        (
            1,
            "still_valid_tokens_max",
            "The most tokens of one client that have not expired",
        ),
        (
            2,
            "clients_not_caching",
            "Clients with more tokens that have not expired than OAUTH2_QUOTAS_STILL_VALID_TOKENS",
        ),
    ] {
        let held = state.clone();
        exporter.gauge(name, help, move || held.counters.figures()[place] as f64);
    }

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

/// Signing keys by where they are in their life, and how long those that sign have done so.
fn signing_keys(exporter: &Exporter, state: &Data<State>) {
    let held = state.clone();
    let _ = exporter
        .meter()
        .u64_observable_gauge("signing_keys")
        .with_description("Signing keys, by what they sign and where they are in their life")
        .with_callback(move |observer| {
            let (keys, now_ms) = (held.keys.load(), held.now_ms() as i64);
            let standings = standings(&keys.stored, now_ms, &held.timing);
            for algorithm in KeyAlgorithm::ALL {
                for phase in Phase::ALL {
                    let fits =
                        |standing: &&Standing<'_>| standing.key.algorithm == *algorithm && standing.phase == phase;
                    let labels = [
                        KeyValue::new("algorithm", algorithm.as_str()),
                        KeyValue::new("state", phase.as_str()),
                    ];
                    observer.observe(standings.iter().filter(fits).count() as u64, &labels);
                }
            }
        })
        .build();
    let held = state.clone();
    let _ = exporter
        .meter()
        .f64_observable_gauge("signing_key_age_seconds")
        .with_description("How long the key that signs has been doing so")
        .with_callback(move |observer| {
            let (keys, now_ms) = (held.keys.load(), held.now_ms() as i64);
            let standings = standings(&keys.stored, now_ms, &held.timing);
            for signer in standings.iter().filter(|standing| standing.phase == Phase::Signing) {
                let age = (now_ms - signer.key.signs_from_ms) as f64 / 1000.0;
                observer.observe(age, &[KeyValue::new("algorithm", signer.key.algorithm.as_str())]);
            }
        })
        .build();
}

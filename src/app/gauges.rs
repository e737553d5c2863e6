//! Gauges and counters that are read at each scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oauth2_actors::audit_writer::Failures;
use oauth2_actors::bus::BusStatus;
use oauth2_actors::hints::{Outbox, Rejection};
use oauth2_actors::key_fetches::KeyFetches;
use oauth2_actors::metrics::Exporter;
use oauth2_actors::metrics::catalogue::{Metric, bus, keys, limits, process, store, tokens};
use oauth2_actors::quota_keeper::{Counters, QuotaLeases};
use oauth2_actors::rate_limiter::{LeaseCounts, PublishedLimits};
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::store_gateway::MaintenanceFigures;
use oauth2_store::model::KeyAlgorithm;
use oauth2_store::{ErrorClass, Fallback, Store};
use opentelemetry::metrics::Meter;

use super::logging;
use crate::keys::lifecycle::{KeyState, KeyTiming, Phase, key_states};
use crate::service::authenticate::foreign_secrets::ForeignSecrets;
use crate::service::fallback::{Fallback as FallbackIntrospection, Outcome};
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
    pub(super) lease_counts: Arc<LeaseCounts>,
    pub(super) counters: Arc<Counters>,
    pub(super) quota_leases: Option<Arc<QuotaLeases>>,
    pub(super) failures: Arc<Failures>,
    pub(super) foreign: ForeignSecrets,
    pub(super) keys: KeysHandle,
    pub(super) removed_early: Arc<AtomicU64>,
    pub(super) key_fetches: Arc<KeyFetches>,
    pub(super) fallback: Option<Arc<FallbackIntrospection>>,
    pub(super) timing: KeyTiming,
    pub(super) clock: Arc<StoreClock>,
    pub(super) bus: Option<Arc<BusStatus>>,
    pub(super) outbox: Outbox,
}

/// Registers the gauges.
pub(super) fn register(exporter: &Exporter, sources: Sources) {
    let register = Register {
        meter: exporter.meter(),
        sources: Arc::new(sources),
    };
    register.store();
    register.replica();
    register.files();
    register.maintenance();
    register.views();
    register.clock();
    register.clients();
    register.tokens();
    register.signing_keys();
    register.bus();
    process::LOG_LINES_DROPPED.observe(&register.meter, || logging::dropped_lines() as f64);
    process::LOG_LINES_SUPPRESSED.observe(&register.meter, || logging::flood::suppressed_lines() as f64);
}

struct Register {
    meter: Meter,
    sources: Arc<Sources>,
}

impl Register {
    fn value(&self, row: &Metric, value: fn(&Sources) -> f64) {
        let sources = Arc::clone(&self.sources);
        row.observe(&self.meter, move || value(&sources));
    }

    fn store(&self) {
        self.value(&store::CONNECTIONS_ACTIVE, |from| from.store.pool_use().active.into());
        self.value(&store::CONNECTIONS_OPEN, |from| from.store.pool_use().open.into());
        self.value(&store::CONNECTIONS_MAX, |from| from.store.pool_use().max.into());
        self.value(&store::DNS_STALE, |from| from.store.stale_addresses() as f64);
        self.value(&store::STORE_UP, |from| flag(from.readiness.is_store_up()));
        self.value(&store::STORE_WRITABLE, |from| {
            flag(from.store.write_health().is_writable())
        });
        let sources = Arc::clone(&self.sources);
        store::STORE_ERRORS.observe_each(&self.meter, move |observe| {
            for class in ErrorClass::ALL {
                let count = sources.store.error_counts().of(*class);
                observe(count as f64, &[("class", class.as_str())]);
            }
        });
    }

    /// Of a store with a read replica.
    fn replica(&self) {
        if self.sources.store.read_counts().is_none() {
            return;
        }
        let sources = Arc::clone(&self.sources);
        store::READS.observe_each(&self.meter, move |observe| {
            let Some(counts) = sources.store.read_counts() else {
                return;
            };
            let counts = [counts.of_primary(), counts.of_replica()];
            for (server, count) in store::SERVERS.iter().zip(counts) {
                observe(count as f64, &[("server", server)]);
            }
        });
        let sources = Arc::clone(&self.sources);
        store::READ_FALLBACKS.observe_each(&self.meter, move |observe| {
            let Some(counts) = sources.store.read_counts() else {
                return;
            };
            for reason in Fallback::ALL {
                observe(counts.fallbacks(*reason) as f64, &[("reason", reason.as_str())]);
            }
        });
        self.value(&store::REPLICA_IN_USE, |from| {
            flag(from.store.replica_status().is_some_and(|status| status.is_in_use()))
        });
        self.value(&store::REPLICA_LAG, |from| {
            let lag = from.store.replica_status().and_then(|status| status.lag);
            lag.map_or(f64::NAN, |lag| lag.as_secs_f64())
        });
    }

    /// Of an embedded store.
    fn files(&self) {
        if self.sources.store.file().is_none() {
            return;
        }
        let sources = Arc::clone(&self.sources);
        store::CHECKPOINTS.observe_each(&self.meter, move |observe| {
            let found = sources.store.file_figures().unwrap_or_default();
            let counts = [found.checkpoints_failed, found.checkpoints_done];
            for (outcome, count) in limits::OUTCOMES.iter().zip(counts) {
                observe(count as f64, &[("outcome", outcome)]);
            }
        });
        self.value(&store::WAL_BYTES, |from| {
            from.store.file_figures().unwrap_or_default().log_bytes as f64
        });
        self.value(&store::DISK_FREE, |from| {
            disk(&from.store).map_or(f64::NAN, |[free, _]| free)
        });
        self.value(&store::DISK_SIZE, |from| {
            disk(&from.store).map_or(f64::NAN, |[_, size]| size)
        });
    }

    fn maintenance(&self) {
        self.value(&store::TOKEN_PARTITIONS, |from| {
            from.maintenance.ledger.load().partition_starts.len() as f64
        });
        self.value(&store::PARTITIONS_AHEAD, |from| {
            let (ledger, now) = (from.maintenance.ledger.load(), from.now());
            ledger.partition_starts.iter().filter(|start| **start > now).count() as f64
        });
        self.value(&store::PARTITIONS_NEEDED, |from| {
            let horizon = from.maintenance.horizon.load(Ordering::Relaxed);
            from.store.partitions_needed(from.now(), horizon.into()).into()
        });
        self.value(&store::DEFAULT_PARTITION_ROWS, |from| {
            from.maintenance.ledger.load().default_partition_rows as f64
        });
        self.value(&store::PURGE_ROWS_WAITING, |from| {
            from.maintenance.ledger.load().purge_rows_waiting as f64
        });
        self.value(&store::MAINTENANCE_SUCCESS, |from| {
            from.maintenance.succeeded_at.load(Ordering::Relaxed) as f64
        });
    }

    fn views(&self) {
        self.value(&process::READY, |from| flag(from.readiness.is_ready()));
        self.value(&store::REVOCATION_LAG, |from| {
            let revocations = from.readiness.views.revocations.load();
            revocations.freshness().age().map_or(f64::NAN, |age| age.as_secs_f64())
        });
        self.value(&store::REVOCATIONS_HELD, |from| {
            from.readiness.views.revocations.load().len() as f64
        });
        self.value(&store::CLIENTS, |from| from.readiness.views.directory.len() as f64);
        self.value(&store::CUTOFFS_AHEAD, |from| {
            let issued_ms = from.readiness.ids.id_ms();
            from.readiness.views.revocations.load().cut_offs_after(issued_ms) as f64
        });
    }

    fn clock(&self) {
        self.value(&store::CLOCK_DIFFERENCE, |from| {
            from.clock.status().difference_ms as f64 / 1000.0
        });
        self.value(&store::CLOCK_STEPS, |from| from.clock.status().steps as f64);
        self.value(&store::IDS_AHEAD, |from| from.readiness.ids.ahead_ms() as f64 / 1000.0);
    }

    fn clients(&self) {
        self.value(&limits::RATE_LIMITER_KEYS, |from| {
            from.limits.load().failure_buckets() as f64
        });
        self.value(&limits::RATE_LIMITED_CLIENTS, |from| {
            from.limits.load().client_buckets() as f64
        });
        self.value(&limits::RATE_LIMITER_EVICTIONS, |from| {
            from.limits.load().failure_evictions() as f64
        });
        self.value(&limits::RATE_LIMIT_LEASES, |from| from.lease_counts.asked() as f64);
        self.value(&limits::RATE_LIMIT_SHARES, |from| from.lease_counts.fell_back() as f64);
        self.value(&limits::CLIENTS_OVER_QUOTA, |from| {
            let leased = from.quota_leases.as_ref().map_or(0, |leases| leases.over_quota());
            (from.counters.totals().clients_over_quota + leased) as f64
        });
        self.value(&limits::CLIENTS_NOT_CACHING, |from| {
            from.counters.totals().clients_above_threshold as f64
        });
        self.value(&limits::BUSIEST_CLIENT_SHARE, |from| {
            from.counters.totals().busiest_shares[0]
        });
        self.value(&limits::BUSIEST_TEN_CLIENTS_SHARE, |from| {
            from.counters.totals().busiest_shares[1]
        });
        self.value(&limits::FOREIGN_QUEUE, |from| from.foreign.queue_length() as f64);
        self.value(&limits::AUDIT_BACKLOG, |from| from.failures.backlog() as f64);
    }

    fn tokens(&self) {
        self.value(&tokens::VERIFIED, |from| from.verified.len() as f64);
        self.value(&tokens::STILL_VALID, |from| from.counters.totals().tokens as f64);
        self.value(&tokens::STILL_VALID_MAX, |from| from.counters.totals().largest as f64);
        let Some(fallback) = self.sources.fallback.clone() else {
            return;
        };
        tokens::FALLBACK_INTROSPECTIONS.observe_each(&self.meter, move |observe| {
            for outcome in Outcome::ALL {
                observe(fallback.count(outcome) as f64, &[("outcome", outcome.as_str())]);
            }
        });
    }

    fn signing_keys(&self) {
        self.keys(&keys::SIGNING_KEYS, |states, _, _, observe| {
            for algorithm in KeyAlgorithm::ALL {
                let of_algorithm: Vec<_> = states
                    .iter()
                    .filter(|state| state.key.algorithm == *algorithm)
                    .collect();
                if of_algorithm.is_empty() {
                    continue;
                }
                for phase in Phase::ALL {
                    let count = of_algorithm.iter().filter(|state| state.phase == phase).count();
                    let labels = [("algorithm", algorithm.as_str()), ("state", phase.as_str())];
                    observe(count as f64, &labels);
                }
            }
        });
        self.keys(&keys::SIGNING_KEY_AGE, |states, now_ms, _, observe| {
            for signing in states.iter().filter(|state| state.phase == Phase::Signing) {
                let age_ms = now_ms - signing.key.signs_from_ms;
                observe(age_ms as f64 / 1000.0, &[("algorithm", signing.key.algorithm.as_str())]);
            }
        });
        self.keys(&keys::ROTATION_DUE, |states, now_ms, timing, observe| {
            let Some(rotation) = timing.rotation else { return };
            for signing in states.iter().filter(|state| state.phase == Phase::Signing) {
                let due_ms = signing.key.signs_from_ms + rotation.as_millis() as i64 - now_ms;
                observe(due_ms as f64 / 1000.0, &[("algorithm", signing.key.algorithm.as_str())]);
            }
        });
        self.value(&keys::REMOVED_EARLY, |from| {
            from.removed_early.load(Ordering::Relaxed) as f64
        });
        self.value(&keys::VERIFIERS, |from| from.key_fetches.verifiers() as f64);
        self.value(&keys::VERIFIERS_BEHIND, |from| from.key_fetches.behind() as f64);
    }

    fn bus(&self) {
        let Some(status) = self.sources.bus.clone() else { return };
        let value = |row: &Metric, value: fn(&BusStatus) -> f64| {
            let status = Arc::clone(&status);
            row.observe(&self.meter, move || value(&status));
        };
        value(&bus::BUS_UP, |status| flag(status.is_flowing()));
        value(&bus::BUS_NODES, |status| status.nodes().into());
        value(&bus::HINTS_SENT, |status| status.sent() as f64);
        value(&bus::HINTS_RECEIVED, |status| status.received() as f64);
        value(&bus::HINTS_DELAY, BusStatus::delay);
        let sources = Arc::clone(&self.sources);
        bus::MESSAGES_DROPPED.observe_each(&self.meter, move |observe| {
            for reason in Rejection::ALL {
                observe(status.rejected(reason) as f64, &[("reason", reason.as_str())]);
            }
            observe(sources.outbox.dropped() as f64, &[("reason", bus::FULL)]);
        });
    }

    fn keys(&self, row: &Metric, each: fn(&[KeyState<'_>], i64, &KeyTiming, &mut Observe<'_>)) {
        let sources = Arc::clone(&self.sources);
        row.observe_each(&self.meter, move |observe| {
            let (keys, now_ms) = (sources.keys.load(), sources.clock.unix_ms() as i64);
            each(
                &key_states(&keys.stored, now_ms, &sources.timing),
                now_ms,
                &sources.timing,
                observe,
            );
        });
    }
}

type Observe<'a> = dyn FnMut(f64, &[(&'static str, &'static str)]) + 'a;

impl Sources {
    /// The store's clock, Unix seconds.
    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}

/// The free space for this process and the size of the file system of an embedded store, bytes.
fn disk(store: &Store) -> Option<[f64; 2]> {
    let found = rustix::fs::statvfs(store.file()?).ok()?;
    let bytes = |blocks: u64| blocks as f64 * found.f_frsize as f64;
    Some([bytes(found.f_bavail), bytes(found.f_blocks)])
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

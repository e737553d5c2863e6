//! Starts every actor with its dependencies. Adding an actor to the server changes this file.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use oauth2_actors::audit_writer::{self, AuditWriter, Failures};
use oauth2_actors::bus::{Bus, BusStatus};
use oauth2_actors::directory::Directory;
use oauth2_actors::hints::Outbox;
use oauth2_actors::key_fetches::KeyFetches;
use oauth2_actors::key_keeper::{self, KeyKeeper};
use oauth2_actors::metrics::{Exporter, Instruments, Metrics};
use oauth2_actors::quota_keeper::{self, Counters, QuotaKeeper, QuotaLeases, QuotasOf};
use oauth2_actors::rate_limiter::{
    self, CountNodes, FailureOptions, LeaseCounts, Limits, PublishedLimits, RateLimiter,
};
use oauth2_actors::revocation_cache::{self, PublishedRevocations, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_actors::runtime::schedule::{Pace, Wake};
use oauth2_actors::runtime::supervisor::Policy;
use oauth2_actors::runtime::system::ActorSystem;
use oauth2_actors::store_gateway::{self, MaintenanceFigures, StoreGateway};
use oauth2_actors::token_store;
use oauth2_actors::token_store::workers::TokenStores;
use oauth2_store::model::Mode;
use oauth2_store::{Location, Store};
use tokio::sync::watch;

use super::bus::{self, Follow};
use super::keys;
use crate::config::Config;
use crate::keys::wrapping::KeyWrapper;
use crate::service::quotas;

/// Mailbox capacity of a token store: at 50 000 tokens per second, a tenth of a second of work.
const TOKEN_STORE_MAILBOX: usize = 5000;

/// What actors are built from.
pub(super) struct Deps<'a> {
    pub(super) config: &'a Config,
    pub(super) store: &'a Store,
    pub(super) wrapper: &'a KeyWrapper,
    /// True once the schema is up to date and the first keys exist.
    pub(super) prepared: &'a watch::Receiver<bool>,
    pub(super) clock: &'a Arc<StoreClock>,
    pub(super) ids: &'a Arc<IdClock>,
    pub(super) directory: &'a Arc<Directory>,
    pub(super) exporter: &'a Exporter,
    pub(super) instruments: &'a Arc<Instruments>,
}

/// The running actors: their mailboxes, and what they publish.
pub(super) struct Actors {
    pub(super) system: ActorSystem,
    pub(super) store_gateway: Mailbox<StoreGateway>,
    pub(super) maintenance: Arc<MaintenanceFigures>,
    pub(super) token_stores: Arc<TokenStores>,
    pub(super) revocation_cache: Mailbox<RevocationCache>,
    pub(super) revocations: PublishedRevocations,
    pub(super) limits: PublishedLimits,
    pub(super) rate_limiter: Mailbox<RateLimiter>,
    pub(super) lease_counts: Arc<LeaseCounts>,
    pub(super) quota_keeper: Mailbox<QuotaKeeper>,
    pub(super) counters: Arc<Counters>,
    /// The leases of enforced quotas, where nodes share the store.
    pub(super) quota_leases: Option<Arc<QuotaLeases>>,
    pub(super) audit_writer: Mailbox<AuditWriter>,
    pub(super) failures: Arc<Failures>,
    /// Retired keys to be removed before their last token expires.
    pub(super) removed_early: Arc<AtomicU64>,
    /// The verifiers of the published key sets.
    pub(super) key_fetches: Arc<KeyFetches>,
    pub(super) metrics: Mailbox<Metrics>,
    /// The state of the bus, where nodes have one.
    pub(super) bus: Option<Arc<BusStatus>>,
    /// The hints that wait to be sent.
    pub(super) outbox: Outbox,
}

impl Actors {
    /// Starts the actors.
    pub(super) fn start(deps: &Deps<'_>) -> Self {
        let mut system = ActorSystem::default();
        let follow = Follow {
            pace: Pace::every(revocation_cache::POLL),
            wake: Wake::default(),
            wake_revocations: Wake::default(),
        };
        let (store_gateway, maintenance) = deps.store_gateway(&mut system, &follow);
        let token_stores = Arc::new(deps.token_stores(&mut system));
        let (revocation_cache, revocations) = deps.revocation_cache(&mut system, &follow);
        let outbox = Outbox::default();
        let bus = deps.bus(&mut system, &outbox, &follow, &revocation_cache);
        let (rate_limiter, limits, lease_counts) = deps.rate_limiter(&mut system, bus.as_ref());
        let (removed_early, key_fetches) = deps.key_keeper(&mut system);
        let (audit_writer, failures) = deps.audit_writer(&mut system);
        let quota_leases = (deps.store.kind() == "postgres").then(Arc::default);
        let (quota_keeper, counters) = deps.quota_keeper(&mut system, quota_leases.as_ref());
        let exporter = deps.exporter.clone();
        let metrics = system.supervise("metrics", Policy::default(), move |_| Metrics::new(exporter.clone()));
        Self {
            system,
            store_gateway,
            maintenance,
            token_stores,
            revocation_cache,
            revocations,
            limits,
            rate_limiter,
            lease_counts,
            quota_keeper,
            counters,
            quota_leases,
            audit_writer,
            failures,
            removed_early,
            key_fetches,
            metrics,
            bus,
            outbox,
        }
    }
}

/// The most token stores that the connections allow: on Postgres each has a connection of its own, and the pool keeps half of
/// them.
fn max_token_stores(config: &Config) -> usize {
    let options = config.database.options();
    match options.location {
        Location::Postgres(_) => options.max_connections as usize / 2,
        Location::Sqlite(_) => config.server.workers,
    }
}

/// The number of token stores.
pub(super) fn token_store_count(config: &Config) -> usize {
    config.server.workers.min(max_token_stores(config))
}

/// How many verbs of operators run at a time: with half of the pool's connections, so that introspection, revocation and the polls of the
/// logs find one. `None`: as many as there are, on SQLite.
pub(super) fn operators_verbs(config: &Config) -> Option<usize> {
    let options = config.database.options();
    // SQLite has no pool, whose size may then be smaller than the number of workers.
    let pool = (options.max_connections as usize).saturating_sub(token_store_count(config));
    matches!(options.location, Location::Postgres(_)).then_some((pool / 2).max(1))
}

impl Deps<'_> {
    fn store_gateway(
        &self,
        system: &mut ActorSystem,
        follow: &Follow,
    ) -> (Mailbox<StoreGateway>, Arc<MaintenanceFigures>) {
        let maintenance = Arc::new(MaintenanceFigures::default());
        let deps = store_gateway::Deps {
            store: self.store.clone(),
            directory: Arc::clone(self.directory),
            prepared: self.prepared.clone(),
            default_lifetime: self.config.tokens.access_token_lifetime,
            clock: Arc::clone(self.clock),
            ids: Arc::clone(self.ids),
            maintenance: Arc::clone(&maintenance),
            audit_days: self.config.audit.retention_days,
            pace: follow.pace.clone(),
            wake: follow.wake.clone(),
            wake_revocations: follow.wake_revocations.clone(),
        };
        let actor = system.supervise("store_gateway", Policy::default(), move |_| {
            StoreGateway::new(deps.clone())
        });
        (actor, maintenance)
    }

    fn token_stores(&self, system: &mut ActorSystem) -> TokenStores {
        let instruments = Arc::clone(self.instruments);
        let deps = token_store::Deps {
            store: self.store.clone(),
            prepared: self.prepared.clone(),
            observe_commit: Arc::new(move |rows, elapsed| instruments.commit(rows, elapsed)),
        };
        let policy = Policy {
            mailbox_capacity: TOKEN_STORE_MAILBOX,
            ..Policy::default()
        };
        let (workers, limit) = (self.config.server.workers, max_token_stores(self.config));
        TokenStores::new(system, workers, limit, policy, &deps)
    }

    fn revocation_cache(
        &self,
        system: &mut ActorSystem,
        follow: &Follow,
    ) -> (Mailbox<RevocationCache>, PublishedRevocations) {
        let published = PublishedRevocations::default();
        let deps = revocation_cache::Deps {
            store: self.store.clone(),
            published: Arc::clone(&published),
            prepared: self.prepared.clone(),
            ids: Arc::clone(self.ids),
            clock: Arc::clone(self.clock) as Arc<dyn Clock>,
            generations: Arc::default(),
            pace: follow.pace.clone(),
            wake: follow.wake_revocations.clone(),
        };
        let actor = system.supervise("revocation_cache", Policy::default(), move |_| {
            RevocationCache::new(deps.clone())
        });
        (actor, published)
    }

    /// The bus, if this issuer may have other nodes.
    fn bus(
        &self,
        system: &mut ActorSystem,
        outbox: &Outbox,
        follow: &Follow,
        revocation_cache: &Mailbox<RevocationCache>,
    ) -> Option<Arc<BusStatus>> {
        let transport = bus::transport(self.config, self.store)?;
        let status = Arc::new(BusStatus::default());
        let deps = oauth2_actors::bus::Deps {
            transport,
            keys: bus::keys(self.wrapper),
            node: bus::node(),
            outbox: outbox.clone(),
            apply: bus::apply(follow, revocation_cache),
            status: Arc::clone(&status),
            prepared: self.prepared.clone(),
            clock: Arc::clone(self.clock),
            pace: follow.pace.clone(),
        };
        system.supervise("bus", Policy::default(), move |_| Bus::new(deps.clone()));
        Some(status)
    }

    fn rate_limiter(
        &self,
        system: &mut ActorSystem,
        bus: Option<&Arc<BusStatus>>,
    ) -> (Mailbox<RateLimiter>, PublishedLimits, Arc<LeaseCounts>) {
        let counts = Arc::<LeaseCounts>::default();
        let failures = FailureOptions {
            rate: self.config.limits.failures,
            max_keys: self.config.limits.failure_keys,
        };
        let nodes = bus.cloned().map(|bus| CountNodes::by(move || bus.sharing()));
        let deps = rate_limiter::Deps {
            published: Arc::new(ArcSwap::from_pointee(Limits::new(failures))),
            failures,
            nodes,
            issuer: bus::issuer_key(self.wrapper),
            counts: Arc::clone(&counts),
            redis: self.config.redis.as_ref().map(|redis| redis.options.clone()),
        };
        let published = Arc::clone(&deps.published);
        let actor = system.supervise("rate_limiter", Policy::default(), move |_| RateLimiter::new(&deps));
        (actor, published, counts)
    }

    fn key_keeper(&self, system: &mut ActorSystem) -> (Arc<AtomicU64>, Arc<KeyFetches>) {
        let (removed_early, fetches) = (Arc::default(), Arc::default());
        let deps = key_keeper::Deps {
            store: self.store.clone(),
            directory: Arc::clone(self.directory),
            default_lifetime: self.config.tokens.access_token_lifetime,
            clock: Arc::clone(self.clock),
            prepared: self.prepared.clone(),
            plan: keys::plan(self.config, self.wrapper.clone(), self.directory),
            fetches: Arc::clone(&fetches),
            watch: keys::watch(self.config, &fetches),
            observe: keys::observe(self.config, &removed_early),
        };
        system.supervise("key_keeper", Policy::default(), move |_| KeyKeeper::new(deps.clone()));
        (removed_early, fetches)
    }

    fn quota_keeper(
        &self,
        system: &mut ActorSystem,
        leases: Option<&Arc<QuotaLeases>>,
    ) -> (Mailbox<QuotaKeeper>, Arc<Counters>) {
        let (counters, instruments) = (Arc::new(Counters::default()), Arc::clone(self.instruments));
        let deps = quota_keeper::Deps {
            store: self.store.clone(),
            counters: Arc::clone(&counters),
            leases: leases.cloned(),
            clock: Arc::clone(self.clock),
            prepared: self.prepared.clone(),
            unexpired_threshold: self.config.quotas.unexpired_threshold,
            observe_save: Arc::new(move |elapsed, done| instruments.quota_save(elapsed, done)),
            quotas: self.quotas(leases.is_some()),
        };
        let actor = system.supervise("quota_keeper", Policy::default(), move |_| {
            QuotaKeeper::new(deps.clone())
        });
        (actor, counters)
    }

    /// The quotas of clients that are counted in memory. With `is_leased`, enforced quotas are counted in the store instead.
    fn quotas(&self, is_leased: bool) -> QuotasOf {
        let (directory, defaults, mode) = (
            Arc::clone(self.directory),
            self.config.quotas.quotas,
            self.config.quotas.mode,
        );
        Arc::new(move |client_id| {
            let client = directory.client(client_id)?;
            let is_here = !is_leased || quotas::mode(&client, mode) == Mode::Observe;
            quotas::effective(&client, defaults).filter(|_| is_here)
        })
    }

    fn audit_writer(&self, system: &mut ActorSystem) -> (Mailbox<AuditWriter>, Arc<Failures>) {
        let failures = Arc::new(Failures::new(self.config.audit.auth_failures));
        let deps = audit_writer::Deps {
            store: self.store.clone(),
            failures: Arc::clone(&failures),
            clock: Arc::clone(self.clock),
            prepared: self.prepared.clone(),
        };
        let actor = system.supervise("audit_writer", Policy::default(), move |_| {
            AuditWriter::new(deps.clone())
        });
        (actor, failures)
    }
}

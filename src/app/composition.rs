//! A server without its sockets: the actors, the services over them, and what handlers extract.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, Context};
use actix_web::dev::ServerHandle;
use arc_swap::ArcSwap;
use oauth2_actors::audit_writer::Flush;
use oauth2_actors::directory::Directory;
use oauth2_actors::freshness::STALENESS_BUDGET;
use oauth2_actors::metrics::{Exporter, Instruments, watch_mailboxes};
use oauth2_actors::quota_keeper::Save;
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;
use oauth2_actors::store_gateway::handle::StoreGatewayHandle;
use oauth2_store::Store;
use tokio::sync::{Semaphore, watch};

use super::actors::{self, Actors};
use super::gauges::{self, Sources};
use super::handlers::{HandlerData, ServerDeps};
use super::services::{Base, Services};
use super::{fallback, keys};
use crate::config::Config;
use crate::config::embedded::ServerSecrets;
use crate::failure::Failure;
use crate::service::authenticate::foreign_secrets::ForeignSecrets;
use crate::service::published_keys::PublishedKeys;
use crate::service::readiness::Readiness;
use crate::service::store_access::{Gateway, StoreAccess};
use crate::service::views::Views;
use crate::tokens::verified::VerifiedTokens;

/// Bytes of the cache of verified tokens.
const VERIFIED_TOKENS: u64 = 25 * 1024 * 1024;

/// Bytes of the set of tokens that this process signed: it holds the last million.
const ISSUED_TOKENS: usize = 16 * 1024 * 1024;

/// Time limit of the last save of used quotas and failed authentications.
const SAVE_LIMIT: Duration = Duration::from_secs(1);

/// How often a start checks what it waits for: views and keys are published for readers that never wait, so without an event.
const LOADED_POLL: Duration = Duration::from_millis(2);

/// The actors and services of a server.
pub(super) struct Composition {
    pub(super) actors: Actors,
    pub(super) services: Services,
    pub(super) handlers: HandlerData,
    pub(super) readiness: Arc<Readiness>,
}

/// The verification of slow hashes, on half as many threads as there are workers.
fn foreign_secrets(
    config: &Config,
    services: &Services,
    clock: &Arc<StoreClock>,
    instruments: &Arc<Instruments>,
) -> Result<ForeignSecrets, Failure> {
    let store = services.clients.store.without_bound();
    let threads = config.server.workers / 2;
    ForeignSecrets::new(threads, store, Arc::clone(clock), Arc::clone(instruments)).map_err(Failure::environment)
}

impl Composition {
    /// Starts the actors and wires the services.
    pub(super) fn new(
        config: &Config,
        store: Store,
        secrets: &ServerSecrets,
        clock: Arc<StoreClock>,
        prepared: &watch::Receiver<bool>,
        exporter: &Exporter,
    ) -> Result<Self, Failure> {
        let instruments = Arc::new(Instruments::new(&exporter.meter(), store.kind()));
        let keys = Arc::new(ArcSwap::from_pointee(PublishedKeys::none()));
        let verified = Arc::new(VerifiedTokens::new(VERIFIED_TOKENS));
        let apply_keys = keys::apply(config, secrets.wrapper.clone(), &keys, &verified);
        let directory = Arc::new(Directory::new(apply_keys));
        let ids = Arc::new(IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let actors = Actors::start(&actors::Deps {
            config,
            store: &store,
            wrapper: &secrets.wrapper,
            prepared,
            clock: &clock,
            ids: &ids,
            directory: &directory,
            exporter,
            instruments: &instruments,
        });
        let views = Views {
            directory: Arc::clone(&directory),
            revocations: Arc::clone(&actors.revocations),
            staleness_budget: STALENESS_BUDGET,
            server_change: store.server_change(),
        };
        let fallback = fallback::open(config.fallback.as_ref(), &clock)?;
        let base = Base {
            fallback: fallback.clone(),
            store: StoreAccess::Gateway(Gateway {
                handle: StoreGatewayHandle(actors.store_gateway.clone()),
                revocation_cache: actors.revocation_cache.clone(),
                hints: actors.outbox.clone(),
                directory,
                ids: Arc::clone(&ids),
                clock: Arc::clone(&clock),
                operators: actors::operators_verbs(config).map(|verbs| Arc::new(Semaphore::new(verbs))),
            }),
            views: views.clone(),
            keys: Arc::clone(&keys),
            wrapper: Ok(Some(secrets.wrapper.clone())),
            verified: Arc::clone(&verified),
            issued_bytes: ISSUED_TOKENS,
            slow_signers: config.server.workers / 2,
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
            counters: Arc::clone(&actors.counters),
            leases: actors.quota_leases.clone(),
            instruments: Arc::clone(&instruments),
        };
        let services = Services::new(config, &base).map_err(Failure::environment)?;
        let foreign = foreign_secrets(config, &services, &clock, &instruments)?;
        let readiness = Arc::new(Readiness {
            accepting: AtomicBool::new(false),
            actors: actors.system.statuses(),
            store: store.clone(),
            views: views.clone(),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            keys: Arc::clone(&keys),
        });
        let handlers = HandlerData::new(&ServerDeps {
            config,
            secrets,
            exporter,
            instruments: &instruments,
            actors: &actors,
            services: &services,
            readiness: &readiness,
            views: &views,
            keys: &keys,
            ids: &ids,
            clock: &clock,
            foreign: &foreign,
        });
        watch_mailboxes(&exporter.meter(), actors.system.watched_mailboxes());
        let sources = Sources {
            store,
            maintenance: Arc::clone(&actors.maintenance),
            readiness: Arc::clone(&readiness),
            verified,
            limits: Arc::clone(&actors.limits),
            lease_counts: Arc::clone(&actors.lease_counts),
            counters: Arc::clone(&actors.counters),
            quota_leases: actors.quota_leases.clone(),
            keys,
            removed_early: Arc::clone(&actors.removed_early),
            key_fetches: Arc::clone(&actors.key_fetches),
            fallback,
            failures: Arc::clone(&actors.failures),
            foreign,
            timing: config.keys,
            clock,
            bus: actors.bus.clone(),
            outbox: actors.outbox.clone(),
        };
        gauges::register(exporter, sources);
        Ok(Self {
            actors,
            services,
            handlers,
            readiness,
        })
    }

    /// Waits until clients, keys and revocations are loaded, so that the public listener may open.
    pub(super) async fn loaded(&self) {
        until(|| self.readiness.may_listen()).await;
    }

    /// Waits until tokens can be committed, once the workers of the public listener have been started.
    pub(super) async fn token_stores_running(&self) {
        until(|| self.readiness.are_token_stores_running()).await;
    }

    /// Waits until every actor runs as well.
    pub(super) async fn running(&self) {
        until(|| self.readiness.is_loaded()).await;
    }

    /// Waits until an actor exceeds its restart limit; returns why the process must stop.
    pub(super) async fn escalated(&self) -> Failure {
        let actor = self.actors.system.escalated().await;
        tracing::error!(actor, "stopping: this actor exceeded its restart limit");
        Failure::GaveUp(format!("the actor {actor} exceeded its restart limit"))
    }

    /// Goes not ready, accepts requests for `delay` more or until `hurry`, lets requests in flight finish, then closes.
    pub(super) async fn drain(
        &self,
        [public, management]: &[ServerHandle; 2],
        delay: Duration,
        hurry: impl Future<Output = ()>,
    ) {
        tracing::info!(delay_ms = delay.as_millis() as u64, "draining");
        self.readiness.accepting.store(false, Ordering::Release);
        // An error means that the signal came first.
        if tokio::time::timeout(delay, hurry).await.is_ok() {
            tracing::warn!("closing the listeners without further wait");
        }
        // Both before the actors: operators' requests in flight need the store as well.
        futures_util::future::join(public.stop(true), management.stop(true)).await;
        for handle in self.actors.token_stores.handles() {
            drain(&handle.mailbox).await;
        }
        self.save_counts().await;
        drain(&self.actors.store_gateway).await;
        drain(&self.actors.revocation_cache).await;
        tracing::info!("stopped");
    }

    /// Saves the counts since the last periodic save, so that a regular stop loses none.
    async fn save_counts(&self) {
        let deadline = Instant::now() + SAVE_LIMIT;
        let (quotas, failures) = (
            self.actors.quota_keeper.ask(Save, deadline),
            self.actors.audit_writer.ask(Flush, deadline),
        );
        for (what, asked) in [("used quotas", quotas), ("rejections for the audit log", failures)] {
            let saved = match asked {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            if !matches!(saved, Ok(Ok(()))) {
                tracing::warn!("{what} could not be saved before the stop");
            }
        }
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(LOADED_POLL).await;
    }
}

async fn drain<A: Actor<Context = Context<A>>>(mailbox: &Mailbox<A>) {
    mailbox.close();
    mailbox.drained().await;
}

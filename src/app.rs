//! The composition root: configuration -> store -> actors -> services -> HTTP; start and drain.
//!
//! The only module that wires all others:
//!
//! - [`composition`]: a server without its sockets, of [`actors`], [`services`] and [`handlers`]; [`listeners`]: the sockets.
//! - [`direct`]: the same services for a subcommand, without actors.
//! - [`bootstrap`], [`embedded_store`], [`first_run`], [`store_lock`]: what a start prepares. [`keys`]: how keys are published and
//!   rotated.
//! - [`named_files`]: checks files that the configuration names. [`outbound`]: requests to other servers, for a subcommand.
//! - [`signals`]: what each signal does. [`logging`], [`gauges`]: logs, and metrics that are read at each scrape. [`telemetry`]: their
//!   export over OTLP, and traces.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use futures_util::future::try_join;
use oauth2_actors::metrics::Exporter;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_store::{Store, StoreOptions};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::{Config, embedded};
use crate::failure::Failure;

mod actors;
mod bootstrap;
mod bus;
mod composition;
mod connect;
mod descriptors;
pub mod direct;
mod embedded_store;
pub mod fallback;
mod first_run;
mod gauges;
mod handlers;
mod http_client;
mod keys;
mod listeners;
mod logging;
#[cfg(test)]
mod metrics_page;
pub mod named_files;
pub mod outbound;
pub mod services;
mod signals;
mod store_lock;
mod telemetry;
pub mod tls;

use bootstrap::Bootstrap;
use composition::Composition;
use first_run::Banner;
use signals::Signals;
use telemetry::Telemetry;
use tls::Certificates;

pub use crate::http::api_document::text as api_document;

/// How long connections to the public listener are refused at a start that cannot load clients, keys and revocations.
const REFUSAL: Duration = Duration::from_secs(5);

/// How to serve, beyond the configuration.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Whether migrations are applied first.
    pub migrate: bool,
}

/// Serves until a signal ends it, or until an actor exceeds its restart limit.
pub fn serve(config: Config, options: ServeOptions) -> Result<(), Failure> {
    let mut telemetry = Telemetry::start(&config.telemetry)?;
    // Dropped last, so that every line is written.
    let _logs = logging::init(&config.log, telemetry.log_export());
    Telemetry::log_start(&config.telemetry);
    descriptors::check(&config)?;
    let metrics = telemetry.metrics(config.is_scraped)?;
    let served = actix_web::rt::System::new().block_on(run(config, options, &metrics));
    telemetry.stop(&metrics);
    served
}

async fn run(config: Config, options: ServeOptions, metrics: &Exporter) -> Result<(), Failure> {
    // First: a signal during the start must not end the process half-way.
    let signals = Signals::new()?;
    embedded_store::check_files(&config)?;
    embedded::create_data_directory(&config)?;
    let mut lock = store_lock::lock(&config)?;
    embedded_store::create(&config, options.migrate).await?;
    lock.name_holder(&config);
    let store = Store::open(&StoreOptions {
        ledger_writers: actors::token_store_count(&config) as u32,
        ..config.database.options().clone()
    })
    .await?;
    let served = run_on(&config, options, &store, metrics, signals).await;
    complete_file(&store).await;
    drop(lock);
    served
}

/// Copies the write-ahead log of an embedded store into its file.
async fn complete_file(store: &Store) {
    if let Err(error) = store.complete_file().await {
        tracing::warn!(%error, "the write-ahead log is kept: it could not be copied into the database");
    }
}

/// Serves from an open store.
async fn run_on(
    config: &Config,
    options: ServeOptions,
    store: &Store,
    metrics: &Exporter,
    mut signals: Signals,
) -> Result<(), Failure> {
    embedded_store::create_schema(config, store, options.migrate).await?;
    let secrets = embedded::provide(config, bootstrap::may_hold_keys(config, store).await)?;
    bus::check(config, store).await?;
    let certificates = Certificates::start(config)?;
    certificates.register(metrics);
    let clock = Arc::new(StoreClock::of_this_machine());
    let now_ms = clock.unix_ms() as i64;
    let (prepared, when_prepared) = watch::channel(false);
    let server = Composition::new(config, store.clone(), &secrets, clock, &when_prepared, metrics)?;

    let claimed = listeners::claim_public(config)?;
    let management = listeners::management(config, &server, &certificates)?;
    let management = spawn(management);

    let bootstrap = Bootstrap {
        store: store.clone(),
        migrate: options.migrate,
        wrapper: secrets.wrapper.clone(),
        now_ms,
        default_lifetime: config.tokens.access_token_lifetime,
    };
    let listen = async {
        // Until then connections are refused, so that load balancers send the requests to another node. But all wait for a store that is
        // away, and clients get responses that say so.
        let _ = timeout(REFUSAL, server.loaded()).await;
        let (answers, when_answering) = watch::channel(false);
        let public = listeners::public(config, &server, &certificates, claimed, when_answering).map(spawn)?;
        // They run on the threads of the workers that have just been started.
        server.token_stores_running().await;
        answers.send_replace(true);
        Ok(public)
    };
    let start = async {
        bootstrap.run_until_reachable().await?;
        prepared.send_replace(true);
        server.running().await;
        if config.server.listener.is_loopback()
            && let Some(data) = config.database.data_directory()
            && first_run::had_no_client(store).await?
        {
            first_run::create_demo_client(&server.services.clients, &data).await?;
        }
        // A copy of the file without its log is at least of the same issuer, with its keys.
        complete_file(store).await;
        banner(config, store).await
    };
    let (public, banner) = tokio::select! {
        started = try_join(listen, start) => started?,
        () = signals.stop() => return Ok(()),
        failure = server.escalated() => return Err(failure),
    };
    // Listening first: the printed command works, and a wait for `/ready` ends.
    banner.print();
    server.readiness.accepting.store(true, Ordering::Release);

    tokio::select! {
        () = signals.stop() => {}
        failure = server.escalated() => return Err(failure),
    }
    // A further signal ends the wait for load balancers. Requests in flight are finished in any case: supervisors and terminals may
    // well send a signal twice.
    server
        .drain(&[public, management], config.server.drain_delay, signals.stop())
        .await;
    Ok(())
}

/// Runs a listener.
fn spawn(server: Server) -> ServerHandle {
    let handle = server.handle();
    actix_web::rt::spawn(server);
    handle
}

async fn banner<'a>(config: &'a Config, store: &Store) -> Result<Banner<'a>, Failure> {
    let secret_file = config
        .database
        .data_directory()
        .map(|data| first_run::secret_file(&data));
    let demo_secret = match secret_file.filter(|file| file.exists()) {
        Some(file) if first_run::has_demo_client(store).await? => Some(file),
        _ => None,
    };
    let data = if let Some(path) = config.database.sqlite_path() {
        path.display().to_string()
    } else {
        let url = config.entries.iter().find(|entry| entry.key.path == "database.url");
        url.and_then(|entry| entry.value.clone()).unwrap_or_default()
    };
    Ok(Banner {
        issuer: &config.issuer,
        public: config.public_url(),
        management: config.management_url(),
        data,
        demo_secret,
    })
}

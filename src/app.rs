//! The composition root: configuration -> store -> actors -> HTTP, start and drain.
//!
//! The only file in which every part of the server meets every other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use arc_swap::ArcSwap;
use oauth2_actors::directory::{Directory, TakeKeys};
use oauth2_actors::metrics::{Exporter, Instruments, Metrics, watch_mailboxes};
use oauth2_actors::rate_limiter::{PublishedLimits, RateLimiter};
use oauth2_actors::revocation_cache::{PublishedRevocations, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, SystemClock};
use oauth2_actors::runtime::supervisor::{ActorStatus, Policy, Supervised, supervise};
use oauth2_actors::store::Store;
use oauth2_actors::token_store::{ObserveCommit, Parts, TokenStore, TokenStoreHandle, Upkeep};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, Listener, embedded};
use crate::failure::Failure;
use crate::first_run::{self, Banner};
use crate::gauges;
use crate::http::discovery::{self, PublishedKeys};
use crate::http::routes::{self, ENDPOINTS};
use crate::http::{Readiness, State, edge, error};
use crate::logging;
use crate::oauth::grants::Defaults;
use crate::startup::{self, Bootstrap};
use crate::tokens::keyring::Keyring;
use crate::tokens::secret;
use crate::tokens::verified::VerifiedTokens;

/// Messages that the token store takes at a time: at 50 000 tokens a second, a tenth of a second of work.
const TOKEN_STORE_MAILBOX: usize = 5000;

/// Tokens whose verification is remembered: about 25 MiB.
const VERIFIED_TOKENS: usize = 50_000;

/// Groups that are committed at a time.
const WRITERS: usize = 1;

/// How long the head of a request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// How often a start looks whether everything has been read.
const LOADED_POLL: Duration = Duration::from_millis(2);

/// Seconds that requests in flight have to finish after the listeners have closed.
const DRAIN_LIMIT: u64 = 4;

/// The actors, and what they publish.
struct House {
    tokens: Supervised<TokenStore>,
    revocations: Supervised<RevocationCache>,
    limits: Supervised<RateLimiter>,
    metrics: Supervised<Metrics>,
    state: web::Data<State>,
}

/// How to serve, beyond the configuration.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Whether the schema is brought up to date first.
    pub migrate: bool,
}

/// Serves until a signal ends it, or until it cannot go on.
pub fn serve(config: Config, options: ServeOptions) -> Result<(), Failure> {
    logging::init(&config.log);
    actix_web::rt::System::new().block_on(run(config, options))
}

async fn run(config: Config, options: ServeOptions) -> Result<(), Failure> {
    let secrets = embedded::provide(&config)?;
    let _alone = startup::lock(&config)?;
    let store = Store::open(config.database.options()).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let now = (clock.unix_ms() / 1000) as i64;
    let kek = secrets.key_encryption_key.0;
    let admin_token = secrets.admin_token.map(|token| secret::hash(token.expose()));
    let (prepared, when_prepared) = watch::channel(false);
    let house = build(&config, store.clone(), kek, admin_token, clock, &when_prepared)?;
    let mut signals = Signals::new()?;

    let public = public_server(&config, &house.state)?;
    let management = management_server(&config, &house.state)?;
    let handles = [public.handle(), management.handle()];
    actix_web::rt::spawn(public);
    actix_web::rt::spawn(management);

    let bootstrap = Bootstrap {
        store: store.clone(),
        migrate: options.migrate,
        kek,
        now,
    };
    let new_store = tokio::select! {
        done = bootstrap.run_until_done() => done?,
        () = signals.stop() => return Ok(()),
    };
    if new_store
        && config.server.listener.is_loopback()
        && let Some(data) = config.database.data_directory()
    {
        first_run::create_demo_client(&store, &data, &house.state.registration_defaults(), now).await?;
    }
    prepared.send_replace(true);
    tokio::select! {
        () = house.loaded() => {}
        () = signals.stop() => return Ok(()),
    }
    // Whoever pastes its command, or waits for `/ready`, is served.
    banner(&config).print();
    house.state.readiness.accepting.store(true, Ordering::Release);

    tokio::select! {
        () = signals.stop() => {}
        () = house.escalated() => {
            return Err(Failure::GaveUp("an actor died too often; the log says which".to_owned()));
        }
    }
    tokio::select! {
        () = house.drain(&handles, config.server.drain_delay) => {}
        () = signals.stop() => tracing::warn!("told twice to stop; not waiting any longer"),
    }
    Ok(())
}

/// Makes everything that has no socket.
fn build(
    config: &Config,
    store: Store,
    kek: [u8; 32],
    admin_token: Option<[u8; 32]>,
    clock: Arc<dyn Clock>,
    prepared: &watch::Receiver<bool>,
) -> Result<House, Failure> {
    let defaults = Defaults {
        issuer: config.issuer.as_str().into(),
        format: config.tokens.format,
        ledger: config.tokens.ledger,
        lifetime: config.tokens.access_token_lifetime,
    };
    let exporter = Exporter::new().map_err(Failure::environment)?;
    let instruments = Arc::new(Instruments::new(
        &exporter.meter(),
        ENDPOINTS,
        error::REASONS,
        error::SHED_REASONS,
        store.kind(),
    ));
    let keys = Arc::new(ArcSwap::from_pointee(PublishedKeys::new(Keyring::default())));
    let verified = Arc::new(VerifiedTokens::new(VERIFIED_TOKENS));
    let directory = Arc::new(Directory::new(take_keys(&defaults.issuer, kek, &keys, &verified)));
    let ids = Arc::new(IdClock::new(Arc::clone(&clock)));
    let upkeep = Arc::new(Upkeep::default());

    let parts = Parts {
        store: store.clone(),
        writers: WRITERS,
        directory: Arc::clone(&directory),
        prepared: prepared.clone(),
        default_lifetime: defaults.lifetime,
        clock: Arc::clone(&clock),
        upkeep: Arc::clone(&upkeep),
        observe_commit: observe_commit(&instruments),
    };
    let policy = Policy {
        mailbox_capacity: TOKEN_STORE_MAILBOX,
        ..Policy::default()
    };
    let tokens = supervise("token_store", policy, move |_| TokenStore::new(parts.clone()));

    let revoked = PublishedRevocations::default();
    let (log, view, when_prepared, id_clock, time) = (
        store.clone(),
        Arc::clone(&revoked),
        prepared.clone(),
        Arc::clone(&ids),
        Arc::clone(&clock),
    );
    let revocations = supervise("revocation_cache", Policy::default(), move |_| {
        RevocationCache::new(
            log.clone(),
            Arc::clone(&view),
            when_prepared.clone(),
            Arc::clone(&id_clock),
            Arc::clone(&time),
        )
    });

    let counted = PublishedLimits::default();
    let buckets = Arc::clone(&counted);
    let limits = supervise("rate_limiter", Policy::default(), move |_| {
        RateLimiter::new(Arc::clone(&buckets))
    });
    let shared = exporter.clone();
    let metrics = supervise("metrics", Policy::default(), move |_| Metrics::new(shared.clone()));

    let state = web::Data::new(State {
        metadata: discovery::metadata(&defaults.issuer),
        defaults,
        admin_token,
        directory,
        keys,
        verified,
        revocations: revoked,
        limits: counted,
        tokens: TokenStoreHandle(tokens.mailbox.clone()),
        revocation_cache: revocations.mailbox.clone(),
        metrics: metrics.mailbox.clone(),
        instruments,
        ids,
        clock,
        readiness: Readiness {
            accepting: AtomicBool::new(false),
            actors: vec![
                (tokens.mailbox.name(), tokens.status.clone()),
                (revocations.mailbox.name(), revocations.status.clone()),
                (limits.mailbox.name(), limits.status.clone()),
                (metrics.mailbox.name(), metrics.status.clone()),
            ],
        },
    });
    let house = House {
        tokens,
        revocations,
        limits,
        metrics,
        state,
    };
    gauges::register(&exporter, &house.state, store, upkeep);
    watch_mailboxes(
        &exporter.meter(),
        vec![
            Box::new(house.tokens.mailbox.clone()),
            Box::new(house.revocations.mailbox.clone()),
            Box::new(house.limits.mailbox.clone()),
            Box::new(house.metrics.mailbox.clone()),
        ],
    );
    Ok(house)
}

/// Opens changed keys and publishes them.
fn take_keys(
    issuer: &str,
    kek: [u8; 32],
    keys: &Arc<ArcSwap<PublishedKeys>>,
    verified: &Arc<VerifiedTokens>,
) -> TakeKeys {
    let (issuer, keys, verified) = (issuer.to_owned(), Arc::clone(keys), Arc::clone(verified));
    Box::new(move |stored| {
        let keyring = Keyring::open(&issuer, &kek, stored).map_err(|error| error.to_string())?;
        keys.store(Arc::new(PublishedKeys::new(keyring)));
        verified.clear();
        Ok(())
    })
}

fn observe_commit(instruments: &Arc<Instruments>) -> ObserveCommit {
    let instruments = Arc::clone(instruments);
    Arc::new(move |rows, elapsed| instruments.commit(rows, elapsed))
}

fn public_server(config: &Config, state: &web::Data<State>) -> Result<Server, Failure> {
    let state = state.clone();
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(state.clone())
            .wrap(from_fn(edge::edge))
            .configure(routes::public)
    });
    let server = server
        .workers(config.server.workers)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(DRAIN_LIMIT);
    let bound = server.disable_signals().bind(address(&config.server.listener));
    Ok(bound
        .map_err(|error| bind_error("OAUTH2_SERVER_PORT", &config.server.listener, &error))?
        .run())
}

fn management_server(config: &Config, state: &web::Data<State>) -> Result<Server, Failure> {
    let state = state.clone();
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(state.clone())
            .wrap(from_fn(edge::edge))
            .configure(routes::management)
    });
    let server = server
        .workers(1)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(1);
    let bound = server.disable_signals().bind(address(&config.management));
    Ok(bound
        .map_err(|error| bind_error("OAUTH2_MANAGEMENT_PORT", &config.management, &error))?
        .run())
}

fn address(listener: &Listener) -> (&str, u16) {
    (&listener.host, listener.port)
}

fn bind_error(key: &str, listener: &Listener, error: &std::io::Error) -> Failure {
    let address = listener.authority();
    Failure::Environment(format!(
        "cannot listen on {address}: {error}; free the port or set {key}"
    ))
}

fn banner(config: &Config) -> Banner<'_> {
    let demo_secret = config
        .database
        .data_directory()
        .map(|data| first_run::secret_file(&data))
        .filter(|file| file.exists());
    let data = match config.database.sqlite_path() {
        Some(path) => path.display().to_string(),
        None => {
            let url = config.entries.iter().find(|entry| entry.key.path == "database.url");
            url.and_then(|entry| entry.value.clone()).unwrap_or_default()
        }
    };
    Banner {
        issuer: &config.issuer,
        public: config.server.listener.authority(),
        management: config.management.authority(),
        data,
        demo_secret,
    }
}

impl House {
    /// Resolves when clients, keys and revocations have been read.
    async fn loaded(&self) {
        while !self.state.is_loaded() {
            tokio::time::sleep(LOADED_POLL).await;
        }
    }

    /// Resolves when some actor died too often.
    async fn escalated(&self) {
        let given_up = self.state.readiness.actors.iter().map(|(name, status)| {
            let mut status = status.clone();
            Box::pin(async move {
                let _ = status.wait_for(|status| *status == ActorStatus::Escalated).await;
                tracing::error!(actor = name, "stopping, since this actor cannot be kept alive");
            })
        });
        futures_util::future::select_all(given_up).await;
    }

    /// Goes not ready, keeps accepting for the delay, then lets requests in flight finish and closes.
    async fn drain(&self, [public, management]: &[ServerHandle; 2], delay: Duration) {
        tracing::info!(delay_ms = delay.as_millis() as u64, "draining");
        self.state.readiness.accepting.store(false, Ordering::Release);
        tokio::time::sleep(delay).await;
        public.stop(true).await;
        self.tokens.mailbox.close();
        self.tokens.mailbox.drained().await;
        self.revocations.mailbox.close();
        self.revocations.mailbox.drained().await;
        management.stop(false).await;
        tracing::info!("stopped");
    }
}

/// The signals that tell the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::environment);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! The composition root: configuration -> store -> actors -> HTTP, start and drain.
//!
//! The only file in which every part of the server meets every other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use arc_swap::ArcSwap;
use oauth2_actors::directory::Directory;
use oauth2_actors::metrics::{Instruments, Metrics};
use oauth2_actors::rate_limiter::{PublishedLimits, RateLimiter};
use oauth2_actors::revocation_cache::{PublishedRevocations, RevocationCache};
use oauth2_actors::runtime::clock::{Clock, IdClock, SystemClock};
use oauth2_actors::runtime::supervisor::{ActorStatus, Policy, Supervised, supervise};
use oauth2_actors::store::Store;
use oauth2_actors::token_store::{Parts, TokenStore, TokenStoreHandle, Upkeep};

use crate::config::Config;
use crate::first_run::{self, Banner};
use crate::http::discovery::{self, PublishedKeys};
use crate::http::routes::{self, ENDPOINTS, Listener};
use crate::http::{Readiness, State, edge, error};
use crate::oauth::grants::Defaults;
use crate::startup::{self, StartError};
use crate::tokens::keyring::Keyring;
use crate::tokens::secret;
use crate::tokens::verified::VerifiedTokens;
use crate::{gauges, signals};

/// Messages that the token store takes at a time: at 50 000 tokens a second, a tenth of a second of work.
const TOKEN_STORE_MAILBOX: usize = 5000;

/// Tokens whose verification is remembered: about 25 MiB.
const VERIFIED_TOKENS: usize = 50_000;

/// Groups that are committed at a time on Postgres.
const WRITERS: usize = 1;

/// How long the head of a request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// How long requests in flight may take to finish after the listeners have closed, in seconds.
const DRAIN_LIMIT: u64 = 4;

/// The supervised actors.
struct Actors {
    tokens: Supervised<TokenStore>,
    revocations: Supervised<RevocationCache>,
    limits: Supervised<RateLimiter>,
    metrics: Supervised<Metrics>,
}

/// Runs the server until it is told to stop, or cannot go on. Answers the exit code.
pub async fn serve(config: Config, migrate: bool) -> Result<u8, StartError> {
    let embedded = config.embedded()?;
    let _alone = startup::lock(&config)?;
    let store = Store::open(&config.store_options()).await?;
    let defaults = config.defaults();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bootstrap = startup::Bootstrap { store: store.clone(), migrate, kek: embedded.kek, now: clock.unix_ms() / 1000 };

    let keys = Arc::new(ArcSwap::from_pointee(PublishedKeys::new(Keyring::default())));
    let verified = Arc::new(VerifiedTokens::new(VERIFIED_TOKENS));
    let directory = Arc::new(Directory::new(take_keys(&defaults, embedded.kek, &keys, &verified)));
    let revocations = PublishedRevocations::default();
    let limits = PublishedLimits::default();
    let ids = Arc::new(IdClock::new(Arc::clone(&clock)));
    let upkeep = Arc::new(Upkeep::default());
    let prepared = Arc::new(AtomicBool::new(false));
    let registry = Metrics::registry()?;
    let instruments = Arc::new(Instruments::new(&registry, ENDPOINTS, error::REASONS, error::SHED_REASONS));

    let fresh_store = startup::prepare(&bootstrap, &prepared).await?;
    if let (Some(data), true) = (&embedded.data, fresh_store && config.server.host.is_loopback()) {
        first_run::create_demo_client(&store, data, &defaults, bootstrap.now as i64).await.map_err(StartError::environment)?;
    }
    Ok(0)
}

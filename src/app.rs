//! The composition root: configuration -> store -> actors -> HTTP, start and drain.
//!
//! The only place in which every part of the server meets every other: [`house`] makes the actors and what handlers see of
//! them, [`listeners`] the sockets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use oauth2_actors::runtime::clock::{Clock, StoreClock, SystemClock};
use oauth2_actors::store::{Store, StoreOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, embedded};
use crate::failure::Failure;
use crate::first_run::{self, Banner};
use crate::logging;
use crate::startup::{self, Bootstrap};

mod actors;
mod house;
mod keys;
mod listeners;

use house::House;

pub use crate::http::openapi::text as api_document;

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
    embedded::make_data_directory(&config)?;
    let _alone = startup::lock(&config)?;
    let store = Store::open(&StoreOptions {
        ledger_writers: actors::recorder_count(&config) as u32,
        ..config.database.options().clone()
    })
    .await?;
    let secrets = embedded::provide(&config, startup::is_sealed(&config, &store).await)?;
    let clock = Arc::new(StoreClock::new(Arc::new(SystemClock)));
    let now_ms = clock.unix_ms() as i64;
    let (prepared, when_prepared) = watch::channel(false);
    let house = House::build(&config, store.clone(), &secrets, clock, &when_prepared)?;
    let mut signals = Signals::new()?;

    let public = listeners::public(&config, &house.state, &house.recorders)?;
    let management = listeners::management(&config, &house.state, &house.recorders)?;
    let handles = [public.handle(), management.handle()];
    actix_web::rt::spawn(public);
    actix_web::rt::spawn(management);

    let bootstrap = Bootstrap {
        store: store.clone(),
        migrate: options.migrate,
        seals: secrets.seals.clone(),
        now_ms,
        lifetime: config.tokens.access_token_lifetime,
    };
    let new_store = tokio::select! {
        done = bootstrap.run_until_done() => done?,
        () = signals.stop() => return Ok(()),
        () = house.escalated() => return Err(gave_up()),
    };
    if new_store
        && config.server.listener.is_loopback()
        && let Some(data) = config.database.data_directory()
    {
        first_run::create_demo_client(&store, &data, &house.state.registration_defaults(), now_ms / 1000).await?;
    }
    prepared.send_replace(true);
    tokio::select! {
        () = house.loaded() => {}
        () = signals.stop() => return Ok(()),
        () = house.escalated() => return Err(gave_up()),
    }
    // Whoever pastes its command, or waits for `/ready`, is served.
    banner(&config).print();
    house.state.readiness.accepting.store(true, Ordering::Release);

    tokio::select! {
        () = signals.stop() => {}
        () = house.escalated() => return Err(gave_up()),
    }
    tokio::select! {
        () = house.drain(&handles, config.server.drain_delay) => {}
        () = signals.stop() => tracing::warn!("told twice to stop; not waiting any longer"),
    }
    Ok(())
}

fn gave_up() -> Failure {
    Failure::GaveUp("an actor died too often; the log says which".to_owned())
}

fn banner(config: &Config) -> Banner<'_> {
    let demo_secret = config
        .database
        .data_directory()
        .map(|data| first_run::secret_file(&data))
        .filter(|file| file.exists());
    let data = if let Some(path) = config.database.sqlite_path() {
        path.display().to_string()
    } else {
        let url = config.entries.iter().find(|entry| entry.key.path == "database.url");
        url.and_then(|entry| entry.value.clone()).unwrap_or_default()
    };
    Banner {
        issuer: &config.issuer,
        public: config.server.listener.authority(),
        management: config.management.authority(),
        data,
        demo_secret,
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

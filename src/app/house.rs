//! The actors, what they publish, and the state that handlers see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::web;
use arc_swap::ArcSwap;
use oauth2_actors::audit_writer::{AuditWriter, Flush};
use oauth2_actors::directory::Directory;
use oauth2_actors::key_keeper::KeyKeeper;
use oauth2_actors::metrics::{Exporter, Instruments, Metrics, Watched, watch_mailboxes};
use oauth2_actors::quota_keeper::{Counters, QuotaKeeper, Save};
use oauth2_actors::rate_limiter::RateLimiter;
use oauth2_actors::recorder::Recorders;
use oauth2_actors::revocation_cache::RevocationCache;
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::supervisor::{ActorStatus, Policy, Supervised, supervise};
use oauth2_actors::signer::Signers;
use oauth2_actors::store::Store;
use oauth2_actors::token_store::{self, TokenStore, TokenStoreHandle, Upkeep};
use tokio::sync::watch;

use super::{actors, keys};
use crate::config::Config;
use crate::config::embedded::Provided;
use crate::failure::Failure;
use crate::gauges;
use crate::http::discovery::{Metadata, PublishedKeys};
use crate::http::limits::Rules;
use crate::http::quotas::Rules as QuotaRules;
use crate::http::routes::ENDPOINTS;
use crate::http::{Readiness, State, error};
use crate::oauth::grants::Defaults;
use crate::tokens::fingerprint::Fingerprints;
use crate::tokens::issued::IssuedTokens;
use crate::tokens::reuse::ReusableTokens;
use crate::tokens::secret;
use crate::tokens::verified::VerifiedTokens;

/// Bytes of tokens whose verification is remembered.
const VERIFIED_TOKENS: u64 = 25 * 1024 * 1024;

/// Bytes for telling the tokens that were signed here: the last million.
const ISSUED_TOKENS: usize = 16 * 1024 * 1024;

/// How long the last save of used quotas may take.
const SAVE_LIMIT: Duration = Duration::from_secs(1);

/// How often a start looks whether everything has been read.
const LOADED_POLL: Duration = Duration::from_millis(2);

/// The actors, and what they publish.
pub(super) struct House {
    tokens: Supervised<TokenStore>,
    pub(super) recorders: Arc<Recorders>,
    revocations: Supervised<RevocationCache>,
    limits: Supervised<RateLimiter>,
    keeper: Supervised<KeyKeeper>,
    quotas: Supervised<QuotaKeeper>,
    auditor: Supervised<AuditWriter>,
    metrics: Supervised<Metrics>,
    pub(super) state: web::Data<State>,
}

impl House {
    /// Makes everything that has no socket.
    #[expect(
        clippy::too_many_lines,
        reason = "a list: each part is made once and named where it goes"
    )]
    pub(super) fn build(
        config: &Config,
        store: Store,
        secrets: &Provided,
        clock: Arc<StoreClock>,
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
        let published = Arc::new(ArcSwap::from_pointee(PublishedKeys::none()));
        let verified = Arc::new(VerifiedTokens::new(VERIFIED_TOKENS));
        let directory = Arc::new(Directory::new(keys::take(config, secrets, &published, &verified)));
        let ids = Arc::new(IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let upkeep = Arc::new(Upkeep::default());

        let parts = token_store::Parts {
            store: store.clone(),
            directory: Arc::clone(&directory),
            prepared: prepared.clone(),
            default_lifetime: defaults.lifetime,
            clock: Arc::clone(&clock),
            upkeep: Arc::clone(&upkeep),
            audit_days: config.audit.retention_days,
        };
        let tokens = supervise("token_store", Policy::default(), move |_| {
            TokenStore::new(parts.clone())
        });

        let recorders = Arc::new(actors::recorders(config, &store, prepared, &instruments));

        let (revoked, revocations) = actors::revocation_cache(&store, prepared, &ids, &clock);
        let (counted, limits) = actors::rate_limiter(config);
        let keeper = keys::keeper(config, secrets, &store, &directory, &clock, prepared);
        let (failures, auditor) = actors::audit_writer(config, &store, &clock, prepared);
        let counters = Arc::new(Counters::default());
        let quotas = actors::quota_keeper(config, &store, &counters, &clock, prepared, &instruments);
        let signers = Arc::new(Signers::new(config.server.workers / 2));
        let shared = exporter.clone();
        let metrics = supervise("metrics", Policy::default(), move |_| Metrics::new(shared.clone()));

        let readiness = Readiness {
            accepting: AtomicBool::new(false),
            actors: [
                (tokens.mailbox.name(), tokens.status.clone()),
                (revocations.mailbox.name(), revocations.status.clone()),
                (limits.mailbox.name(), limits.status.clone()),
                (keeper.mailbox.name(), keeper.status.clone()),
                (quotas.mailbox.name(), quotas.status.clone()),
                (auditor.mailbox.name(), auditor.status.clone()),
                (metrics.mailbox.name(), metrics.status.clone()),
            ]
            .into_iter()
            .chain(recorders.statuses())
            .chain(signers.statuses())
            .collect(),
        };
        let state = web::Data::new(State {
            metadata: Metadata::new(&defaults.issuer),
            defaults,
            admin_token: secrets.admin_token.as_ref().map(|token| secret::hash(token.expose())),
            directory,
            keys: published,
            verified,
            issued: IssuedTokens::new(ISSUED_TOKENS),
            fingerprints: Fingerprints::new().map_err(Failure::environment)?,
            revocations: revoked,
            signers: Arc::clone(&signers),
            seals: secrets.seals.clone(),
            shares_secret: config.secrets.jwt_secret.is_some(),
            timing: config.keys,
            limits: counted,
            rules: rules(config),
            counters,
            failures,
            quota_rules: QuotaRules {
                quotas: config.quotas.quotas,
                mode: config.quotas.mode,
            },
            reusable: ReusableTokens::default(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            tokens: TokenStoreHandle(tokens.mailbox.clone()),
            revocation_cache: revocations.mailbox.clone(),
            metrics: metrics.mailbox.clone(),
            instruments,
            ids,
            clock,
            readiness,
        });
        let house = House {
            tokens,
            recorders,
            revocations,
            limits,
            keeper,
            quotas,
            auditor,
            metrics,
            state,
        };
        gauges::register(&exporter, &house.state, store, upkeep);
        house.watch(&exporter);
        Ok(house)
    }

    fn watch(&self, exporter: &Exporter) {
        let mut watched: Vec<Box<dyn Watched>> = vec![
            Box::new(self.tokens.mailbox.clone()),
            Box::new(self.revocations.mailbox.clone()),
            Box::new(self.limits.mailbox.clone()),
            Box::new(self.keeper.mailbox.clone()),
            Box::new(self.quotas.mailbox.clone()),
            Box::new(self.auditor.mailbox.clone()),
            Box::new(self.metrics.mailbox.clone()),
        ];
        for mailbox in self.state.signers.mailboxes() {
            watched.push(Box::new(mailbox.clone()));
        }
        for mailbox in self.recorders.mailboxes() {
            watched.push(Box::new(mailbox.clone()));
        }
        watch_mailboxes(&exporter.meter(), watched);
    }

    /// Resolves when clients, keys and revocations have been read.
    pub(super) async fn loaded(&self) {
        while !self.state.is_loaded() {
            tokio::time::sleep(LOADED_POLL).await;
        }
    }

    /// Resolves when some actor died too often.
    pub(super) async fn escalated(&self) {
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
    pub(super) async fn drain(&self, [public, management]: &[ServerHandle; 2], delay: Duration) {
        tracing::info!(delay_ms = delay.as_millis() as u64, "draining");
        self.state.readiness.accepting.store(false, Ordering::Release);
        tokio::time::sleep(delay).await;
        public.stop(true).await;
        for mailbox in self.recorders.mailboxes() {
            mailbox.close();
            mailbox.drained().await;
        }
        self.save_counts().await;
        self.tokens.mailbox.close();
        self.tokens.mailbox.drained().await;
        self.revocations.mailbox.close();
        self.revocations.mailbox.drained().await;
        management.stop(false).await;
        tracing::info!("stopped");
    }
}

impl House {
    /// What was counted since it was written last is not lost with a process that is told to stop.
    async fn save_counts(&self) {
        let deadline = Instant::now() + SAVE_LIMIT;
        let (quotas, failures) = (
            self.quotas.mailbox.ask(Save, deadline),
            self.auditor.mailbox.ask(Flush, deadline),
        );
        for (what, asked) in [("used quotas", quotas), ("failed authentications", failures)] {
            let saved = match asked {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            if !matches!(saved, Ok(Ok(()))) {
                tracing::warn!("{what} could not be saved at the end");
            }
        }
    }
}

fn rules(config: &Config) -> Rules {
    Rules {
        rates: config.limits.rates,
        mode: config.limits.mode,
        failures: config.limits.failures_mode,
    }
}

//! What handlers extract: each service as `web::Data`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use oauth2_actors::metrics::{Exporter, Instruments, Metrics};
use oauth2_actors::runtime::clock::{IdClock, StoreClock};
use oauth2_actors::runtime::mailbox::Mailbox;

use super::actors::Actors;
use super::services::Services;
use crate::config::Config;
use crate::config::embedded::ServerSecrets;
use crate::http::api_document;
use crate::http::cors::Cors;
use crate::http::hosts::AllowedHosts;
use crate::http::metrics::HttpMetrics;
use crate::http::oauth::admission::Admission;
use crate::http::ops::openapi::ApiDocument;
use crate::http::routes::ENDPOINTS;
use crate::http::wellknown::document::KeyDocuments;
use crate::http::wellknown::metadata::Metadata;
use crate::service::audit::AuditLog;
use crate::service::authenticate::Authenticate;
use crate::service::authenticate::failures::FailureCount;
use crate::service::authenticate::foreign_secrets::ForeignSecrets;
use crate::service::buckets::Buckets;
use crate::service::clients::Clients;
use crate::service::cut_offs::CutOffs;
use crate::service::groups::Groups;
use crate::service::idempotency::Idempotency;
use crate::service::introspect::Introspect;
use crate::service::issue::Issue;
use crate::service::issue::provision::Provision;
use crate::service::issue::reuse::Reuse;
use crate::service::keys::SigningKeys;
use crate::service::limits::RateControl;
use crate::service::operators::Operators;
use crate::service::published_keys::KeysHandle;
use crate::service::quotas::QuotaControl;
use crate::service::readiness::Readiness;
use crate::service::records::Records;
use crate::service::revoke::Revoke;
use crate::service::views::Views;
use crate::tokens::reuse::ReusableTokens;
use crate::tokens::secret;

/// What the services of a server are built from, besides the shared ones.
pub(super) struct ServerDeps<'a> {
    pub(super) config: &'a Config,
    pub(super) secrets: &'a ServerSecrets,
    pub(super) exporter: &'a Exporter,
    pub(super) instruments: &'a Arc<Instruments>,
    pub(super) actors: &'a Actors,
    pub(super) services: &'a Services,
    pub(super) readiness: &'a Arc<Readiness>,
    pub(super) views: &'a Views,
    pub(super) keys: &'a KeysHandle,
    pub(super) ids: &'a Arc<IdClock>,
    pub(super) clock: &'a Arc<StoreClock>,
    pub(super) foreign: &'a ForeignSecrets,
}

/// The services that both listeners offer to their handlers. The ledger is added per listener.
#[derive(Clone)]
pub(super) struct HandlerData {
    http_metrics: Data<HttpMetrics>,
    metadata: Data<Metadata>,
    cors: Data<Cors>,
    hosts: Data<AllowedHosts>,
    api_document: Data<ApiDocument>,
    key_documents: Data<KeyDocuments>,
    admission: Data<Admission>,
    issue: Data<Issue>,
    introspect: Data<Introspect>,
    revoke: Data<Revoke>,
    cut_offs: Data<CutOffs>,
    operators: Data<Operators>,
    clients: Data<Clients>,
    quotas: Data<QuotaControl>,
    groups: Data<Groups>,
    provision: Data<Provision>,
    records: Data<Records>,
    keys: Data<SigningKeys>,
    audit: Data<AuditLog>,
    idempotency: Data<Idempotency>,
    readiness: Data<Readiness>,
    metrics: Data<Mailbox<Metrics>>,
}

impl HandlerData {
    /// Wires the services that only a server has.
    pub(super) fn new(deps: &ServerDeps<'_>) -> Self {
        let (config, services, actors) = (deps.config, deps.services, deps.actors);
        let http_metrics = Arc::new(HttpMetrics::new(deps.exporter, &ENDPOINTS));
        let buckets = Buckets {
            published: Arc::clone(&actors.limits),
            rate_limiter: actors.rate_limiter.clone(),
            redis_timeout: config
                .redis
                .as_ref()
                .map_or(Duration::ZERO, |redis| redis.options.limit_timeout),
        };
        let admission = Admission {
            authenticate: Authenticate {
                directory: Arc::clone(&deps.views.directory),
                clock: Arc::clone(deps.clock),
                foreign: deps.foreign.clone(),
                failures: FailureCount {
                    directory: Arc::clone(&deps.views.directory),
                    buckets: buckets.clone(),
                    mode: config.limits.failures_mode,
                    rejections: Arc::clone(&actors.failures),
                    clock: Arc::clone(deps.clock),
                    instruments: Arc::clone(deps.instruments),
                },
            },
            rates: RateControl {
                buckets: buckets.clone(),
                defaults: config.limits.rates,
                mode: config.limits.mode,
                directory: Arc::clone(&deps.views.directory),
                instruments: Arc::clone(deps.instruments),
            },
            trusted_proxies: config.server.trusted_proxies.clone(),
            metrics: Arc::clone(&http_metrics),
        };
        let issue = Issue {
            defaults: Arc::clone(&services.defaults),
            ids: Arc::clone(deps.ids),
            mint: Arc::clone(&services.mint),
            reuse: Reuse {
                tokens: ReusableTokens::default(),
                verify: Arc::clone(&services.verify),
            },
            quotas: Arc::clone(&services.quotas),
            counters: Arc::clone(&actors.counters),
            views: deps.views.clone(),
            instruments: Arc::clone(deps.instruments),
        };
        let previous_admin_token = config.secrets.previous_admin_token.as_ref();
        let admin_tokens = deps.secrets.admin_token.iter().chain(previous_admin_token);
        Self {
            http_metrics: Data::from(http_metrics),
            metadata: Data::new(Metadata::new(
                &config.issuer,
                &config.endpoint_base(),
                config.keys.max_age,
            )),
            cors: Data::new(Cors::new(&config.server.cors_origins)),
            hosts: Data::new(AllowedHosts::new(config.management_hosts.clone())),
            api_document: Data::new(ApiDocument::new(&api_document::document())),
            key_documents: Data::new(KeyDocuments {
                keys: Arc::clone(deps.keys),
                timing: config.keys,
                views: deps.views.clone(),
                fetches: Arc::clone(&actors.key_fetches),
                clock: Arc::clone(deps.clock),
                trusted_proxies: config.server.trusted_proxies.clone(),
            }),
            admission: Data::new(admission),
            issue: Data::new(issue),
            introspect: Data::new(Introspect {
                verify: Arc::clone(&services.verify),
            }),
            revoke: Data::from(Arc::clone(&services.revoke)),
            cut_offs: Data::from(Arc::clone(&services.cut_offs)),
            operators: Data::new(Operators {
                admin_tokens: admin_tokens.map(|token| secret::hash(token.expose())).collect(),
                verify: Arc::clone(&services.verify),
                buckets: buckets.clone(),
                mode: config.limits.failures_mode,
                failures: Arc::clone(&actors.failures),
            }),
            clients: Data::from(Arc::clone(&services.clients)),
            quotas: Data::from(Arc::clone(&services.quotas)),
            groups: Data::from(Arc::clone(&services.groups)),
            provision: Data::from(Arc::clone(&services.provision)),
            records: Data::from(Arc::clone(&services.records)),
            keys: Data::from(Arc::clone(&services.keys)),
            audit: Data::from(Arc::clone(&services.audit)),
            idempotency: Data::new(Idempotency {
                store: services.clients.store.clone(),
                wrapper: deps.secrets.wrapper.clone(),
                clock: Arc::clone(deps.clock),
            }),
            readiness: Data::from(Arc::clone(deps.readiness)),
            metrics: Data::new(actors.metrics.clone()),
        }
    }

    /// The counters of requests and connections.
    pub(super) fn http_metrics(&self) -> &HttpMetrics {
        &self.http_metrics
    }

    /// Makes the services extractable.
    pub(super) fn register(&self, config: &mut ServiceConfig) {
        config
            .app_data(self.http_metrics.clone())
            .app_data(self.metadata.clone())
            .app_data(self.cors.clone())
            .app_data(self.hosts.clone())
            .app_data(self.api_document.clone())
            .app_data(self.key_documents.clone())
            .app_data(self.admission.clone())
            .app_data(self.issue.clone())
            .app_data(self.introspect.clone())
            .app_data(self.revoke.clone())
            .app_data(self.cut_offs.clone())
            .app_data(self.operators.clone())
            .app_data(self.clients.clone())
            .app_data(self.quotas.clone())
            .app_data(self.groups.clone())
            .app_data(self.provision.clone())
            .app_data(self.records.clone())
            .app_data(self.keys.clone())
            .app_data(self.audit.clone())
            .app_data(self.idempotency.clone())
            .app_data(self.readiness.clone())
            .app_data(self.metrics.clone());
    }
}

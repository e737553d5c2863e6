//! The use cases that a server and a subcommand share, wired once for both.

use std::sync::Arc;

use oauth2_actors::metrics::Instruments;
use oauth2_actors::quota_keeper::{Counters, QuotaLeases};
use oauth2_actors::runtime::clock::{IdClock, StoreClock};

use crate::config::Config;
use crate::keys::wrapping::KeyWrapper;
use crate::protocol::token_spec::TokenDefaults;
use crate::service::audit::AuditLog;
use crate::service::clients::Clients;
use crate::service::clients::registration::RegistrationDefaults;
use crate::service::cut_offs::CutOffs;
use crate::service::error::ServiceError;
use crate::service::fallback::Fallback;
use crate::service::groups::Groups;
use crate::service::issue::mint::Mint;
use crate::service::issue::provision::Provision;
use crate::service::issue::slow_signer::SlowSigner;
use crate::service::keys::SigningKeys;
use crate::service::published_keys::KeysHandle;
use crate::service::quotas::QuotaControl;
use crate::service::records::Records;
use crate::service::restore::Restore;
use crate::service::revoke::Revoke;
use crate::service::store_access::StoreAccess;
use crate::service::verify::Verify;
use crate::service::views::Views;
use crate::tokens::fingerprint::Fingerprints;
use crate::tokens::issued::IssuedTokens;
use crate::tokens::secret::NoRandomness;
use crate::tokens::verified::VerifiedTokens;

/// What the services of one process are built from.
pub(super) struct Base {
    /// The store: through actors, with the bound of operators, or directly.
    pub(super) store: StoreAccess,
    /// Clients and revocations.
    pub(super) views: Views,
    /// Signing keys.
    pub(super) keys: KeysHandle,
    /// Wraps new signing keys; see [`SigningKeys::wrapper`].
    pub(super) wrapper: Result<Option<KeyWrapper>, ServiceError>,
    /// Tokens verified before; emptied when the keys change.
    pub(super) verified: Arc<VerifiedTokens>,
    /// Bytes for recognizing the tokens that this process signed.
    pub(super) issued_bytes: usize,
    /// Threads for RSA signatures.
    pub(super) slow_signers: usize,
    /// Token ids.
    pub(super) ids: Arc<IdClock>,
    /// The store's clock.
    pub(super) clock: Arc<StoreClock>,
    /// Use of quotas and unexpired tokens.
    pub(super) counters: Arc<Counters>,
    /// This process's leases of enforced quotas, where nodes share the store.
    pub(super) leases: Option<Arc<QuotaLeases>>,
    /// Asks the issuer that this server replaces.
    pub(super) fallback: Option<Arc<Fallback>>,
    /// Metrics.
    pub(super) instruments: Arc<Instruments>,
}

/// The shared use cases.
#[derive(Debug)]
pub struct Services {
    /// The server's settings for tokens.
    pub defaults: Arc<TokenDefaults>,
    /// Signs tokens.
    pub mint: Arc<Mint>,
    /// Verifies tokens.
    pub verify: Arc<Verify>,
    /// Signing keys.
    pub keys: Arc<SigningKeys>,
    /// Quotas.
    pub quotas: Arc<QuotaControl>,
    /// Registered clients.
    pub clients: Arc<Clients>,
    /// Groups of clients.
    pub groups: Arc<Groups>,
    /// Bulk issuance.
    pub provision: Arc<Provision>,
    /// Records of tokens.
    pub records: Arc<Records>,
    /// Revocation.
    pub revoke: Arc<Revoke>,
    /// What a restore needs.
    pub restore: Restore,
    /// Revocation cut-offs.
    pub cut_offs: Arc<CutOffs>,
    /// The audit log.
    pub audit: Arc<AuditLog>,
}

impl Services {
    /// Wires the services. Fails without randomness.
    pub(super) fn new(config: &Config, base: &Base) -> Result<Self, NoRandomness> {
        let defaults = Arc::new(token_defaults(config));
        // Introspection and revocation wait for no operator.
        let clients_store = base.store.without_bound();
        let (issued, fingerprints) = (
            Arc::new(IssuedTokens::new(base.issued_bytes)),
            Arc::new(Fingerprints::new()?),
        );
        let mint = Arc::new(Mint {
            keys: Arc::clone(&base.keys),
            slow_signer: SlowSigner::new(base.slow_signers),
            issued: Arc::clone(&issued),
            fingerprints: Arc::clone(&fingerprints),
            instruments: Arc::clone(&base.instruments),
        });
        let verify = Arc::new(Verify {
            ids: Arc::clone(&base.ids),
            keys: Arc::clone(&base.keys),
            verified: Arc::clone(&base.verified),
            issued,
            fingerprints,
            views: base.views.clone(),
            clock: Arc::clone(&base.clock),
            defaults: Arc::clone(&defaults),
            fallback: base.fallback.clone(),
            store: clients_store.clone(),
            instruments: Arc::clone(&base.instruments),
        });
        let keys = Arc::new(SigningKeys {
            store: base.store.clone(),
            wrapper: base.wrapper.clone(),
            timing: config.keys,
            issuer: Arc::clone(&defaults.issuer),
            default_lifetime: defaults.lifetime,
            instruments: Arc::clone(&base.instruments),
        });
        let quotas = Arc::new(QuotaControl {
            counters: Arc::clone(&base.counters),
            leases: base.leases.clone(),
            store: base.store.clone(),
            defaults: config.quotas.quotas,
            mode: config.quotas.mode,
            directory: Arc::clone(&base.views.directory),
            clock: Arc::clone(&base.clock),
            instruments: Arc::clone(&base.instruments),
        });
        let clients = Arc::new(Clients {
            store: base.store.clone(),
            keys: Arc::clone(&keys),
            quotas: Arc::clone(&quotas),
            defaults: registration_defaults(config),
        });
        let revoke = Arc::new(Revoke {
            store: clients_store,
            verify: Arc::clone(&verify),
            clock: Arc::clone(&base.clock),
            instruments: Arc::clone(&base.instruments),
        });
        let groups = Arc::new(Groups {
            store: base.store.clone(),
            quotas: Arc::clone(&quotas),
        });
        Ok(Self {
            restore: Restore {
                store: base.store.clone(),
                clients: Arc::clone(&clients),
                groups: Arc::clone(&groups),
                keys: Arc::clone(&keys),
                revoke: Arc::clone(&revoke),
            },
            clients,
            groups,
            provision: Arc::new(Provision {
                store: base.store.clone(),
                defaults: Arc::clone(&defaults),
                ids: Arc::clone(&base.ids),
                clock: Arc::clone(&base.clock),
                mint: Arc::clone(&mint),
                quotas: Arc::clone(&quotas),
                counters: Arc::clone(&base.counters),
                views: base.views.clone(),
                instruments: Arc::clone(&base.instruments),
            }),
            records: Arc::new(Records {
                store: base.store.clone(),
                verify: Arc::clone(&verify),
                clock: Arc::clone(&base.clock),
            }),
            revoke,
            cut_offs: Arc::new(CutOffs {
                store: base.store.clone(),
            }),
            audit: Arc::new(AuditLog {
                store: base.store.clone(),
            }),
            defaults,
            mint,
            verify,
            keys,
            quotas,
        })
    }
}

/// The server's settings for tokens.
fn token_defaults(config: &Config) -> TokenDefaults {
    TokenDefaults {
        issuer: config.issuer.as_str().into(),
        format: config.tokens.format,
        typ: config.tokens.typ,
        ledger: config.tokens.ledger,
        lifetime: config.tokens.access_token_lifetime,
    }
}

/// The settings that decide what a client may be registered with.
pub fn registration_defaults(config: &Config) -> RegistrationDefaults {
    RegistrationDefaults {
        format: config.tokens.format,
        ledger: config.tokens.ledger,
        has_shared_secret: config.secrets.jwt_secret.is_some(),
    }
}

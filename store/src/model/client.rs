//! Registered clients.

use std::sync::Arc;

use super::names::names;
use super::policy::Policy;
use super::secret::ClientSecret;
use super::token::{Ledger, SigningAlg, TokenFormat, TokenTyp};
use crate::columns::{Column, columns};

names! {
    /// A grant type that a client may use (RFC 6749 section 1.3).
    GrantType {
        /// RFC 6749 section 4.4.
        ClientCredentials = "client_credentials",
    }
}

/// A registered client. A million of them may be in memory, so lists are slices that clients with equal lists can share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The `client_id` of the protocol. The id of a deleted client can be registered again; tokens of the deleted client stay
    /// revoked.
    pub client_id: Arc<str>,
    /// Display name.
    pub client_name: Option<Box<str>>,
    /// Grant types that the client may use.
    pub grant_types: Arc<[GrantType]>,
    /// Scopes that the client may request: space-separated, without duplicates, in the order of registration.
    pub scope: Arc<str>,
    /// Format of its access tokens; `None` = the server's default.
    pub token_format: Option<TokenFormat>,
    /// Signature algorithm of its JWTs; `None` = ES256.
    pub signing_alg: Option<SigningAlg>,
    /// `typ` of its JWTs; `None` = the server's default.
    pub token_typ: Option<TokenTyp>,
    /// Audiences that the client may request; the first is the default. Empty = the issuer.
    pub audience: Arc<[Arc<str>]>,
    /// Audiences whose tokens the client may introspect.
    pub introspection_audiences: Arc<[Arc<str>]>,
    /// Whether its tokens are recorded; `None` = the server's default.
    pub token_ledger: Option<Ledger>,
    /// Lifetime of its access tokens in seconds; `None` = the server's default.
    pub access_token_lifetime: Option<u32>,
    /// Limits, quotas and static claims; `None` = none configured.
    pub policy: Option<Arc<Policy>>,
    /// The group whose limits hold for it, too, and that is charged for its tokens; `None` = none.
    pub group: Option<Arc<str>>,
    /// A disabled client is rejected at every endpoint, and its tokens are inactive.
    pub disabled: bool,
    /// Who describes it in files; `None` = nobody, it is managed by hand.
    pub managed_by: Option<Box<str>>,
    /// When it was registered.
    pub created_at: i64,
    /// Grows by one with each change; an update names the version that it is based on.
    pub version: i64,
    /// Its secrets, newest first; may include expired ones.
    pub secrets: Box<[ClientSecret]>,
}

columns! {
    Client in "clients"
    insert only {
        client_id: Text,
        created_at: Timestamp,
        version: BigInt,
    }
    insert and update {
        client_name: Text,
        grant_types: TextArray,
        scope: Text,
        token_format: Text,
        signing_alg: Text,
        token_typ: Text,
        audience: TextArray,
        introspection_audiences as resource_server: TextArray,
        token_ledger: Text,
        access_token_lifetime: BigInt,
        policy: Json,
        group as client_group: Text,
        disabled: Boolean,
        managed_by: Text,
    }
    other fields { secrets }
}

impl Client {
    /// A client with the default of every field, version 1 and no secret. `created_at`: Unix seconds.
    pub fn new(client_id: impl Into<Arc<str>>, created_at: i64) -> Self {
        Self {
            client_id: client_id.into(),
            client_name: None,
            grant_types: [GrantType::ClientCredentials].into(),
            scope: "".into(),
            token_format: None,
            signing_alg: None,
            token_typ: None,
            audience: Arc::default(),
            introspection_audiences: Arc::default(),
            token_ledger: None,
            access_token_lifetime: None,
            policy: None,
            group: None,
            disabled: false,
            managed_by: None,
            created_at,
            version: 1,
            secrets: Box::default(),
        }
    }

    /// The grant types of a client for which none were named: none for a resource server, which introspects tokens and has neither
    /// scopes nor audiences of its own.
    pub fn default_grant_types(&self) -> Arc<[GrantType]> {
        let is_resource_server =
            !self.introspection_audiences.is_empty() && self.audience.is_empty() && self.scope.is_empty();
        if is_resource_server {
            Arc::default()
        } else {
            [GrantType::ClientCredentials].into()
        }
    }

    /// The columns that an overwrite sets: all but the id and the version.
    pub(crate) fn overwritten_columns() -> impl Iterator<Item = &'static Column<Self>> {
        let is_overwritten = |column: &&Column<Self>| !matches!(column.def.name, "client_id" | "version");
        Self::COLUMNS.iter().filter(is_overwritten)
    }

    /// Limits, quotas and static claims; an empty policy if none is configured.
    pub fn policy(&self) -> &Policy {
        self.policy.as_deref().unwrap_or_else(|| Policy::none())
    }
}

/// A row passed to the callback of a full read of all clients.
#[derive(Debug)]
pub enum LoadedRow {
    /// A client; its secrets may follow as separate rows.
    Client(Client),
    /// The next older secret of a client that was passed before.
    Secret(String, ClientSecret),
}

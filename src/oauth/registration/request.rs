//! What may be asked for of a client, as it comes in. The schema of a field is what a good value looks like; whether one is,
//! `register` and `update` find out.

use oauth2_actors::model::{GrantType, Ledger, Mode, Quotas, RateLimits, SigningAlg, TokenFormat};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Field;
use super::policy::Patch;

/// What a client is to be. What is left out stays as it is; `null` is the server's default.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientRequest {
    /// Its name to the server, of its own choice or made up here. It cannot be changed.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._~:-]{1,128}$", examples("reports"))]
    pub client_id: Field<String>,
    /// A secret brought along; without one it is made up and told in the answer. It is changed by `rotate-secret` only.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[ -~]{32,256}$")]
    pub client_secret: Field<String>,
    /// For people, up to 256 bytes.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    pub client_name: Field<String>,
    /// The grants it may use.
    #[serde(default)]
    #[schema(value_type = Option<Vec<GrantType>>, min_items = 1)]
    pub grant_types: Field<Vec<String>>,
    /// The scopes it may ask for, separated by spaces.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 2048, examples("read write"))]
    pub scope: Field<String>,
    /// The format of its access tokens.
    #[serde(default)]
    #[schema(value_type = Option<TokenFormat>)]
    pub token_format: Field<String>,
    /// What signs them where the format is `jwt`.
    #[serde(default)]
    #[schema(value_type = Option<SigningAlg>)]
    pub signing_alg: Field<String>,
    /// The audiences it may ask for: absolute URIs. The first one is meant when it asks for none.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 64, examples("https://api.example.com"))]
    pub audience: Field<Vec<String>>,
    /// The audiences whose tokens it may introspect.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    pub resource_server: Field<Vec<String>>,
    /// Whether each token is recorded before it is answered.
    #[serde(default)]
    #[schema(value_type = Option<Ledger>)]
    pub token_ledger: Field<String>,
    /// How long its tokens live, seconds.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_592_000)]
    pub access_token_lifetime: Field<i64>,
    /// How often it may ask. A member that is left out stays as it is, `null` takes it away.
    #[serde(default)]
    #[schema(value_type = Option<RateLimits>)]
    pub rate_limits: Patch<String>,
    /// Whether its rates refuse or are only counted.
    #[serde(default)]
    #[schema(value_type = Option<Mode>)]
    pub rate_limit_mode: Field<String>,
    /// How many tokens it may be issued. Members as those of `rate_limits`.
    #[serde(default)]
    #[schema(value_type = Option<Quotas>)]
    pub quotas: Patch<i64>,
    /// Whether its quotas refuse or are only counted.
    #[serde(default)]
    #[schema(value_type = Option<Mode>)]
    pub quota_mode: Field<String>,
    /// In the first part of its life, so many percent, a token is given out again.
    #[serde(default)]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 90)]
    pub reuse_percent: Field<i64>,
    /// Claims that all its tokens carry, 32 and 1024 bytes of JSON at the most. Members as those of `rate_limits`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub claims: Patch<serde_json::Value>,
    /// A client that is disabled gets no tokens, and those it has are not active.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub disabled: Field<bool>,
    /// Only so that an update that names it is told why not.
    #[serde(default)]
    #[schema(ignore)]
    pub created_at: Field<i64>,
}

// It may hold a secret.
impl std::fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientRequest")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

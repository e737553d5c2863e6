//! The metadata of a client: as it is requested, as it is shown, and as columns of CSV.
//!
//! A field stands here once in each form. The JSON of the admin API, the flags of the command line and the rows of an import all
//! become a [`ClientRequest`]; responses, `--json` and exports all come from a [`ClientView`].

use std::sync::Arc;

use oauth2_store::model::{
    Client, GrantType, Ledger, Mode, Policy, Quotas, RateLimits, SigningAlg, StaticClaims, TokenFormat, TokenTyp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::field::{Field, Patch, set, set_or};
use super::{checks, policy};
use crate::protocol::client_auth::client_secret_basic::encoded_id;
use crate::service::error::InvalidMetadata;
use crate::service::schema;

/// What a client should be. On an update, an absent member stays as it is and `null` means the server's default (RFC 7396).
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientRequest {
    /// Client identifier, 1 to 256 printable ASCII characters (RFC 6749 appendix A.1); generated if absent. It cannot be changed. In a
    /// path it is percent-encoded.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[ -~]{1,256}$", examples("reports"))]
    pub client_id: Field<String>,
    /// Client secret; generated if absent. It is changed by `rotate-secret` only.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[ -~]{32,256}$")]
    pub client_secret: Field<String>,
    /// Hash of the client secret as another product stored it, in place of `client_secret`.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1024)]
    pub client_secret_hash: Field<String>,
    /// Scheme of `client_secret_hash`, unless its text begins with a tag that names it.
    #[serde(default)]
    #[schema(value_type = Option<schema::HashScheme>)]
    pub client_secret_hash_scheme: Field<String>,
    /// A name for people, at most 256 bytes.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    pub client_name: Field<String>,
    /// Grants that the client may use; an empty list: none. By default those of its kind: none for a resource server, which has
    /// `introspection_audiences` and neither `scope` nor `audience`; else `client_credentials`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::GrantType>>)]
    pub grant_types: Field<Vec<String>>,
    /// Scopes that the client may request, space-separated.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 2048, examples("read write"))]
    pub scope: Field<String>,
    /// Format of its access tokens.
    #[serde(default)]
    #[schema(value_type = Option<schema::TokenFormat>)]
    pub token_format: Field<String>,
    /// Signature algorithm of its JWTs.
    #[serde(default)]
    #[schema(value_type = Option<schema::SigningAlg>)]
    pub signing_alg: Field<String>,
    /// `typ` header of its JWTs.
    #[serde(default)]
    #[schema(value_type = Option<schema::TokenTyp>)]
    pub token_typ: Field<String>,
    /// Audiences that it may request, each 1 to 512 bytes: names or, if they contain a colon, URIs (RFC 7519 section 2). The first is
    /// the default.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, max_items = 64, examples("https://api.example.com"))]
    pub audience: Field<Vec<String>>,
    /// Audiences whose tokens it may introspect. `resource_server` is accepted as another name for one release.
    #[serde(default, alias = "resource_server")]
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    pub introspection_audiences: Field<Vec<String>>,
    /// Whether its tokens are recorded before they are answered.
    #[serde(default)]
    #[schema(value_type = Option<schema::Ledger>)]
    pub token_ledger: Field<String>,
    /// Lifetime of its access tokens, seconds.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_592_000)]
    pub access_token_lifetime: Field<i64>,
    /// Rate limits per endpoint, such as `100/s` or `6000/m:200`. An absent member stays as it is, `null` removes it.
    #[serde(default)]
    #[schema(value_type = Option<schema::RateLimits>)]
    pub rate_limits: Patch<String>,
    /// Whether its rate limits are enforced or only counted.
    #[serde(default)]
    #[schema(value_type = Option<schema::Mode>)]
    pub rate_limit_mode: Field<String>,
    /// Tokens per hour, day and month (UTC). Members as in `rate_limits`.
    #[serde(default)]
    #[schema(value_type = Option<schema::Quotas>)]
    pub quotas: Patch<i64>,
    /// Whether its quotas are enforced or only counted.
    #[serde(default)]
    #[schema(value_type = Option<schema::Mode>)]
    pub quota_mode: Field<String>,
    /// The share of a token's lifetime, in percent, in which the same request gets the same token again.
    #[serde(default)]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 90)]
    pub reuse_percent: Field<i64>,
    /// Private claims of all its tokens, at most 32 and 1024 bytes of JSON. Members as in `rate_limits`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub claims: Patch<serde_json::Value>,
    /// The group, such as a tenant or a plan, whose limits hold for it, too, and that is charged for its tokens: 1 to 128 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
    pub group: Field<String>,
    /// A disabled client gets no tokens, and its tokens are inactive.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub disabled: Field<bool>,
    /// Who describes the client in files, 1 to 128 bytes; `apply` changes only clients of its owner.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub managed_by: Field<String>,
    /// Set by the server; read so that a request that names it gets a specific error.
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

impl ClientRequest {
    /// Applies every member except `client_id`, `created_at` and the members of the secret to a client.
    pub(super) fn apply(&self, client: &mut Client) -> Result<(), InvalidMetadata> {
        set(&mut client.client_name, &self.client_name, |name| checks::name(name))?;
        set_or(&mut client.scope, &self.scope, "".into(), |text| checks::scope(text))?;
        set(&mut client.token_format, &self.token_format, |name| {
            checks::named("token_format", name)
        })?;
        set(&mut client.signing_alg, &self.signing_alg, |name| {
            checks::named("signing_alg", name)
        })?;
        set(&mut client.token_typ, &self.token_typ, |name| {
            checks::named("token_typ", name)
        })?;
        set_or(&mut client.audience, &self.audience, Arc::default(), |list| {
            checks::audiences("audience", list).map(Into::into)
        })?;
        set_or(
            &mut client.introspection_audiences,
            &self.introspection_audiences,
            Arc::default(),
            |list| checks::audiences("introspection_audiences", list).map(Into::into),
        )?;
        // The default depends on the fields before.
        let of_its_kind = client.default_grant_types();
        set_or(&mut client.grant_types, &self.grant_types, of_its_kind, |names| {
            checks::grants(names).map(Into::into)
        })?;
        set(&mut client.token_ledger, &self.token_ledger, |name| {
            checks::named("token_ledger", name)
        })?;
        set(
            &mut client.access_token_lifetime,
            &self.access_token_lifetime,
            |seconds| checks::lifetime(*seconds),
        )?;
        let mut changed = client.policy().clone();
        let limits = policy::LimitPatches {
            rate_limits: &self.rate_limits,
            rate_limit_mode: &self.rate_limit_mode,
            quotas: &self.quotas,
            quota_mode: &self.quota_mode,
        };
        limits.apply(
            (&mut changed.rate_limits, &mut changed.rate_limit_mode),
            (&mut changed.quotas, &mut changed.quota_mode),
        )?;
        set(&mut changed.reuse_percent, &self.reuse_percent, |percent| {
            policy::reuse(*percent)
        })?;
        policy::claims(&self.claims, &mut changed.claims)?;
        set(&mut client.group, &self.group, |name| checks::group(name))?;
        client.policy = (changed != *Policy::none()).then(|| Arc::new(changed));
        set_or(&mut client.disabled, &self.disabled, false, |flag| Ok(*flag))?;
        set(&mut client.managed_by, &self.managed_by, |owner| checks::owner(owner))
    }
}

/// A client. `null`: the server's default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client)]
pub struct ClientView<'a> {
    /// Client identifier.
    pub client_id: &'a str,
    /// Client secret; only in the response that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<&'a str>,
    /// With the secret: how to send an id that HTTP Basic cannot have as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// A name for people.
    pub client_name: Option<&'a str>,
    /// Grants that the client may use.
    #[schema(value_type = Vec<schema::GrantType>)]
    pub grant_types: &'a [GrantType],
    /// Scopes that the client may request, space-separated.
    pub scope: &'a str,
    /// Format of its access tokens.
    #[schema(value_type = Option<schema::TokenFormat>)]
    pub token_format: Option<TokenFormat>,
    /// Signature algorithm of its JWTs.
    #[schema(value_type = Option<schema::SigningAlg>)]
    pub signing_alg: Option<SigningAlg>,
    /// `typ` header of its JWTs.
    #[schema(value_type = Option<schema::TokenTyp>)]
    pub token_typ: Option<TokenTyp>,
    /// Audiences that it may request; the first is the default.
    pub audience: Vec<&'a str>,
    /// Audiences whose tokens it may introspect.
    pub introspection_audiences: Vec<&'a str>,
    /// Whether its tokens are recorded before they are answered.
    #[schema(value_type = Option<schema::Ledger>)]
    pub token_ledger: Option<Ledger>,
    /// Lifetime of its access tokens, seconds.
    pub access_token_lifetime: Option<u32>,
    /// Rate limits per endpoint.
    #[schema(value_type = schema::RateLimits)]
    pub rate_limits: &'a RateLimits,
    /// Whether its rate limits are enforced or only counted.
    #[schema(value_type = Option<schema::Mode>)]
    pub rate_limit_mode: Option<Mode>,
    /// Tokens per hour, day and month (UTC).
    #[schema(value_type = schema::Quotas)]
    pub quotas: &'a Quotas,
    /// Whether its quotas are enforced or only counted.
    #[schema(value_type = Option<schema::Mode>)]
    pub quota_mode: Option<Mode>,
    /// The share of a token's lifetime, in percent, in which the same request gets the same token again.
    pub reuse_percent: Option<u8>,
    /// Private claims of all its tokens.
    #[schema(value_type = Object)]
    pub claims: &'a StaticClaims,
    /// The group whose limits hold for it, too, and that is charged for its tokens.
    pub group: Option<&'a str>,
    /// A disabled client gets no tokens, and its tokens are inactive.
    pub disabled: bool,
    /// Who describes it in files; `null`: nobody.
    pub managed_by: Option<&'a str>,
    /// When it was registered, Unix seconds.
    pub created_at: i64,
}

impl<'a> ClientView<'a> {
    /// A client; its secret only in the response that creates it.
    pub fn new(client: &'a Client, secret: Option<&'a str>) -> Self {
        let policy = client.policy();
        Self {
            client_id: &client.client_id,
            client_secret: secret,
            notice: secret.and_then(|_| notice(&client.client_id)),
            client_name: client.client_name.as_deref(),
            grant_types: &client.grant_types,
            scope: &client.scope,
            token_format: client.token_format,
            signing_alg: client.signing_alg,
            token_typ: client.token_typ,
            audience: client.audience.iter().map(Arc::as_ref).collect(),
            introspection_audiences: client.introspection_audiences.iter().map(Arc::as_ref).collect(),
            token_ledger: client.token_ledger,
            access_token_lifetime: client.access_token_lifetime,
            rate_limits: &policy.rate_limits,
            rate_limit_mode: policy.rate_limit_mode,
            quotas: &policy.quotas,
            quota_mode: policy.quota_mode,
            reuse_percent: policy.reuse_percent,
            claims: &policy.claims,
            group: client.group.as_deref(),
            disabled: client.disabled,
            managed_by: client.managed_by.as_deref(),
            created_at: client.created_at,
        }
    }
}

/// How a client has to send its id in HTTP Basic, if not as it is.
pub fn notice(client_id: &str) -> Option<String> {
    let encoded = encoded_id(client_id)?;
    Some(format!(
        "in HTTP Basic, send the client_id form-encoded (RFC 6749 section 2.3.1): {encoded}"
    ))
}

/// How a column of CSV becomes a member of a [`ClientRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A string.
    Text,
    /// Strings separated by white space, or a JSON array.
    List,
    /// Hashes of previous secrets, `sha256:expires_at` or `hash:expires_at` separated by white space, or a JSON array.
    Secrets,
    /// An integer.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A JSON object.
    Json,
    /// A string member of an object: the object and the member.
    TextMember(&'static str, &'static str),
    /// An integer member of an object.
    NumberMember(&'static str, &'static str),
}

/// Every column of CSV, in the order of an export.
pub const COLUMNS: &[(&str, ColumnKind)] = &[
    ("client_id", ColumnKind::Text),
    ("client_secret", ColumnKind::Text),
    ("client_secret_sha256", ColumnKind::Text),
    ("client_secret_imported_as", ColumnKind::Text),
    ("client_secret_hash", ColumnKind::Text),
    ("client_secret_hash_scheme", ColumnKind::Text),
    ("previous_secrets", ColumnKind::Secrets),
    ("client_name", ColumnKind::Text),
    ("grant_types", ColumnKind::List),
    ("scope", ColumnKind::Text),
    ("token_format", ColumnKind::Text),
    ("signing_alg", ColumnKind::Text),
    ("token_typ", ColumnKind::Text),
    ("audience", ColumnKind::List),
    ("introspection_audiences", ColumnKind::List),
    ("token_ledger", ColumnKind::Text),
    ("access_token_lifetime", ColumnKind::Number),
    ("rate_limit_token", ColumnKind::TextMember("rate_limits", "token")),
    (
        "rate_limit_introspection",
        ColumnKind::TextMember("rate_limits", "introspection"),
    ),
    (
        "rate_limit_revocation",
        ColumnKind::TextMember("rate_limits", "revocation"),
    ),
    ("rate_limit_mode", ColumnKind::Text),
    ("quota_hour", ColumnKind::NumberMember("quotas", "hour")),
    ("quota_day", ColumnKind::NumberMember("quotas", "day")),
    ("quota_month", ColumnKind::NumberMember("quotas", "month")),
    ("quota_mode", ColumnKind::Text),
    ("reuse_percent", ColumnKind::Number),
    ("claims", ColumnKind::Json),
    ("group", ColumnKind::Text),
    ("disabled", ColumnKind::Boolean),
    ("managed_by", ColumnKind::Text),
    ("created_at", ColumnKind::Number),
];

/// Columns that are accepted under an earlier name, and their present one.
pub const COLUMN_ALIASES: &[(&str, &str)] = &[("resource_server", "introspection_audiences")];

//! Clients, tokens and keys as JSON: one form for the admin API and the command line.

use std::sync::Arc;

use oauth2_actors::model::{
    Client, GrantType, KeyAlgorithm, Ledger, Mode, Quotas, RateLimits, SigningAlg, StaticClaims, StoredToken,
    TokenFormat, Window, token::uuid_v7_ms,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::tokens::lifecycle::{Phase, Standing};

/// A client. `null` = the server's default.
#[derive(Serialize, ToSchema)]
#[schema(as = Client)]
pub struct ClientView<'a> {
    /// Its name to the server.
    pub client_id: &'a str,
    /// Only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<&'a str>,
    /// For people.
    pub client_name: Option<&'a str>,
    /// The grants it may use.
    pub grant_types: &'a [GrantType],
    /// The scopes it may ask for, separated by spaces.
    pub scope: &'a str,
    /// The format of its access tokens.
    pub token_format: Option<TokenFormat>,
    /// What signs them where the format is `jwt`.
    pub signing_alg: Option<SigningAlg>,
    /// The audiences it may ask for; the first one is meant when it asks for none.
    pub audience: Vec<&'a str>,
    /// The audiences whose tokens it may introspect.
    pub resource_server: Vec<&'a str>,
    /// Whether each token is recorded before it is answered.
    pub token_ledger: Option<Ledger>,
    /// How long its tokens live, seconds.
    pub access_token_lifetime: Option<u32>,
    /// How often it may ask.
    pub rate_limits: &'a RateLimits,
    /// Whether its rates refuse or are only counted.
    pub rate_limit_mode: Option<Mode>,
    /// How many tokens it may be issued.
    pub quotas: &'a Quotas,
    /// Whether its quotas refuse or are only counted.
    pub quota_mode: Option<Mode>,
    /// In the first part of its life, so many percent, a token is given out again.
    pub reuse_percent: Option<u8>,
    /// Claims that all its tokens carry.
    #[schema(value_type = Object)]
    pub claims: &'a StaticClaims,
    /// Disabled: it gets no tokens, and those it has are not active.
    pub disabled: bool,
    /// When it was registered, Unix seconds.
    pub created_at: i64,
}

impl<'a> ClientView<'a> {
    /// A client, and its secret if this answer is the one that tells it.
    pub fn new(client: &'a Client, secret: Option<&'a str>) -> Self {
        let policy = client.policy();
        Self {
            client_id: &client.client_id,
            client_secret: secret,
            client_name: client.client_name.as_deref(),
            grant_types: &client.grant_types,
            scope: &client.scope,
            token_format: client.token_format,
            signing_alg: client.signing_alg,
            audience: client.audience.iter().map(Arc::as_ref).collect(),
            resource_server: client.resource_server.iter().map(Arc::as_ref).collect(),
            token_ledger: client.token_ledger,
            access_token_lifetime: client.access_token_lifetime,
            rate_limits: &policy.rate_limits,
            rate_limit_mode: policy.rate_limit_mode,
            quotas: &policy.quotas,
            quota_mode: policy.quota_mode,
            reuse_percent: policy.reuse_percent,
            claims: &policy.claims,
            disabled: client.disabled,
            created_at: client.created_at,
        }
    }
}

/// A recorded token; never the token itself. Times are Unix seconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView<'a> {
    /// Its id.
    pub jti: Uuid,
    /// Whom it was issued to.
    pub client_id: &'a str,
    /// In whose name, where it is not the client's own.
    pub user_id: Option<&'a str>,
    /// What it is for, separated by spaces.
    pub scope: &'a str,
    /// Whom it is for.
    pub aud: &'a str,
    /// Its format.
    pub token_format: TokenFormat,
    /// When it was issued.
    pub iat: i64,
    /// When it expires.
    pub exp: i64,
}

impl<'a> TokenView<'a> {
    /// A row of the ledger.
    pub fn new(token: &'a StoredToken) -> Self {
        Self {
            jti: token.record.jti,
            client_id: &token.record.client_id,
            user_id: token.user_id.as_deref(),
            scope: &token.record.scope,
            aud: &token.record.audience,
            token_format: token.record.format,
            iat: (uuid_v7_ms(&token.record.jti) / 1000) as i64,
            exp: token.record.expires_at,
        }
    }
}

/// A signing key; never its private part. Times are Unix seconds, rounded down.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView<'a> {
    /// Key id.
    pub kid: &'a str,
    /// What it signs.
    pub algorithm: KeyAlgorithm,
    /// Where it is in its life.
    pub state: Phase,
    /// When it was made, and so published.
    pub created_at: i64,
    /// From when it signs.
    pub signs_from: i64,
    /// Since when another one signs.
    pub retired_at: Option<i64>,
    /// When it is removed: then its last token has expired.
    pub kept_until: Option<i64>,
}

impl<'a> KeyView<'a> {
    /// A key at some moment.
    pub fn new(standing: &Standing<'a>) -> Self {
        let seconds = |ms: i64| ms / 1000;
        Self {
            kid: &standing.key.kid,
            algorithm: standing.key.algorithm,
            state: standing.phase,
            created_at: standing.key.created_at,
            signs_from: seconds(standing.key.signs_from_ms),
            retired_at: standing.retired_at_ms.map(seconds),
            kept_until: standing.kept_until_ms.map(seconds),
        }
    }
}

/// What is used of one window of a client's quotas.
#[derive(Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaView {
    /// Which window.
    pub window: Window,
    /// Tokens that it allows; `null` = any number.
    pub limit: Option<u64>,
    /// Tokens that were issued in it.
    pub used: u64,
    /// Tokens that are left.
    pub remaining: Option<u64>,
    /// When the next one begins, Unix seconds.
    pub resets_at: i64,
}

impl QuotaView {
    /// A window, what it allows, what is used of it, and when it ends.
    pub fn new(window: Window, limit: Option<u64>, used: u64, resets_at: i64) -> Self {
        let remaining = limit.map(|limit| limit.saturating_sub(used));
        Self {
            window,
            limit,
            used,
            remaining,
            resets_at,
        }
    }
}

/// The list of clients, in its cursors.
pub const CLIENTS: &str = "clients";

/// The list of a client's tokens, in its cursors.
pub fn tokens_of(client_id: &str) -> String {
    format!("tokens of {client_id}")
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
#[schema(as = Page)]
pub struct ListView<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

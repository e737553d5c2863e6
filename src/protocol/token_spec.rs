//! The content of an access token, as decided by a grant.

use std::sync::Arc;

use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::model::{Client, GrantType, Ledger, SigningAlg, TokenFormat, TokenTyp};
use uuid::Uuid;

use crate::tokens::claims::Claims;

/// The algorithm of JWTs for clients without one of their own: every verifier in use supports it, unlike `EdDSA`.
pub const DEFAULT_SIGNING_ALG: SigningAlg = SigningAlg::Es256;

/// The server's defaults for clients without settings of their own.
#[derive(Debug, Clone)]
pub struct TokenDefaults {
    /// The issuer identifier.
    pub issuer: Arc<str>,
    /// The format of access tokens.
    pub format: TokenFormat,
    /// Whether tokens are recorded.
    pub ledger: Ledger,
    /// The lifetime of access tokens, seconds.
    pub lifetime: u32,
    /// The `typ` header of JWTs.
    pub typ: TokenTyp,
}

/// The decided content of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// The grant that decided it.
    pub grant: GrantType,
    /// Its claims.
    pub claims: Claims,
    /// Its format.
    pub format: TokenFormat,
    /// The signature algorithm, for a JWT.
    pub signing_alg: SigningAlg,
    /// The `typ` header, for a JWT.
    pub typ: TokenTyp,
    /// Whether it is recorded in the ledger; opaque tokens always are.
    pub ledger: Ledger,
    /// Its lifetime, seconds.
    pub lifetime: u32,
}

/// What a grant allows a token to be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Granted scope, space-separated.
    pub scope: Arc<str>,
    /// Audience.
    pub aud: Arc<str>,
}

impl TokenSpec {
    /// A token that a client uses for itself, with the client's settings. `jti`: a new UUIDv7; its timestamp is the time of issue.
    pub fn for_client(grant: GrantType, client: &Client, target: Target, defaults: &TokenDefaults, jti: Uuid) -> Self {
        let lifetime = client.access_token_lifetime.unwrap_or(defaults.lifetime);
        let format = client.token_format.unwrap_or(defaults.format);
        let ledger = match format {
            // An opaque token is a reference to its row.
            TokenFormat::Opaque => Ledger::Durable,
            _ => client.token_ledger.unwrap_or(defaults.ledger),
        };
        let iat = (uuid_v7_ms(&jti) / 1000) as i64;
        let policy = client.policy.as_ref();
        let claims = Claims {
            iss: Arc::clone(&defaults.issuer),
            sub: Arc::clone(&client.client_id),
            aud: target.aud,
            exp: iat + i64::from(lifetime),
            iat,
            jti,
            client_id: Arc::clone(&client.client_id),
            scope: target.scope,
            extra: policy.and_then(|policy| policy.claims.members().cloned()),
        };
        Self {
            grant,
            claims,
            format,
            signing_alg: client.signing_alg.unwrap_or(DEFAULT_SIGNING_ALG),
            typ: client.token_typ.unwrap_or(defaults.typ),
            ledger,
            lifetime,
        }
    }

    /// The same token, issued at `now_ms` at the latest: after the clock was set back, ids are ahead of it.
    #[must_use]
    pub fn issued_by(mut self, now_ms: u64) -> Self {
        let ahead = (self.claims.iat - (now_ms / 1000) as i64).max(0);
        self.claims.iat -= ahead;
        self.claims.exp -= ahead;
        self
    }
}

//! What is read and written by hand on the hot path, as the API document describes it.
//!
//! Nothing is ever made of these types. That they tell the truth is tested from outside, by answers held against the document.
#![expect(dead_code, reason = "only their schemas are of use")]

use std::collections::BTreeMap;

use oauth2_actors::model::GrantType;
use utoipa::ToSchema;
use uuid::Uuid;

/// The form of a token request (RFC 6749 section 4.4.2). A parameter without a value counts as left out; none but `resource` may be
/// repeated.
#[derive(ToSchema)]
pub struct TokenRequest {
    /// The only grant there is.
    grant_type: GrantType,
    /// Scopes separated by spaces; without it all that the client may have.
    #[schema(required = false)]
    scope: String,
    /// Whom the token is for (RFC 8707); without it the client's first audience, or the issuer.
    #[schema(required = false)]
    resource: Vec<String>,
    /// The same under the name that others use.
    #[schema(required = false)]
    audience: String,
    /// With `client_secret` instead of the `Authorization` header.
    #[schema(required = false)]
    client_id: String,
    /// See `client_id`.
    #[schema(required = false, format = Password)]
    client_secret: String,
}

/// The form of an introspection (RFC 7662 section 2.1) and of a revocation (RFC 7009 section 2.1).
#[derive(ToSchema)]
pub struct PresentedToken {
    /// The token, of any format.
    #[schema(min_length = 1)]
    token: String,
    /// Is not needed: a token shows what it is.
    #[schema(required = false)]
    token_type_hint: String,
    /// With `client_secret` instead of the `Authorization` header.
    #[schema(required = false)]
    client_id: String,
    /// See `client_id`.
    #[schema(required = false, format = Password)]
    client_secret: String,
}

/// A token that was issued (RFC 6749 section 5.1).
#[derive(ToSchema)]
pub struct TokenAnswer {
    /// The token.
    access_token: String,
    /// How it is presented (RFC 6750).
    token_type: Bearer,
    /// How long it lives, seconds.
    #[schema(minimum = 1)]
    expires_in: u32,
    /// What it is for, separated by spaces; left out when that is nothing.
    #[schema(required = false, min_length = 1)]
    scope: String,
}

/// See RFC 6750.
#[derive(ToSchema)]
enum Bearer {
    Bearer,
}

/// What the caller may know of a token (RFC 7662 section 2.2). Of one that is not active, or not the caller's to ask about, `active`
/// is all.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Introspection {
    /// It holds.
    Active(Box<ActiveToken>),
    /// It does not, or is not the caller's to ask about.
    Inactive(InactiveToken),
}

/// A token that holds.
#[derive(ToSchema)]
pub struct ActiveToken {
    #[schema(schema_with = only::<true>)]
    active: bool,
    /// Whom it was issued to.
    client_id: String,
    /// Who issued it.
    iss: String,
    /// In whose name: the client's own.
    sub: String,
    /// Whom it is for.
    aud: String,
    /// Its id.
    jti: Uuid,
    /// When it was issued, Unix seconds.
    iat: i64,
    /// From when it holds.
    nbf: i64,
    /// When it expires.
    exp: i64,
    /// What it is for, separated by spaces.
    scope: String,
    /// How it is presented.
    token_type: Bearer,
    /// Claims that the client's tokens carry beside.
    #[serde(flatten)]
    claims: BTreeMap<String, serde_json::Value>,
}

/// Nothing more is said.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InactiveToken {
    #[schema(schema_with = only::<false>)]
    active: bool,
}

/// The keys of JWT (RFC 7517).
#[derive(ToSchema)]
pub struct Jwks {
    /// Newest first.
    keys: Vec<Jwk>,
}

/// A public key (RFC 7517, RFC 7518 section 6, RFC 8037).
#[derive(ToSchema)]
pub struct Jwk {
    /// Its id.
    kid: String,
    /// What it signs.
    alg: String,
    /// What kind of key it is.
    kty: String,
    /// What it is for.
    #[schema(rename = "use")]
    use_: String,
    /// Of OKP and EC.
    #[schema(required = false)]
    crv: String,
    /// Of OKP and EC.
    #[schema(required = false)]
    x: String,
    /// Of EC.
    #[schema(required = false)]
    y: String,
    /// Of RSA.
    #[schema(required = false)]
    n: String,
    /// Of RSA.
    #[schema(required = false)]
    e: String,
}

/// The keys of PASETO.
#[derive(ToSchema)]
pub struct PasetoKeys {
    /// Newest first.
    keys: Vec<PasetoKey>,
}

/// A public key.
#[derive(ToSchema)]
pub struct PasetoKey {
    /// Its id.
    kid: String,
    /// The key.
    #[schema(pattern = "^k4\\.public\\.")]
    paserk: String,
}

fn only<const VALUE: bool>() -> utoipa::openapi::schema::Object {
    use utoipa::openapi::schema::{ObjectBuilder, Type};
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([VALUE]))
        .build()
}

//! The JSON in which the administrative API and the command line show keys and tokens alike.

use base64::Engine;
use oauth2_actors::model::{KeyAlgorithm, StoredKey, TokenFormat};
use serde::Serialize;
use uuid::Uuid;

use crate::tokens::BASE64URL;
use crate::tokens::claims::Claims;

/// The public side of a signing key.
#[derive(Debug, Serialize)]
pub struct KeyView {
    /// Key id.
    pub kid: String,
    /// What it signs.
    pub algorithm: KeyAlgorithm,
    /// The public key, base64url.
    pub public_key: String,
    /// Unix seconds.
    pub created_at: i64,
}

impl KeyView {
    /// Shows a key.
    pub fn new(key: &StoredKey) -> Self {
        Self {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            public_key: BASE64URL.encode(&key.public_key),
            created_at: key.created_at,
        }
    }
}

/// A recorded token. The token itself is not kept, so it cannot be shown.
#[derive(Debug, Serialize)]
pub struct TokenView {
    /// Token id.
    pub jti: Uuid,
    /// The client it was issued to.
    pub client_id: String,
    /// The client itself, or the user it stands for.
    pub sub: String,
    /// Granted scope.
    pub scope: String,
    /// The one audience.
    pub aud: String,
    /// How it was written down.
    pub token_format: TokenFormat,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    /// Whether it holds, where that can be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

impl TokenView {
    /// Shows a token.
    pub fn new(claims: &Claims, token_format: TokenFormat, active: Option<bool>) -> Self {
        Self {
            jti: claims.jti,
            client_id: claims.client_id.to_string(),
            sub: claims.sub.to_string(),
            scope: claims.scope.to_string(),
            aud: claims.aud.to_string(),
            token_format,
            iat: claims.iat,
            exp: claims.exp,
            active,
        }
    }
}

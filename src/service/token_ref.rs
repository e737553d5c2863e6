//! A token as a caller names it: by its id, or by the whole token.

use uuid::Uuid;

use crate::tokens::decode::decode;
use crate::tokens::unverified;

/// Which token is meant. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRef {
    /// Its id.
    pub jti: Uuid,
    /// The expiry that the token claims, Unix seconds, where the whole token is given.
    pub expires_at: Option<i64>,
    /// The key that the token names, where the whole token is given.
    pub kid: Option<String>,
}

impl TokenRef {
    /// A token id. `None` unless it is a UUID of version 7.
    pub fn of_id(jti: Uuid) -> Option<Self> {
        (jti.get_version_num() == 7).then_some(Self {
            jti,
            expires_at: None,
            kid: None,
        })
    }

    /// Reads a token id or a whole token. `None` when the text is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(jti) = text.parse() {
            return Self::of_id(jti);
        }
        let claims = unverified::read(text)?;
        Some(Self {
            expires_at: Some(claims.expires_at),
            kid: decode(text).and_then(|decoded| decoded.header["kid"].as_str().map(str::to_owned)),
            ..Self::of_id(claims.jti)?
        })
    }
}

//! A token as a caller names it: by its id, or by the whole token.

use oauth2_store::model::token::latest_expiry;
use uuid::Uuid;

use crate::tokens::decode::decode;
use crate::tokens::{MAX_TOKEN_BYTES, foreign, unverified};

/// How long the revocation of a token of another issuer is kept at most, seconds: ten years.
const MAX_FOREIGN_LIFETIME: i64 = 10 * 365 * 24 * 3600;

/// Until when the revocation of a token of another issuer is kept: nothing bounds its lifetime.
pub fn foreign_expiry(expires_at: i64, now: i64) -> i64 {
    expires_at.clamp(now, now + MAX_FOREIGN_LIFETIME)
}

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
        let kid = || decode(text).and_then(|decoded| decoded.header["kid"].as_str().map(str::to_owned));
        let own = unverified::read(text).and_then(|claims| {
            Some(Self {
                expires_at: Some(claims.expires_at),
                ..Self::of_id(claims.jti)?
            })
        });
        let found = own.or_else(|| Self::of_foreign(text))?;
        Some(Self { kid: kid(), ..found })
    }

    /// A JWT of another issuer.
    fn of_foreign(text: &str) -> Option<Self> {
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        foreign::header(text)?;
        let claims = foreign::claims(text)?;
        Some(Self {
            jti: claims.id,
            expires_at: Some(claims.exp),
            kid: None,
        })
    }

    /// The latest time, in Unix seconds, at which the token can expire, if it has no record.
    pub fn latest_expiry(&self, now: i64) -> i64 {
        match self.expires_at {
            Some(expires_at) if self.jti.get_version_num() == 8 => foreign_expiry(expires_at, now),
            _ => latest_expiry(&self.jti, now),
        }
    }
}

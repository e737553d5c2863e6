//! Tokens of the issuer that this server replaces: whether they are active here.

use std::time::Instant;

use oauth2_actors::revocation_cache::Subject;

use super::{TokenState, Verify, is_timely};
use crate::keys::verify_only::ForeignToken;
use crate::service::error::Result;
use crate::tokens::MAX_TOKEN_BYTES;

impl Verify {
    /// Whether any token of another issuer is accepted.
    pub fn accepts_foreign(&self) -> bool {
        self.fallback.is_some() || !self.keys.load().verify_only.is_empty()
    }

    /// Verifies a token with the verify-only keys. `None`: none of them signed it. It may be expired or revoked. `checks` is increased by
    /// the number of signatures that were verified.
    pub fn verify_foreign(&self, token: &str, checks: &mut usize) -> Option<ForeignToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        self.keys.load().verify_only.verify(token, checks)
    }

    /// Resolves a token with the verify-only keys, or by the fallback introspection if there is one and the token may be an opaque one of
    /// that issuer. An error if it does not answer.
    pub async fn resolve_foreign(&self, token: &str, deadline: Instant) -> Result<Option<ForeignToken>> {
        match self.verify_foreign(token, &mut 0) {
            Some(verified) => Ok(Some(verified)),
            None => self.ask_fallback(token, deadline).await,
        }
    }

    /// Resolves a token by the fallback introspection if there is one and the token may be an opaque one of that issuer. An error if it
    /// does not answer.
    pub async fn ask_fallback(&self, token: &str, deadline: Instant) -> Result<Option<ForeignToken>> {
        let Some(fallback) = &self.fallback else {
            return Ok(None);
        };
        let claims = fallback.claims(token, deadline).await?;
        Ok(claims.map(|claims| ForeignToken {
            claims,
            kid: None,
            accepted_until: fallback.until(),
        }))
    }

    /// The token's state. It is active in its time, while its key is kept, if its client is registered here and enabled and the token is
    /// not revoked here.
    pub fn foreign_state(&self, token: &ForeignToken) -> TokenState {
        let (claims, now) = (&token.claims, self.now());
        let subject = Subject {
            jti: claims.id,
            client_id: &claims.client_id,
            user_id: claims.user(),
            kid: token.kid.as_deref(),
        };
        let revocations = self.views.revocations.load();
        if revocations.is_foreign_revoked(subject, claims.issued_ms()) {
            return TokenState::Revoked;
        }
        let begins = claims.nbf.into_iter().chain(claims.iat).max();
        let is_timely = is_timely(claims.exp, begins, now) && token.accepted_until > now;
        let client = self.views.directory.client(&claims.client_id);
        if is_timely && client.is_some_and(|client| !client.disabled) {
            TokenState::Active
        } else {
            TokenState::Inactive
        }
    }

    /// Whether the token is active.
    pub fn is_foreign_active(&self, token: &ForeignToken) -> bool {
        self.foreign_state(token) == TokenState::Active
    }
}

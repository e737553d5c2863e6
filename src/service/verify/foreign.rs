//! Tokens of the issuer that this server replaces: whether they are active here.

use oauth2_actors::revocation_cache::Subject;

use super::{CLOCK_SKEW, Verify};
use crate::keys::verify_only::ForeignToken;
use crate::tokens::MAX_TOKEN_BYTES;

impl Verify {
    /// Verifies a token with the verify-only keys. `None`: none of them signed it. It may be expired or revoked.
    pub fn resolve_foreign(&self, token: &str) -> Option<ForeignToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        self.keys.load().verify_only.verify(token)
    }

    /// Whether the token is active: in its time, its key still kept, its client registered here and enabled, and not revoked here.
    pub fn is_foreign_active(&self, token: &ForeignToken) -> bool {
        let (claims, now) = (&token.claims, self.now());
        let subject = Subject {
            jti: claims.id,
            client_id: &claims.client_id,
            user_id: claims.user(),
            kid: Some(&token.kid),
        };
        let begins = claims.nbf.into_iter().chain(claims.iat).max();
        let is_timely =
            claims.exp > now && token.key_kept_until > now && begins.is_none_or(|begins| begins <= now + CLOCK_SKEW);
        let client = self.views.directory.client(&claims.client_id);
        is_timely
            && client.is_some_and(|client| !client.disabled)
            && !self
                .views
                .revocations
                .load()
                .is_foreign_revoked(subject, claims.issued_ms())
    }
}

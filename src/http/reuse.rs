//! The same token again, for clients that are registered so.
//!
//! A client that asks again for the same scope and audience, in the first part of a token's life, gets that token again. What
//! holds for the token is looked at each time: it is not given out once it is revoked, its client changed, or its key gone.

use std::sync::Arc;

use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{Client, TokenFormat};

use super::State;
use super::resolve::Resolved;
use crate::oauth::grants::Grant;
use crate::tokens::fingerprint::Fingerprint;
use crate::tokens::reuse::Reusable;

/// What a token is asked for.
pub struct Asked {
    fingerprint: Fingerprint,
    percent: u8,
    now_ms: u64,
}

/// What is asked for, if the client is registered for reuse and the token says itself what it is.
pub fn asked(state: &State, client: &Client, grant: &Grant) -> Option<Asked> {
    let percent = client
        .policy
        .as_deref()?
        .reuse_percent
        .filter(|_| grant.format != TokenFormat::Opaque)?;
    let claims = &grant.claims;
    // Whatever is registered of the client is in its version.
    let text = format!(
        "{}\n{}\n{}\n{}\n{}\n{}",
        claims.client_id, client.version, client.created_at, claims.scope, claims.aud, grant.lifetime
    );
    Some(Asked {
        fingerprint: state.fingerprints.of(&text),
        percent,
        now_ms: uuid_v7_ms(&claims.jti),
    })
}

impl Asked {
    /// The token that was given out before, if it still holds, and the seconds that it has left.
    pub fn find(&self, state: &State) -> Option<(Arc<str>, u32)> {
        let known = state.reusable.get(&self.fingerprint, self.now_ms)?;
        let holds = state
            .resolve_signed(&known.token)
            .is_some_and(|verified| state.is_active(&Resolved::Signed(verified)));
        if !holds {
            state.reusable.remove(&self.fingerprint);
            return None;
        }
        let left = known.expires_at - (self.now_ms / 1000) as i64;
        Some((known.token, u32::try_from(left).ok()?))
    }

    /// Keeps a token that was just given out.
    pub fn keep(&self, state: &State, token: &str, grant: &Grant) {
        let reusable = Reusable {
            token: token.into(),
            expires_at: grant.claims.exp,
            until_ms: uuid_v7_ms(&grant.claims.jti) + u64::from(grant.lifetime) * 10 * u64::from(self.percent),
        };
        state.reusable.insert(self.fingerprint, reusable);
    }
}

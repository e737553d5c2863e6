//! Issues the same token again, for clients that are registered for it (`reuse_percent`).
//!
//! A client that requests the same scope and audience in the first part of a token's lifetime gets that token again, if it is
//! still active: not revoked, its client unchanged, its key published.

use std::sync::Arc;

use oauth2_store::model::{Client, TokenFormat};

use crate::protocol::token_spec::TokenSpec;
use crate::service::verify::Verify;
use crate::tokens::fingerprint::Fingerprint;
use crate::tokens::reuse::{Reusable, ReusableTokens};

/// The tokens that may be issued again.
#[derive(Debug)]
pub struct Reuse {
    /// The bounded cache.
    pub tokens: ReusableTokens,
    /// Whether a token is still active.
    pub verify: Arc<Verify>,
}

/// What identifies a reusable token.
#[derive(Debug)]
pub struct ReuseLookup {
    fingerprint: Fingerprint,
    percent: u8,
    now_ms: u64,
}

impl Reuse {
    /// The lookup of a decided token; `None` if the client is not registered for reuse, or the token is opaque.
    pub fn lookup(&self, client: &Client, spec: &TokenSpec) -> Option<ReuseLookup> {
        let percent = client
            .policy
            .as_deref()?
            .reuse_percent
            .filter(|_| spec.format != TokenFormat::Opaque)?;
        let claims = &spec.claims;
        // The version stands for everything that is registered of the client.
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            claims.client_id, client.version, client.created_at, claims.scope, claims.aud, spec.lifetime
        );
        Some(ReuseLookup {
            fingerprint: self.verify.fingerprints.of(&text),
            percent,
            now_ms: claims.issued_ms() as u64,
        })
    }

    /// The token that was issued before, if it is still active, and its remaining lifetime in seconds.
    pub fn find(&self, lookup: &ReuseLookup) -> Option<(Arc<str>, u32)> {
        let known = self.tokens.get(&lookup.fingerprint, lookup.now_ms)?;
        if !self.verify.is_self_contained_active(&known.token) {
            self.tokens.remove(&lookup.fingerprint);
            return None;
        }
        let left = known.expires_at - (lookup.now_ms / 1000) as i64;
        Some((known.token, u32::try_from(left).ok()?))
    }

    /// Keeps a token that was just issued.
    pub fn keep(&self, lookup: &ReuseLookup, token: &str, spec: &TokenSpec) {
        let reusable = Reusable {
            token: token.into(),
            expires_at: spec.claims.exp,
            until_ms: spec.claims.issued_ms() as u64 + u64::from(spec.lifetime) * 10 * u64::from(lookup.percent),
        };
        self.tokens.insert(lookup.fingerprint, reusable);
    }
}

//! Inspects a token that an operator holds: does its record match it, and is it active.

use oauth2_store::model::StoredToken;
use serde_json::Value;

use super::verify::{ResolvedToken, TokenState, Verify};
use crate::tokens::decode::Decoded;
use crate::tokens::opaque;

/// What the store says of a token whose signature is valid, or that is opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// Recorded and active.
    Active,
    /// Recorded or stateless, but expired, or its client is disabled, deleted, or not registered for its signature.
    Inactive,
    /// Revoked.
    Revoked,
    /// Not recorded. A stateless token is active nonetheless.
    NotRecorded,
    /// The record of its id belongs to another token.
    OfAnotherToken,
    /// Its issuer or its claims are not of this server.
    Foreign,
}

impl RecordState {
    /// For people and scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "not active",
            Self::Revoked => "revoked",
            Self::NotRecorded => "not recorded",
            Self::OfAnotherToken => "of another token",
            Self::Foreign => "not of this server",
        }
    }
}

impl Verify {
    /// The state of a decoded token. `stored`: the record of its id and expiry, if there is one.
    pub fn record_state(&self, token: &str, decoded: &Decoded, stored: Option<&StoredToken>) -> RecordState {
        let resolved = if let Some(reference) = opaque::parse(token) {
            let Some(stored) = stored else {
                return RecordState::NotRecorded;
            };
            if !reference.matches(&stored.record) {
                return RecordState::OfAnotherToken;
            }
            self.recorded_token(stored.clone())
        } else {
            let Some(verified) = self.resolve_self_contained(token) else {
                return RecordState::Foreign;
            };
            if stored.is_some_and(|stored| !matches(&decoded.claims, stored)) {
                return RecordState::OfAnotherToken;
            }
            if stored.is_none() && self.must_be_recorded(&verified) {
                return RecordState::Foreign;
            }
            ResolvedToken::SelfContained(verified)
        };
        match self.state(&resolved, None) {
            TokenState::Revoked => RecordState::Revoked,
            TokenState::Inactive => RecordState::Inactive,
            TokenState::Active if stored.is_none() => RecordState::NotRecorded,
            TokenState::Active => RecordState::Active,
        }
    }
}

/// Whether a record is that of a token with these claims.
fn matches(claims: &Value, stored: &StoredToken) -> bool {
    let record = &stored.record;
    claims["client_id"] == *record.client_id
        && claims["aud"] == *record.audience
        && claims["scope"] == *record.scope
        && claims["sub"] == *stored.user_id.as_deref().unwrap_or(&record.client_id)
}

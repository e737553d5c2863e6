//! Inspects a token that an operator holds: does its record match it, and is it active.

use oauth2_store::model::StoredToken;
use serde_json::Value;

use super::verify::{ResolvedToken, TokenState, Verify, is_timely};
use crate::keys::keyring::has_consistent_times;
use crate::tokens::decode::Decoded;
use crate::tokens::{claims, foreign, jwt, opaque, paseto};

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
    /// The record of its id belongs to another token, so this one is not active.
    OfAnotherToken,
    /// It is active by its signature, although the record of its id belongs to another token.
    ActiveAgainstRecord,
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
            Self::OfAnotherToken | Self::ActiveAgainstRecord => "of another token",
            Self::Foreign => "not of this server",
        }
    }
}

impl Verify {
    /// The state of a decoded token, which is active exactly if introspection reports it active to its client. `stored`: the record of its
    /// id and expiry, if there is one.
    pub fn record_state(&self, token: &str, decoded: &Decoded, stored: Option<&StoredToken>) -> RecordState {
        let mut contradicts_record = false;
        let state = if let Some(reference) = opaque::parse(token) {
            let Some(stored) = stored else {
                return RecordState::NotRecorded;
            };
            if !reference.matches(&stored.record) {
                return RecordState::OfAnotherToken;
            }
            self.state(&self.recorded_token(stored.clone()), None)
        } else if let Some(verified) = self.resolve_self_contained(token) {
            let must_be_recorded = self.must_be_recorded(&verified);
            contradicts_record = stored.is_some_and(|stored| !matches(&decoded.claims, stored));
            if must_be_recorded && contradicts_record {
                return RecordState::OfAnotherToken;
            }
            if must_be_recorded && stored.is_none() {
                return RecordState::Foreign;
            }
            self.state(&ResolvedToken::SelfContained(verified), None)
        } else if let Some(verified) = self.verify_foreign(token, &mut 0) {
            self.foreign_state(&verified)
        } else {
            return RecordState::Foreign;
        };
        match state {
            TokenState::Revoked => RecordState::Revoked,
            TokenState::Inactive => RecordState::Inactive,
            TokenState::Active if contradicts_record => RecordState::ActiveAgainstRecord,
            TokenState::Active if stored.is_none() => RecordState::NotRecorded,
            TokenState::Active => RecordState::Active,
        }
    }
}

/// The client that a token names, unverified.
pub fn claimed_client(token: &str, decoded: &Decoded) -> Option<String> {
    let foreign = foreign::claims(token).map(|claims| claims.client_id.to_string());
    foreign.or_else(|| decoded.claims["client_id"].as_str().map(str::to_owned))
}

/// The state of a token whose signature is valid, where no store can be asked: [`RecordState::NotRecorded`] if it may be active, by its
/// claims and times alone. A token that is signed with the shared secret must be one that this issuer would write, as any verifier can
/// sign another one; others may be of an issuer whose keys are published here.
pub fn state_without_store(token: &str, decoded: &Decoded, issuer: &str, now: i64) -> RecordState {
    if decoded.format == "opaque" {
        return RecordState::NotRecorded;
    }
    let is_by_shared_secret = decoded.header["alg"] == "HS256";
    let timely = if let Some(own) = own_claims(token, decoded) {
        if !has_consistent_times(&own) || (is_by_shared_secret && *own.iss != *issuer) {
            return RecordState::Foreign;
        }
        is_timely(own.exp, Some(own.iat), now)
    } else {
        let claims = foreign::claims(token).filter(|_| !is_by_shared_secret && foreign::header(token).is_some());
        let Some(claims) = claims else {
            return RecordState::Foreign;
        };
        is_timely(claims.exp, claims.nbf.max(claims.iat), now)
    };
    if timely {
        RecordState::NotRecorded
    } else {
        RecordState::Inactive
    }
}

/// The claims of a token in the bytes that a server like this one writes for them.
fn own_claims(token: &str, decoded: &Decoded) -> Option<claims::Claims> {
    if decoded.format == "paseto" {
        let body = paseto::SignedBody::parse(paseto::split(token)?.0)?;
        return claims::canonical_paseto(body.message());
    }
    claims::canonical_jwt(&jwt::payload(token)?)
}

/// Whether a record is that of a token with these claims.
fn matches(claims: &Value, stored: &StoredToken) -> bool {
    let record = &stored.record;
    claims["client_id"] == *record.client_id
        && claims["aud"] == *record.audience
        && claims["scope"] == *record.scope
        && claims["sub"] == *stored.user_id.as_deref().unwrap_or(&record.client_id)
}

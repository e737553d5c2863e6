//! What a presented token stands for, and whether it holds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use oauth2_actors::metrics::Proof;
use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{Client, SigningAlg, StoredToken, TokenFormat};
use oauth2_actors::revocation_cache::Subject;
use uuid::Uuid;

use super::State;
use super::error::Failure;
use crate::tokens::claims::Claims;
use crate::tokens::keyring::Verified;
use crate::tokens::opaque::Reference;
use crate::tokens::{MAX_TOKEN_BYTES, opaque};

/// Seconds by which the clocks of nodes may differ: a token minted on another node is not refused for being young.
const CLOCK_SKEW: i64 = 30;

/// A token that this server issued: its claims, and the key that signed it, if one did. It may be expired or revoked.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Self-contained.
    Signed(Arc<Verified>),
    /// Found in the ledger.
    Recorded(Box<Claims>),
}

/// Rows of the ledger, by token id and expiry.
#[derive(Debug, Default)]
pub struct Recorded(HashMap<(Uuid, i64), StoredToken>);

impl Resolved {
    /// What the token claims.
    pub fn claims(&self) -> &Claims {
        match self {
            Self::Signed(verified) => &verified.claims,
            Self::Recorded(claims) => claims,
        }
    }

    /// Whether it was signed under the secret that verifiers share, so that one of them may have made it up.
    pub fn is_by_shared_secret(&self) -> bool {
        matches!(self, Self::Signed(verified) if verified.shared)
    }

    fn kid(&self) -> Option<&str> {
        match self {
            Self::Signed(verified) => Some(&verified.kid),
            Self::Recorded(_) => None,
        }
    }
}

impl State {
    /// Finds out what a token stands for: self-contained ones by their signature, without the store; opaque ones by their
    /// row. `Ok(None)`: not one of ours.
    pub async fn resolve(&self, token: &str, deadline: Instant) -> Result<Option<Resolved>, Failure> {
        if token.len() > MAX_TOKEN_BYTES {
            return Ok(None);
        }
        if token.starts_with(opaque::PREFIX) {
            return self.resolve_opaque(token, deadline).await;
        }
        Ok(self.resolve_signed(token).map(Resolved::Signed))
    }

    pub(super) fn resolve_signed(&self, token: &str) -> Option<Arc<Verified>> {
        let fingerprint = self.fingerprints.of(token);
        if let Some(known) = self.verified.get(&fingerprint) {
            self.instruments.proof(Proof::Hit);
            return Some(known);
        }
        let keys = self.keys.load();
        let keyring = &keys.keyring;
        if self.issued.contains(&fingerprint) {
            self.instruments.proof(Proof::Issued);
            return keyring.recognize(token).map(Arc::new);
        }
        self.instruments.proof(Proof::Miss);
        let verified = Arc::new(keyring.verify(token)?);
        // Expired tokens are not asked about again; what is kept should be worth it.
        if verified.claims.exp > self.now() {
            self.verified.insert(fingerprint, Arc::clone(&verified));
            // What was remembered is forgotten after the keys change. If they have changed since they were looked at, that may
            // be past already.
            if !Arc::ptr_eq(&keys, &self.keys.load()) {
                self.verified.remove(&fingerprint);
            }
        }
        Some(verified)
    }

    async fn resolve_opaque(&self, token: &str, deadline: Instant) -> Result<Option<Resolved>, Failure> {
        let Some(reference) = opaque::parse(token) else {
            return Ok(None);
        };
        let (jti, expires_at) = (reference.jti, reference.expires_at);
        let stored = self
            .tokens
            .call(deadline, move |store| async move {
                store.token(jti, Some(expires_at)).await
            })
            .await?;
        Ok(stored.and_then(|stored| self.prove(&reference, &stored)))
    }

    /// What an opaque token stands for, if the row that it leads to is its own.
    fn prove(&self, reference: &Reference, stored: &StoredToken) -> Option<Resolved> {
        let record = &stored.record;
        let proven = record
            .secret_hash
            .is_some_and(|hash| verify_slices_are_equal(&hash, &reference.secret_hash).is_ok());
        (proven && record.expires_at == reference.expires_at)
            .then(|| Resolved::Recorded(Box::new(self.claims_of(stored.clone()))))
    }

    /// Reads the rows that the opaque ones among many tokens lead to, all at once.
    pub async fn recorded(&self, tokens: &[Cow<'_, str>], deadline: Instant) -> Result<Recorded, Failure> {
        let references = tokens.iter().filter_map(|token| opaque::parse(token));
        let wanted: Vec<_> = references.map(|token| (token.jti, token.expires_at)).collect();
        if wanted.is_empty() {
            return Ok(Recorded::default());
        }
        let rows = self
            .tokens
            .call(deadline, move |store| async move { store.tokens_of(&wanted).await })
            .await?;
        let by_name = rows
            .into_iter()
            .map(|row| ((row.record.jti, row.record.expires_at), row));
        Ok(Recorded(by_name.collect()))
    }

    /// What a token stands for, opaque ones by rows that were read before.
    pub fn resolve_among(&self, token: &str, recorded: &Recorded) -> Option<Resolved> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        if !token.starts_with(opaque::PREFIX) {
            return self.resolve_signed(token).map(Resolved::Signed);
        }
        let reference = opaque::parse(token)?;
        self.prove(&reference, recorded.0.get(&(reference.jti, reference.expires_at))?)
    }

    /// The claims that a row of the ledger stands for.
    pub fn claims_of(&self, stored: StoredToken) -> Claims {
        let record = stored.record;
        // The row does not say: what the client's tokens say now.
        let client = self.directory.client(&record.client_id);
        let extra = client.and_then(|client| client.policy().claims.members().cloned());
        Claims {
            iss: Arc::clone(&self.defaults.issuer),
            sub: stored.user_id.map_or_else(|| Arc::clone(&record.client_id), Into::into),
            aud: record.audience,
            exp: record.expires_at,
            iat: (uuid_v7_ms(&record.jti) / 1000) as i64,
            jti: record.jti,
            client_id: record.client_id,
            scope: record.scope,
            extra,
        }
    }

    /// Whether the token is in its time, its client may act, and nothing has revoked it.
    pub fn is_active(&self, token: &Resolved) -> bool {
        let claims = token.claims();
        let now = self.now();
        claims.exp > now
            && claims.iat <= now + CLOCK_SKEW
            && self
                .directory
                .client(&claims.client_id)
                .is_some_and(|client| !client.disabled && self.may_sign(&client, token))
            && !self.is_revoked(token)
    }

    /// Whether the client's tokens may be signed as this one is. What its holders can make up must not count for others.
    fn may_sign(&self, client: &Client, token: &Resolved) -> bool {
        !token.is_by_shared_secret()
            || (client.signing_alg == Some(SigningAlg::Hs256)
                && client.token_format.unwrap_or(self.defaults.format) == TokenFormat::Jwt)
    }

    /// Whether the token, or all that its client, user, key or issuer had at some moment, is revoked.
    pub fn is_revoked(&self, token: &Resolved) -> bool {
        let claims = token.claims();
        let subject = Subject {
            jti: claims.jti,
            client_id: &claims.client_id,
            user_id: claims.user(),
            kid: token.kid(),
        };
        self.revocations.load().is_revoked(subject)
    }
}

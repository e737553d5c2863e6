//! Recognizes a presented token and decides whether it is active.
//!
//! Self-contained tokens are verified by their signature, without the store; opaque ones by their row. Expiry, the client's state
//! and revocation are checked each time, against the published views.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::metrics::{Instruments, Proof};
use oauth2_actors::revocation_cache::Subject;
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_actors::runtime::spans;
use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::model::{Client, Ledger, SigningAlg, StoredToken, TokenFormat};
use uuid::Uuid;

use super::error::Result;
use super::fallback::Fallback;
use super::published_keys::KeysHandle;
use super::store_access::StoreAccess;
use super::views::Views;
use crate::protocol::token_spec::TokenDefaults;
use crate::protocol::{resource, scope};
use crate::tokens::claims::Claims;
use crate::tokens::fingerprint::Fingerprints;
use crate::tokens::issued::IssuedTokens;
use crate::tokens::opaque::Reference;
use crate::tokens::verified::{VerifiedToken, VerifiedTokens};
use crate::tokens::{MAX_TOKEN_BYTES, opaque};

mod foreign;

/// How far the clocks of nodes may differ, seconds: a token issued on another node is not rejected for being younger than now.
const CLOCK_SKEW: i64 = 30;

/// Whether a token has begun, which a clock that is behind may not show yet, and has not expired. `begins`: if it says so.
pub(super) fn is_timely(exp: i64, begins: Option<i64>, now: i64) -> bool {
    exp > now && begins.is_none_or(|begins| begins <= now + CLOCK_SKEW)
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Verify {
    /// The keys of this node.
    pub keys: KeysHandle,
    /// Tokens verified before.
    pub verified: Arc<VerifiedTokens>,
    /// Tokens signed by this process.
    pub issued: Arc<IssuedTokens>,
    /// The key of both sets.
    pub fingerprints: Arc<Fingerprints>,
    /// Clients and revocations.
    pub views: Views,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Token ids.
    pub ids: Arc<IdClock>,
    /// Issuer and default format.
    pub defaults: Arc<TokenDefaults>,
    /// Asks the issuer that this server replaces about its opaque tokens.
    pub fallback: Option<Arc<Fallback>>,
    /// Rows of opaque tokens.
    pub store: StoreAccess,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// A token that this server issued. It may be expired or revoked.
#[derive(Debug, Clone)]
pub enum ResolvedToken {
    /// Self-contained, its signature verified.
    SelfContained(Arc<VerifiedToken>),
    /// Found in the ledger.
    Recorded(Box<Claims>),
}

/// Whether a token is active, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// Unexpired, not revoked, its client enabled.
    Active,
    /// Revoked by its id, or by a cut-off of its client, user, key or issuer.
    Revoked,
    /// Expired, issued in the future, or its client is disabled, deleted, or not registered for its kind of signature.
    Inactive,
}

/// Which server of the database may answer for the row of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsFrom {
    /// The primary: the caller decides something that others rely on.
    Primary,
    /// A replica too. A row that it does not have is read from the primary.
    AnyServer,
}

/// Rows of the ledger by token id and expiry.
#[derive(Debug, Default)]
pub struct RecordedTokens(HashMap<(Uuid, i64), StoredToken>);

impl ResolvedToken {
    /// The claims.
    pub fn claims(&self) -> &Claims {
        match self {
            Self::SelfContained(verified) => &verified.claims,
            Self::Recorded(claims) => claims,
        }
    }

    /// Whether it is signed with the secret that verifiers share, so that one of them may have made it.
    pub fn is_by_shared_secret(&self) -> bool {
        matches!(self, Self::SelfContained(verified) if verified.by_shared_secret)
    }

    fn kid(&self) -> Option<&str> {
        match self {
            Self::SelfContained(verified) => Some(&verified.kid),
            Self::Recorded(_) => None,
        }
    }
}

impl Verify {
    /// Resolves a token. `Ok(None)`: not issued here.
    pub async fn resolve(&self, token: &str, from: RowsFrom, deadline: Instant) -> Result<Option<ResolvedToken>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Ok(None);
        }
        if !token.starts_with(opaque::PREFIX) {
            let Some(verified) = self.resolve_self_contained(token) else {
                return Ok(None);
            };
            if self.must_be_recorded(&verified) {
                let (jti, expires_at) = (verified.claims.jti, verified.claims.exp);
                let row = self.row(jti, expires_at, from, deadline).await?;
                if !row.is_some_and(|row| is_record_of(&row, &verified.claims)) {
                    return Ok(None);
                }
            }
            return Ok(Some(ResolvedToken::SelfContained(verified)));
        }
        let Some(reference) = opaque::parse(token) else {
            return Ok(None);
        };
        let stored = self.row(reference.jti, reference.expires_at, from, deadline).await?;
        Ok(stored.and_then(|stored| self.resolve_opaque(&reference, &stored)))
    }

    async fn row(&self, jti: Uuid, expires_at: i64, from: RowsFrom, deadline: Instant) -> Result<Option<StoredToken>> {
        self.store
            .call(deadline, move |store| async move {
                match from {
                    RowsFrom::Primary => store.token(jti, Some(expires_at)).await,
                    RowsFrom::AnyServer => store.reads().token(jti, expires_at).await,
                }
            })
            .await
    }

    pub(super) fn resolve_self_contained(&self, token: &str) -> Option<Arc<VerifiedToken>> {
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
        let span = spans::child("verify token");
        let verified = Arc::new(keyring.verify(token)?);
        drop(span);
        // Expired tokens are rarely presented again.
        if verified.claims.exp > self.now() {
            self.verified.insert(fingerprint, Arc::clone(&verified));
            // The cache is cleared after the keys change. If they changed since they were loaded here, that may have happened
            // before the insertion.
            if !Arc::ptr_eq(&keys, &self.keys.load()) {
                self.verified.remove(&fingerprint);
            }
        }
        Some(verified)
    }

    /// The token of a row, if the reference has the secret of that row.
    fn resolve_opaque(&self, reference: &Reference, stored: &StoredToken) -> Option<ResolvedToken> {
        reference
            .matches(&stored.record)
            .then(|| self.recorded_token(stored.clone()))
    }

    /// Whether a token needs its row: holders of the shared secret can sign a token, but cannot record it.
    pub(super) fn must_be_recorded(&self, verified: &VerifiedToken) -> bool {
        verified.by_shared_secret
            && self
                .views
                .directory
                .client(&verified.claims.client_id)
                .is_some_and(|client| client.token_ledger.unwrap_or(self.defaults.ledger) == Ledger::Durable)
    }

    /// The id and expiry of a token whose row decides.
    fn row_of(&self, token: &str) -> Option<(Uuid, i64)> {
        if let Some(reference) = opaque::parse(token) {
            return Some((reference.jti, reference.expires_at));
        }
        if token.len() > MAX_TOKEN_BYTES || !self.keys.load().keyring.names_shared_secret(token) {
            return None;
        }
        let verified = self.resolve_self_contained(token)?;
        self.must_be_recorded(&verified)
            .then_some((verified.claims.jti, verified.claims.exp))
    }

    /// Reads the rows that decide about many tokens, in one round trip: those of opaque tokens and of [`Self::must_be_recorded`].
    pub async fn recorded(&self, tokens: &[Cow<'_, str>], deadline: Instant) -> Result<RecordedTokens> {
        let wanted: Vec<_> = tokens.iter().filter_map(|token| self.row_of(token)).collect();
        if wanted.is_empty() {
            return Ok(RecordedTokens::default());
        }
        let rows = self
            .store
            .call(deadline, move |store| async move {
                store.reads().tokens_by_id(&wanted).await
            })
            .await?;
        let by_id = rows
            .into_iter()
            .map(|row| ((row.record.jti, row.record.expires_at), row));
        Ok(RecordedTokens(by_id.collect()))
    }

    /// Resolves a token by rows that were read before.
    pub fn resolve_among(&self, token: &str, recorded: &RecordedTokens) -> Option<ResolvedToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        if !token.starts_with(opaque::PREFIX) {
            let verified = self.resolve_self_contained(token)?;
            if self.must_be_recorded(&verified) {
                let row = recorded.0.get(&(verified.claims.jti, verified.claims.exp));
                row.filter(|row| is_record_of(row, &verified.claims))?;
            }
            return Some(ResolvedToken::SelfContained(verified));
        }
        let reference = opaque::parse(token)?;
        self.resolve_opaque(&reference, recorded.0.get(&(reference.jti, reference.expires_at))?)
    }

    /// The token of a row.
    pub fn recorded_token(&self, stored: StoredToken) -> ResolvedToken {
        let record = stored.record;
        // A row has no private claims: they are what the client's new tokens carry.
        let client = self.views.directory.client(&record.client_id);
        let extra = client.and_then(|client| client.policy().claims.members().cloned());
        ResolvedToken::Recorded(Box::new(Claims {
            iss: Arc::clone(&self.defaults.issuer),
            sub: stored.user_id.map_or_else(|| Arc::clone(&record.client_id), Into::into),
            aud: record.audience,
            exp: record.expires_at,
            // After the clock was set back, ids are ahead of it, and a row has no other time.
            iat: ((uuid_v7_ms(&record.jti) / 1000) as i64).min(self.now()),
            jti: record.jti,
            client_id: record.client_id,
            scope: record.scope,
            extra,
        }))
    }

    /// The token's state. `kid`: the key that signed a recorded token, where the caller knows it.
    pub fn state(&self, token: &ResolvedToken, kid: Option<&str>) -> TokenState {
        let (claims, now) = (token.claims(), self.now());
        let subject = Subject {
            jti: claims.jti,
            client_id: &claims.client_id,
            user_id: claims.user(),
            kid: token.kid().or(kid),
        };
        if self.views.revocations.load().is_revoked(subject) {
            return TokenState::Revoked;
        }
        // An id later than any that was given would be later than future cut-offs, too.
        let is_given = self.ids.may_have_given(uuid_v7_ms(&claims.jti));
        let timely = is_timely(claims.exp, Some(claims.iat), now) && is_given;
        let client = self.views.directory.client(&claims.client_id);
        if timely && client.is_some_and(|client| !client.disabled && self.may_have_signed(&client, token)) {
            TokenState::Active
        } else {
            TokenState::Inactive
        }
    }

    /// Whether the token is active.
    pub fn is_active(&self, token: &ResolvedToken) -> bool {
        self.state(token, None) == TokenState::Active
    }

    /// Whether a self-contained token was issued here and is active.
    pub fn is_self_contained_active(&self, token: &str) -> bool {
        self.resolve_self_contained(token)
            .is_some_and(|verified| self.is_active(&ResolvedToken::SelfContained(verified)))
    }

    /// Whether this server could have issued the token to the client as it is registered. No grant gives a signed token another subject than
    /// the client. Holders of the shared secret must not make tokens of clients that do not use it, nor with an audience or scope that the
    /// client cannot get; another token keeps its audience and scope when its client loses them.
    fn may_have_signed(&self, client: &Client, token: &ResolvedToken) -> bool {
        if matches!(token, ResolvedToken::SelfContained(_)) && token.claims().user().is_some() {
            return false;
        }
        !token.is_by_shared_secret()
            || (client.signing_alg == Some(SigningAlg::Hs256)
                && client.token_format.unwrap_or(self.defaults.format) == TokenFormat::Jwt
                && self.could_be_granted(client, token.claims()))
    }

    fn could_be_granted(&self, client: &Client, claims: &Claims) -> bool {
        let scope = match &*claims.scope {
            "" => true,
            requested => scope::granted(Some(requested), &client.scope).is_ok_and(|granted| granted == claims.scope),
        };
        scope && resource::audience(Some(&claims.aud), &client.audience, &self.defaults.issuer).is_ok()
    }

    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}

/// Whether a row is that of a token with these claims.
fn is_record_of(row: &StoredToken, claims: &Claims) -> bool {
    let record = &row.record;
    record.client_id == claims.client_id
        && record.audience == claims.aud
        && record.scope == claims.scope
        && row.user_id.as_deref() == claims.user()
}

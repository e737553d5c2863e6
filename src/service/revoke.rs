//! Revokes tokens: one, many, or everything that a client or the issuer has issued so far.

use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::metrics::Instruments;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_store::model::{AuditEntry, Client, Revocation, RevocationTarget};
use serde_json::json;
use uuid::Uuid;

use super::error::{Result, ServiceError};
use super::operator::Operator;
use super::store_access::StoreAccess;
use super::token_ref::{TokenRef, foreign_expiry};
use super::verify::{ResolvedToken, RowsFrom, Verify};
use crate::keys::verify_only::ForeignToken;

/// The use cases that revoke.
#[derive(Debug)]
pub struct Revoke {
    /// The revocation log.
    pub store: StoreAccess,
    /// Resolves presented tokens.
    pub verify: Arc<Verify>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// Whose tokens a cut-off revokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutOff {
    /// A client's.
    Client(String),
    /// All of this issuer.
    Issuer,
}

impl Revoke {
    /// Revokes a token that its own client presents (RFC 7009). Any other token, be it another client's, expired, revoked before or
    /// not issued here, is accepted without effect (section 2.2), if the views it was judged by are fresh.
    pub async fn presented(&self, client: &Client, token: &str, deadline: Instant) -> Result<()> {
        let resolved = self.verify.resolve(token, RowsFrom::Primary, deadline).await?;
        if resolved.is_none()
            && let Some(foreign) = self.own_foreign(client, token, deadline).await?
        {
            let expires_at = foreign_expiry(foreign.claims.exp, self.now());
            return self.commit_own(client, foreign.claims.id, expires_at, deadline).await;
        }
        let own = resolved.filter(|token| token.claims().client_id == client.client_id && self.verify.is_active(token));
        let own = match own {
            Some(token) if self.is_id_of_another(client, &token, deadline).await? => None,
            own => own,
        };
        let Some(token) = own else {
            // A stale view may hold a token for revoked, or its key for unknown, that is active.
            return self.verify.views.fresh(deadline);
        };
        let claims = token.claims();
        self.commit_own(client, claims.jti, claims.exp, deadline).await
    }

    /// A token of the issuer that this server replaces, if it is the client's and active.
    async fn own_foreign(&self, client: &Client, token: &str, deadline: Instant) -> Result<Option<ForeignToken>> {
        let token = self.verify.resolve_foreign(token, deadline).await?;
        Ok(token.filter(|token| token.claims.client_id == client.client_id && self.verify.is_foreign_active(token)))
    }

    async fn commit_own(&self, client: &Client, jti: Uuid, expires_at: i64, deadline: Instant) -> Result<()> {
        let target = RevocationTarget::Token { jti, expires_at };
        let operator = Operator::client_itself(&client.client_id);
        let audit = operator.audit("token.revoke", json!({"client_id": &*client.client_id}));
        self.commit(target, self.store.now_ms().await?, audit, deadline).await
    }

    /// Revokes a token by its id, recorded or not. Answers the id.
    pub async fn by_id(&self, operator: &Operator, token: &TokenRef, deadline: Instant) -> Result<Uuid> {
        let (jti, expires_at) = (token.jti, token.expires_at);
        let found = self
            .store
            .call(deadline, move |store| async move { store.token(jti, expires_at).await })
            .await?;
        let client_id = found.as_ref().map(|token| token.record.client_id.to_string());
        // Of an unrecorded token only the id is known: the log keeps it as long as any token may live.
        let expires_at = found.map_or_else(|| token.latest_expiry(self.now()), |found| found.record.expires_at);
        let audit = operator.audit("token.revoke", detail(client_id));
        let target = RevocationTarget::Token { jti, expires_at };
        self.commit(target, self.store.now_ms().await?, audit, deadline).await?;
        Ok(jti)
    }

    /// Revokes tokens, all of them or none. Answers how many have no record that confirms the expiry they claim.
    pub async fn many(&self, operator: &Operator, tokens: &[TokenRef], deadline: Instant) -> Result<usize> {
        let known: Vec<_> = tokens
            .iter()
            .filter_map(|token| Some((token.jti, token.expires_at?)))
            .collect();
        let recorded = self
            .store
            .call(deadline, move |store| async move { store.tokens_by_id(&known).await })
            .await?;
        let cutoff_ms = self.store.now_ms().await?;
        let mut unrecorded = 0;
        let revocation = |token: &TokenRef| {
            let record = recorded
                .iter()
                .map(|row| &row.record)
                .find(|record| record.jti == token.jti && Some(record.expires_at) == token.expires_at);
            unrecorded += usize::from(record.is_none());
            let target = RevocationTarget::Token {
                jti: token.jti,
                expires_at: record.map_or_else(|| token.latest_expiry(self.now()), |record| record.expires_at),
            };
            let client_id = record.map(|record| record.client_id.to_string());
            let audit = operator.audit("token.revoke", detail(client_id));
            (Revocation::new(target, cutoff_ms), audit)
        };
        let revocations: Vec<_> = tokens.iter().map(revocation).collect();
        let rows = revocations.clone();
        self.store
            .call(deadline, move |store| async move {
                store.revoke_many(&rows, cutoff_ms).await
            })
            .await?;
        let revocations: Vec<_> = revocations.into_iter().map(|(revocation, _)| revocation).collect();
        for revocation in &revocations {
            self.instruments.token_revoked(&revocation.target);
        }
        self.store.enforce(revocations, deadline).await?;
        Ok(unrecorded)
    }

    /// Revokes every token issued so far to a client, or by this issuer. This includes tokens that another node issues later by an
    /// outdated version of the client. Answers the cut-off, Unix milliseconds.
    pub async fn everything_of(&self, operator: &Operator, whose: CutOff, deadline: Instant) -> Result<u64> {
        let target = match whose {
            CutOff::Issuer => RevocationTarget::Issuer,
            CutOff::Client(client_id) => {
                let id = client_id.clone();
                self.store
                    .call(deadline, move |store| async move { store.client(&id).await })
                    .await?
                    .ok_or_else(|| ServiceError::no_client(client_id.clone()))?;
                RevocationTarget::Client(client_id)
            }
        };
        let cutoff_ms = self.store.cutoff_ms().await?;
        let audit = operator.audit("revocation.cutoff", json!({"cutoff_ms": cutoff_ms}));
        self.commit(target, cutoff_ms, audit, deadline).await?;
        Ok(cutoff_ms)
    }

    /// Commits a revocation, then makes it hold on this node. If the second fails, the caller must ask again: doing so is safe.
    async fn commit(
        &self,
        target: RevocationTarget,
        cutoff_ms: u64,
        audit: AuditEntry,
        deadline: Instant,
    ) -> Result<()> {
        let (revocation, now_ms) = (Revocation::new(target, cutoff_ms), self.store.now_ms().await?);
        let appended = self
            .store
            .call(deadline, move |store| async move {
                store.revoke(&revocation, now_ms, &audit).await
            })
            .await?;
        // The first row is the requested revocation.
        if let Some(revocation) = appended.first() {
            self.instruments.token_revoked(&revocation.target);
        }
        self.store.enforce(appended, deadline).await
    }

    /// Whether the record of the token's id is another client's. Holders of a shared secret can make tokens with any id, and a
    /// revocation is of an id.
    async fn is_id_of_another(&self, client: &Client, token: &ResolvedToken, deadline: Instant) -> Result<bool> {
        if !token.is_by_shared_secret() {
            return Ok(false);
        }
        let jti = token.claims().jti;
        let recorded = self
            .store
            .call(deadline, move |store| async move { store.token(jti, None).await })
            .await?;
        Ok(recorded.is_some_and(|token| token.record.client_id != client.client_id))
    }

    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}

fn detail(client_id: Option<String>) -> serde_json::Value {
    client_id.map_or_else(|| json!({}), |client_id| json!({"client_id": client_id}))
}

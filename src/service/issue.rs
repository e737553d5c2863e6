//! Issues access tokens to clients: decide, record, sign, answer after the commit.
//!
//! The token is signed while its commit is in flight. A stateless token is not recorded.

use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::metrics::Instruments;
use oauth2_actors::quota_keeper::Counters;
use oauth2_actors::runtime::clock::IdClock;
use oauth2_store::model::Client;

use super::error::Result;
use super::ledger_access::GroupCommit;
use super::limit_status::LimitStatus;
use super::quotas::QuotaControl;
use super::views::Views;
use crate::protocol::grants::GrantRequest;
use crate::protocol::token_spec::{TokenDefaults, TokenSpec};

pub mod mint;
pub mod provision;
pub mod reuse;
pub mod slow_signer;

use mint::Mint;
use reuse::Reuse;

/// The use case of the token endpoint.
#[derive(Debug)]
pub struct Issue {
    /// Settings for clients that have none of their own.
    pub defaults: Arc<TokenDefaults>,
    /// Token ids.
    pub ids: Arc<IdClock>,
    /// Signs tokens.
    pub mint: Arc<Mint>,
    /// Issues a token again, for clients that are registered for it.
    pub reuse: Reuse,
    /// Counts tokens against quotas.
    pub quotas: Arc<QuotaControl>,
    /// Unexpired tokens by client.
    pub counters: Arc<Counters>,
    /// Whether the answer may be given.
    pub views: Views,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// An access token, ready to be answered.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token.
    pub token: Token,
    /// Remaining lifetime, seconds.
    pub expires_in: u32,
    /// Granted scope, space-separated.
    pub scope: Arc<str>,
}

/// A new token, or one that is issued again.
#[derive(Debug)]
pub enum Token {
    /// Signed for this request.
    New(String),
    /// Issued before.
    Reused(Arc<str>),
}

impl Token {
    /// The token itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::New(token) => token,
            Self::Reused(token) => token,
        }
    }
}

impl Issue {
    /// Issues one token to an authenticated client. `limits` gains the state of the client's quotas. Answers after the commit.
    pub async fn token(
        &self,
        client: &Client,
        request: &GrantRequest<'_>,
        limits: &mut Vec<LimitStatus>,
        ledger: &GroupCommit,
        deadline: Instant,
    ) -> Result<IssuedToken> {
        let jti = self.ids.new_token_id(client.version)?;
        let spec = request
            .decide(client, &self.defaults, jti)?
            .issued_by(self.ids.unix_ms());
        let reusable = self.reuse.lookup(client, &spec);
        if let Some((token, expires_in)) = reusable.as_ref().and_then(|lookup| self.reuse.find(lookup)) {
            self.views.fresh(deadline)?;
            self.instruments.token_reused();
            return Ok(IssuedToken {
                token: Token::Reused(token),
                expires_in,
                scope: spec.claims.scope,
            });
        }
        let reserved = self.quotas.reserve(client, limits, deadline).await?;
        let token = self.mint_and_record(&spec, ledger, deadline).await?;
        self.views.fresh(deadline)?;
        reserved.keep();
        self.quotas.issued(client, 1);
        self.instruments.token_issued(spec.grant, spec.format);
        self.counters
            .issued(&client.client_id, spec.claims.exp, spec.claims.iat);
        if let Some(lookup) = reusable {
            self.reuse.keep(&lookup, &token, &spec);
        }
        Ok(IssuedToken {
            token: Token::New(token),
            expires_in: spec.lifetime,
            scope: spec.claims.scope,
        })
    }

    async fn mint_and_record(&self, spec: &TokenSpec, ledger: &GroupCommit, deadline: Instant) -> Result<String> {
        let unsigned = self.mint.prepare(spec)?;
        let entry = unsigned.entry();
        let commit = entry.map(|entry| ledger.commit(entry, deadline)).transpose()?;
        let token = self.mint.sign(unsigned, Some(ledger.committing()), deadline).await?;
        if let Some(commit) = commit {
            commit.done().await?;
        }
        Ok(token)
    }
}

//! Issues tokens in bulk, for an operator who provisions them to a client.

use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::metrics::Instruments;
use oauth2_actors::quota_keeper::Counters;
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock};
use oauth2_store::model::{Client, GrantType, TokenFormat};
use serde_json::{Value, json};
use uuid::Uuid;

use super::mint::Mint;
use crate::protocol::grants::GrantRequest;
use crate::protocol::grants::client_credentials::Request;
use crate::protocol::token_spec::TokenDefaults;
use crate::service::clients::checks::is_client_id;
use crate::service::error::{Result, ServiceError};
use crate::service::ledger_access::LedgerAccess;
use crate::service::operator::Operator;
use crate::service::operators::has_admin_scope;
use crate::service::parameter::without_controls;
use crate::service::quotas::QuotaControl;
use crate::service::store_access::StoreAccess;
use crate::service::views::Views;

/// The most tokens of one call.
pub const MAX_TOKENS: u32 = 1000;

/// After this many signatures other requests of the thread get a turn.
const YIELD_EVERY: u32 = 8;

/// The use case of bulk issuance.
#[derive(Debug)]
pub struct Provision {
    /// Finds the client; takes the audit row.
    pub store: StoreAccess,
    /// Settings for clients that have none of their own.
    pub defaults: Arc<TokenDefaults>,
    /// Token ids.
    pub ids: Arc<IdClock>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Signs tokens.
    pub mint: Arc<Mint>,
    /// Whether the client has quotas.
    pub quotas: Arc<QuotaControl>,
    /// Unexpired tokens by client, and the use of quotas.
    pub counters: Arc<Counters>,
    /// Whether the answer may be given.
    pub views: Views,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// What is to be issued.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The client.
    pub client_id: &'a str,
    /// Scope and audience.
    pub request: Request<'a>,
    /// How many, 1 to [`MAX_TOKENS`].
    pub count: u32,
}

/// A token that was issued.
#[derive(Debug)]
pub struct ProvisionedToken {
    /// The token.
    pub token: String,
    /// Its id.
    pub jti: Uuid,
    /// Expiry, Unix seconds.
    pub expires_at: i64,
    grant: GrantType,
    format: TokenFormat,
}

impl Provision {
    /// Checks an order; issues nothing.
    pub async fn check(&self, order: Order<'_>, deadline: Instant) -> Result<()> {
        let client = self.client(order, deadline).await?;
        GrantRequest::ClientCredentials(order.request).decide(
            &client,
            &self.defaults,
            self.ids.new_token_id(client.version)?,
        )?;
        Ok(())
    }

    /// The client of an acceptable order.
    async fn client(&self, order: Order<'_>, deadline: Instant) -> Result<Client> {
        if !(1..=MAX_TOKENS).contains(&order.count) {
            return Err(ServiceError::parameter(
                "count",
                format!("must be from 1 to {MAX_TOKENS}"),
            ));
        }
        without_controls("client_id", order.client_id)?;
        let id = order.client_id.to_owned();
        // An id that no client can have is not looked up: Postgres rejects text with a NUL.
        if !is_client_id(&id) {
            return Err(ServiceError::no_client(id));
        }
        let client = self
            .store
            .call(deadline, move |store| async move { store.client(&id).await })
            .await?
            .ok_or_else(|| ServiceError::no_client(order.client_id.to_owned()))?;
        if client.disabled {
            let text = format!("the client {} is disabled: enable it first", client.client_id);
            return Err(ServiceError::Conflict(text));
        }
        Ok(client)
    }

    /// The detail of the audit row. It lists every id: an auditor with a token finds the operator who issued it.
    fn detail(&self, client: &Client, granted: Option<(Arc<str>, Arc<str>)>, tokens: &[ProvisionedToken]) -> Value {
        let (scope, audience) = granted.unwrap_or_default();
        json!({
            "client_id": &*client.client_id,
            "count": tokens.len(),
            "scope": &*scope,
            "audience": &*audience,
            "admin_api": audience == self.defaults.issuer && has_admin_scope(&scope),
            "jtis": tokens.iter().map(|token| token.jti).collect::<Vec<_>>(),
        })
    }

    /// Issues tokens. They count as used of the client's quotas, which reject none of them; rate limits do not apply. All of them
    /// are answered, or none: if one cannot be recorded, the rows of the others refer to tokens that nobody has.
    pub async fn issue(
        &self,
        operator: &Operator,
        order: Order<'_>,
        ledger: &LedgerAccess,
        deadline: Instant,
    ) -> Result<Vec<ProvisionedToken>> {
        let client = self.client(order, deadline).await?;
        let grant = GrantRequest::ClientCredentials(order.request);
        let (mut tokens, mut entries, mut granted) = (Vec::new(), Vec::new(), None);
        for index in 0..order.count {
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                tokio::task::yield_now().await;
            }
            let spec = grant
                .decide(&client, &self.defaults, self.ids.new_token_id(client.version)?)?
                .issued_by(self.ids.unix_ms());
            let unsigned = self.mint.prepare(&spec)?;
            entries.extend(unsigned.entry());
            tokens.push(ProvisionedToken {
                token: self.mint.sign(unsigned, None, deadline).await?,
                jti: spec.claims.jti,
                expires_at: spec.claims.exp,
                grant: spec.grant,
                format: spec.format,
            });
            granted.get_or_insert((spec.claims.scope, spec.claims.aud));
        }
        let now = (self.clock.unix_ms() / 1000) as i64;
        // The audit row first, then the tokens' rows, then the answer: whenever this ends, no token is without either.
        let (id, audit) = (
            client.client_id.to_string(),
            operator.audit("token.issue", self.detail(&client, granted, &tokens)),
        );
        self.store
            .call(deadline, move |store| async move {
                store.record_audit(&audit, "client", &id, now).await
            })
            .await?;
        ledger.commit_all(entries, deadline).await?;
        self.views.fresh(deadline)?;
        for token in &tokens {
            self.instruments.token_issued(token.grant, token.format);
            self.counters.issued(&client.client_id, token.expires_at, now);
        }
        self.quotas.add(&client, tokens.len() as u64);
        Ok(tokens)
    }
}

//! Reads the records of tokens.

use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_store::model::{Page, StoredToken};
use uuid::Uuid;

use super::cursor;
use super::error::{NotFound, Result, ServiceError};
use super::store_access::StoreAccess;
use super::token_ref::TokenRef;
use super::verify::{TokenState, Verify};

pub mod view;

/// The use cases that read the ledger.
#[derive(Debug)]
pub struct Records {
    /// The ledger.
    pub store: StoreAccess,
    /// Whether a recorded token is active.
    pub verify: Arc<Verify>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
}

impl Records {
    /// A client's unexpired recorded tokens, newest first. Those of a deleted client are still on record; without a client and
    /// without a record the client is not found.
    pub async fn list(
        &self,
        client_id: &str,
        after: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page<StoredToken>> {
        let list = cursor::tokens_of(client_id);
        let after = after.map(|after| cursor::decode(&list, after)).transpose()?;
        let after = after.and_then(|jti| Uuid::try_parse(&jti).ok());
        let (id, now) = (client_id.to_owned(), (self.clock.unix_ms() / 1000) as i64);
        let (mut page, known) = self
            .store
            .call(deadline, move |store| async move {
                let page = store.reads().list_tokens(&id, now, after, limit).await?;
                let known = !page.items.is_empty() || store.client(&id).await?.is_some();
                Ok((page, known))
            })
            .await?;
        if !known {
            return Err(ServiceError::no_client(client_id.to_owned()));
        }
        page.next = page.next.map(|next| cursor::encode(&list, &next));
        Ok(page)
    }

    /// The record of a token.
    pub async fn find(&self, token: &TokenRef, deadline: Instant) -> Result<StoredToken> {
        let (jti, expires_at) = (token.jti, token.expires_at);
        self.store
            .call(deadline, move |store| async move { store.token(jti, expires_at).await })
            .await?
            .ok_or(ServiceError::NotFound(NotFound::Token(jti)))
    }

    /// Whether a recorded token is active. A record does not name the key that signed it: without `kid` the revocation of that
    /// key is not seen.
    pub fn is_active(&self, token: &StoredToken, kid: Option<&str>) -> bool {
        let resolved = self.verify.recorded_token(token.clone());
        self.verify.state(&resolved, kid) == TokenState::Active
    }
}

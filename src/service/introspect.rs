//! Introspection (RFC 7662). A client may introspect its own tokens, and as a resource server those for its audiences. Every other
//! token is inactive to it: another client's, expired, revoked, or not issued here.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::error::AskError;
use oauth2_store::model::Client;

use super::error::Result;
use super::verify::{ResolvedToken, RowsFrom, Verify};
use crate::tokens::claims::Claims;

/// After this many tokens other requests of the thread get a turn: a signature verification takes up to 60 us.
const YIELD_EVERY: usize = 8;

/// The use case of the introspection endpoints.
#[derive(Debug)]
pub struct Introspect {
    /// Resolves tokens.
    pub verify: Arc<Verify>,
}

/// What the caller may know of a token.
#[derive(Debug, Clone)]
pub enum Introspection {
    /// It is active.
    Active(ResolvedToken),
    /// It is not, or the caller may not introspect it.
    Inactive,
}

impl Introspect {
    /// Introspects one token.
    pub async fn one(&self, caller: &Client, token: &str, deadline: Instant) -> Result<Introspection> {
        let resolved = self.verify.resolve(token, RowsFrom::AnyServer, deadline).await?;
        let introspection = self.judge(caller, resolved);
        self.verify.views.fresh(deadline)?;
        Ok(introspection)
    }

    /// Introspects tokens, in their order. The rows of the opaque ones are read in one round trip.
    pub async fn many(
        &self,
        caller: &Client,
        tokens: &[Cow<'_, str>],
        deadline: Instant,
    ) -> Result<Vec<Introspection>> {
        let recorded = self.verify.recorded(tokens, deadline).await?;
        let mut introspections = Vec::with_capacity(tokens.len());
        for (index, token) in tokens.iter().enumerate() {
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                if Instant::now() > deadline {
                    return Err(AskError::Deadline.into());
                }
                tokio::task::yield_now().await;
            }
            let resolved = self.verify.resolve_among(token, &recorded);
            introspections.push(self.judge(caller, resolved));
        }
        self.verify.views.fresh(deadline)?;
        Ok(introspections)
    }

    fn judge(&self, caller: &Client, resolved: Option<ResolvedToken>) -> Introspection {
        let active = resolved.filter(|token| may_introspect(caller, token.claims()) && self.verify.is_active(token));
        self.verify.instruments.introspection(active.is_some());
        active.map_or(Introspection::Inactive, Introspection::Active)
    }
}

fn may_introspect(caller: &Client, claims: &Claims) -> bool {
    caller.client_id == claims.client_id || caller.introspection_audiences.contains(&claims.aud)
}

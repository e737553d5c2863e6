//! Introspection (RFC 7662). A client may introspect its own tokens, and as a resource server those for its audiences. Every other
//! token is inactive to it: another client's, expired, revoked, or issued neither here nor by the issuer that this server replaces.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;
use oauth2_actors::error::AskError;
use oauth2_store::model::Client;

use super::error::Result;
use super::verify::{ResolvedToken, RowsFrom, Verify};
use crate::tokens::foreign::ForeignClaims;

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
    /// It is active, and of the issuer that this server replaces.
    Foreign(Arc<ForeignClaims>),
    /// It is not, or the caller may not introspect it.
    Inactive,
}

impl Introspect {
    /// Introspects one token.
    pub async fn one(&self, caller: &Client, token: &str, deadline: Instant) -> Result<Introspection> {
        let introspection = match self.verify.resolve(token, RowsFrom::AnyServer, deadline).await? {
            Some(resolved) => self.judge(caller, resolved),
            None => self.foreign(caller, token, deadline).await?,
        };
        self.verify.views.fresh(deadline)?;
        self.count(&introspection);
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
        let mut introspections = vec![Introspection::Inactive; tokens.len()];
        let mut foreign = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                if Instant::now() > deadline {
                    return Err(AskError::Deadline.into());
                }
                tokio::task::yield_now().await;
            }
            match self.verify.resolve_among(token, &recorded) {
                Some(resolved) => introspections[index] = self.judge(caller, resolved),
                None if self.verify.accepts_foreign() => foreign.push(index),
                None => {}
            }
        }
        // Together: each may wait for another server.
        let asked = foreign
            .iter()
            .map(|index| self.foreign(caller, &tokens[*index], deadline));
        for (index, introspection) in foreign.iter().zip(try_join_all(asked).await?) {
            introspections[*index] = introspection;
        }
        self.verify.views.fresh(deadline)?;
        for introspection in &introspections {
            self.count(introspection);
        }
        Ok(introspections)
    }

    fn count(&self, introspection: &Introspection) {
        let is_active = !matches!(introspection, Introspection::Inactive);
        self.verify.instruments.introspection(is_active);
    }

    fn judge(&self, caller: &Client, token: ResolvedToken) -> Introspection {
        let claims = token.claims();
        if may_introspect(caller, &claims.client_id, [&claims.aud]) && self.verify.is_active(&token) {
            Introspection::Active(token)
        } else {
            Introspection::Inactive
        }
    }

    /// Introspects a token that is not of this server.
    async fn foreign(&self, caller: &Client, token: &str, deadline: Instant) -> Result<Introspection> {
        let token = self.verify.resolve_foreign(token, deadline).await?.filter(|token| {
            let claims = &token.claims;
            may_introspect(caller, &claims.client_id, &claims.aud) && self.verify.is_foreign_active(token)
        });
        Ok(token.map_or(Introspection::Inactive, |token| Introspection::Foreign(token.claims)))
    }
}

/// `aud`: the audiences of the token.
fn may_introspect<'a>(caller: &Client, client_id: &str, aud: impl IntoIterator<Item = &'a Arc<str>>) -> bool {
    let introspected = &caller.introspection_audiences;
    *caller.client_id == *client_id || aud.into_iter().any(|aud| introspected.contains(aud))
}

//! Introspection (RFC 7662). A client may introspect its own tokens, and as a resource server those for its audiences. Every other
//! token is inactive to it: another client's, expired, revoked, or issued neither here nor by the issuer that this server replaces.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

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
    Foreign(Box<ForeignClaims>),
    /// It is not, or the caller may not introspect it.
    Inactive,
}

impl Introspect {
    /// Introspects one token.
    pub async fn one(&self, caller: &Client, token: &str, deadline: Instant) -> Result<Introspection> {
        let resolved = self.verify.resolve(token, RowsFrom::AnyServer, deadline).await?;
        let introspection = self.judge(caller, token, resolved);
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
            introspections.push(self.judge(caller, token, resolved));
        }
        self.verify.views.fresh(deadline)?;
        Ok(introspections)
    }

    fn judge(&self, caller: &Client, token: &str, resolved: Option<ResolvedToken>) -> Introspection {
        let introspection = match resolved {
            Some(resolved) => self.judge_own(caller, resolved),
            None => self.judge_foreign(caller, token),
        };
        let is_active = !matches!(introspection, Introspection::Inactive);
        self.verify.instruments.introspection(is_active);
        introspection
    }

    fn judge_own(&self, caller: &Client, token: ResolvedToken) -> Introspection {
        let claims = token.claims();
        if may_introspect(caller, &claims.client_id, [&claims.aud]) && self.verify.is_active(&token) {
            Introspection::Active(token)
        } else {
            Introspection::Inactive
        }
    }

    fn judge_foreign(&self, caller: &Client, token: &str) -> Introspection {
        let token = self.verify.resolve_foreign(token).filter(|token| {
            let claims = &token.claims;
            may_introspect(caller, &claims.client_id, &claims.aud) && self.verify.is_foreign_active(token)
        });
        token.map_or(Introspection::Inactive, |token| {
            Introspection::Foreign(Box::new(token.claims))
        })
    }
}

/// `aud`: the audiences of the token.
fn may_introspect<'a>(caller: &Client, client_id: &str, aud: impl IntoIterator<Item = &'a Arc<str>>) -> bool {
    let introspected = &caller.introspection_audiences;
    *caller.client_id == *client_id || aud.into_iter().any(|aud| introspected.contains(aud))
}

//! Introspection (RFC 7662). A client may introspect its own tokens, and as a resource server those for its audiences. Every other
//! token is inactive to it: another client's, expired, revoked, or issued neither here nor by the issuer that this server replaces.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use oauth2_actors::error::AskError;
use oauth2_store::model::Client;

use super::error::Result;
use super::verify::{ResolvedToken, RowsFrom, Verify};
use crate::keys::verify_only::ForeignToken;
use crate::tokens::foreign::ForeignClaims;

/// After this many signature verifications other requests of the thread run: one takes up to 60 us.
const YIELD_EVERY: usize = 8;

/// How long before the deadline of a batch the answers of the other issuer are no longer awaited.
const RESERVE: Duration = Duration::from_millis(250);

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
    /// The issuer that this server replaces was to be asked and did not answer. Only in batches.
    Unanswered,
}

/// The caller of an introspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A client on its own behalf.
    Client,
    /// A server whose fallback introspection leads here. It is answered without asking a third: two servers could ask each other without
    /// end.
    Fallback,
}

/// Lets other requests of the thread run between the signature verifications of one.
struct Turns {
    deadline: Instant,
    checks: usize,
}

impl Turns {
    /// Called after signature verifications. An error: the deadline has passed.
    async fn after(&mut self, checks: usize) -> Result<()> {
        self.checks += checks;
        if self.checks < YIELD_EVERY {
            return Ok(());
        }
        self.checks = 0;
        if Instant::now() > self.deadline {
            return Err(AskError::Deadline.into());
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

impl Introspect {
    /// Introspects one token.
    pub async fn one(&self, caller: &Client, token: &str, asker: Asker, deadline: Instant) -> Result<Introspection> {
        let introspection = match self.verify.resolve(token, RowsFrom::AnyServer, deadline).await? {
            Some(resolved) => self.judge(caller, resolved),
            None if asker == Asker::Fallback => self.judge_foreign(caller, self.verify.verify_foreign(token, &mut 0)),
            None => self.judge_foreign(caller, self.verify.resolve_foreign(token, deadline).await?),
        };
        self.verify.views.fresh(deadline)?;
        self.count(&introspection);
        Ok(introspection)
    }

    /// Introspects tokens, in their order. The rows of the opaque ones are read in one round trip. What the other issuer does not answer
    /// affects only the tokens that it was asked about.
    pub async fn many(
        &self,
        caller: &Client,
        tokens: &[Cow<'_, str>],
        asker: Asker,
        deadline: Instant,
    ) -> Result<Vec<Introspection>> {
        let recorded = self.verify.recorded(tokens, deadline).await?;
        let mut introspections = vec![Introspection::Inactive; tokens.len()];
        let mut unknown = Vec::new();
        let mut turns = Turns { deadline, checks: 0 };
        for (index, token) in tokens.iter().enumerate() {
            let mut checks = 1;
            match self.verify.resolve_among(token, &recorded) {
                Some(resolved) => introspections[index] = self.judge(caller, resolved),
                None if self.verify.accepts_foreign() => match self.verify.verify_foreign(token, &mut checks) {
                    Some(verified) => introspections[index] = self.judge_foreign(caller, Some(verified)),
                    None if asker == Asker::Client => unknown.push(index),
                    None => {}
                },
                None => {}
            }
            turns.after(checks).await?;
        }
        // Together: each may wait for another server.
        let answered_by = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        let questions = unknown
            .iter()
            .map(|index| self.verify.ask_fallback(&tokens[*index], answered_by));
        for (index, answer) in unknown.iter().zip(join_all(questions).await) {
            introspections[*index] =
                answer.map_or(Introspection::Unanswered, |token| self.judge_foreign(caller, token));
        }
        self.verify.views.fresh(deadline)?;
        for introspection in &introspections {
            self.count(introspection);
        }
        Ok(introspections)
    }

    fn count(&self, introspection: &Introspection) {
        match introspection {
            Introspection::Active(_) | Introspection::Foreign(_) => self.verify.instruments.introspection(true),
            Introspection::Inactive => self.verify.instruments.introspection(false),
            Introspection::Unanswered => {}
        }
    }

    fn judge(&self, caller: &Client, token: ResolvedToken) -> Introspection {
        let claims = token.claims();
        if may_introspect(caller, &claims.client_id, [&claims.aud]) && self.verify.is_active(&token) {
            Introspection::Active(token)
        } else {
            Introspection::Inactive
        }
    }

    /// A token that is not of this server.
    fn judge_foreign(&self, caller: &Client, token: Option<ForeignToken>) -> Introspection {
        let active = token.filter(|token| {
            let claims = &token.claims;
            may_introspect(caller, &claims.client_id, &claims.aud) && self.verify.is_foreign_active(token)
        });
        active.map_or(Introspection::Inactive, |token| Introspection::Foreign(token.claims))
    }
}

/// `aud`: the audiences of the token.
fn may_introspect<'a>(caller: &Client, client_id: &str, aud: impl IntoIterator<Item = &'a Arc<str>>) -> bool {
    let introspected = &caller.introspection_audiences;
    *caller.client_id == *client_id || aud.into_iter().any(|aud| introspected.contains(aud))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_signature_verifications_yield_and_end_at_the_deadline() {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut turns = Turns { deadline, checks: 0 };
        let mut yields = 0;
        for _ in 0..100 {
            // One of these tokens is tried with two keys.
            let mut turn = std::pin::pin!(turns.after(2));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if turn.as_mut().poll(&mut context).is_pending() {
                yields += 1;
                assert!(turn.await.is_ok());
            }
        }
        assert_eq!(yields, 200 / YIELD_EVERY);
        turns.deadline = Instant::now();
        assert!(turns.after(YIELD_EVERY - 1).await.is_ok());
        assert!(turns.after(1).await.is_err());
    }
}

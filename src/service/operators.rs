//! Authenticates operators of the admin API. Rejected callers and rejected changes are logged and recorded; rejected callers are also
//! rate limited.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use oauth2_actors::audit_writer::{Failures, Rejection, RejectionKind, Source};
use oauth2_actors::metrics::OperatorRejection;
use oauth2_actors::runtime::clock::Clock;
use oauth2_store::model::{GrantType, Mode};
use serde_json::json;
use uuid::Uuid;

use super::buckets::Buckets;
use super::error::{Limit, LimitExceeded, Result, ServiceError};
use super::operator::{Operator, client_actor};
use super::rejections::{RejectedChange, RequestOrigin, bounded};
use super::verify::{ResolvedToken, RowsFrom, TokenState, Verify};
use crate::protocol::resource;
use crate::tokens::claims::Claims;
use crate::tokens::secret;

/// The scope that an access token needs.
pub const ADMIN_SCOPE: &str = "oauth2.admin";

/// Whether a scope has [`ADMIN_SCOPE`].
pub fn has_admin_scope(scope: &str) -> bool {
    scope.split(' ').any(|scope| scope == ADMIN_SCOPE)
}

/// The use case of operator authentication.
#[derive(Debug)]
pub struct Operators {
    /// SHA-256 of the static admin token, if there is one, and of the one that it replaces.
    pub admin_tokens: Vec<[u8; 32]>,
    /// Verifies access tokens.
    pub verify: Arc<Verify>,
    /// The buckets of failed authentications.
    pub buckets: Buckets,
    /// Whether those buckets are enforced.
    pub mode: Mode,
    /// Rejections on their way into the audit log.
    pub failures: Arc<Failures>,
}

/// Why a caller is no operator.
enum Denied {
    /// It presented nothing that makes it one, or a token that was issued here but does not.
    Rejected(OperatorRejection, Option<Presented>),
    /// It is not known whether it is one.
    Failed(ServiceError),
}

/// A token that was issued here.
struct Presented {
    client_id: Arc<str>,
    jti: Uuid,
}

impl From<ServiceError> for Denied {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error)
    }
}

impl Operators {
    /// The operator whose bearer token this is: the static admin token, or an active access token for this issuer with the scope
    /// `oauth2.admin`, of a client that is still registered for both and for its grant. `origin` is asked only for a rejection.
    pub async fn authenticate(
        &self,
        token: Option<&str>,
        origin: impl FnOnce() -> RequestOrigin,
        deadline: Instant,
    ) -> Result<Operator> {
        match self.judge(token, deadline).await {
            Ok(operator) => Ok(operator),
            Err(Denied::Failed(error)) => Err(error),
            Err(Denied::Rejected(reason, presented)) => Err(self.rejected(reason, presented.as_ref(), &origin())),
        }
    }

    async fn judge(&self, token: Option<&str>, deadline: Instant) -> std::result::Result<Operator, Denied> {
        let token = token.ok_or(Denied::Rejected(OperatorRejection::NoToken, None))?;
        let presented = secret::hash(token);
        let is_presented = |hash: &&[u8; 32]| verify_slices_are_equal(*hash, &presented).is_ok();
        if let Some(hash) = self.admin_tokens.iter().find(is_presented) {
            return Ok(Operator::admin(hash));
        }
        let resolved = self.verify.resolve(token, RowsFrom::Primary, deadline).await?;
        let resolved = resolved.ok_or(Denied::Rejected(OperatorRejection::UnknownToken, None))?;
        let claims = resolved.claims();
        let rejected = |reason| {
            // Whoever shares the secret may have made up every claim of such a token.
            let presented = (!resolved.is_by_shared_secret()).then(|| Presented {
                client_id: Arc::clone(&claims.client_id),
                jti: claims.jti,
            });
            Err(Denied::Rejected(reason, presented))
        };
        if let Some(reason) = self.reason(&resolved) {
            return rejected(reason);
        }
        self.verify.views.fresh(deadline)?;
        match self.missing_right(claims) {
            Some(reason) => rejected(reason),
            None => Ok(Operator::client(&claims.client_id, claims.jti)),
        }
    }

    /// Why a token is not accepted here, whatever its scope is.
    fn reason(&self, token: &ResolvedToken) -> Option<OperatorRejection> {
        let claims = token.claims();
        // Verifiers that share a secret could make themselves operators with it.
        if token.is_by_shared_secret() {
            return Some(OperatorRejection::SharedSecret);
        }
        match self.verify.state(token, None) {
            TokenState::Active => (claims.aud != self.verify.defaults.issuer).then_some(OperatorRejection::Audience),
            TokenState::Revoked => Some(OperatorRejection::Revoked),
            TokenState::Inactive if claims.exp <= self.now() => Some(OperatorRejection::Expired),
            TokenState::Inactive => Some(match self.verify.views.directory.client(&claims.client_id) {
                None => OperatorRejection::ClientDeleted,
                Some(client) if client.disabled => OperatorRejection::ClientDisabled,
                Some(_) => OperatorRejection::Inactive,
            }),
        }
    }

    /// The right that the token lacks, or its client as it is now: a token outlives the change that takes the grant, the scope or the
    /// audience from its client.
    fn missing_right(&self, claims: &Claims) -> Option<OperatorRejection> {
        let Some(client) = self.verify.views.directory.client(&claims.client_id) else {
            return Some(OperatorRejection::ClientDeleted);
        };
        // Every token was given to the client itself.
        if !client.grant_types.contains(&GrantType::ClientCredentials) {
            return Some(OperatorRejection::GrantWithdrawn);
        }
        let issuer = &self.verify.defaults.issuer;
        if resource::audience(Some(issuer), &client.audience, issuer).is_err() {
            return Some(OperatorRejection::AudienceWithdrawn);
        }
        if !has_admin_scope(&claims.scope) {
            Some(OperatorRejection::Scope)
        } else if !has_admin_scope(&client.scope) {
            Some(OperatorRejection::ScopeWithdrawn)
        } else {
            None
        }
    }

    /// Counts, logs and records a rejection, and limits what exceeds the bucket. The token was verified before: a right one is never
    /// rejected for the failures of others.
    fn rejected(
        &self,
        reason: OperatorRejection,
        presented: Option<&Presented>,
        origin: &RequestOrigin,
    ) -> ServiceError {
        use OperatorRejection as R;
        let instruments = &self.verify.instruments;
        instruments.operator_rejected(reason);
        let client_id = presented.map(|presented| &*presented.client_id);
        let jti = presented.map(|presented| presented.jti.to_string());
        let wait = self.buckets.record_operator_failure(client_id, origin.address);
        let source = Source {
            subject: client_id.map(str::to_owned),
            address: origin.address,
        };
        let request = bounded(&origin.request);
        let is_active = matches!(
            reason,
            R::Audience | R::AudienceWithdrawn | R::Scope | R::ScopeWithdrawn | R::GrantWithdrawn
        );
        let row = || {
            let (client_id, credential) = (client_id.unwrap_or_default(), jti.as_deref().unwrap_or_default());
            let (address, reason) = (origin.address, reason.as_str());
            tracing::warn!(%address, request, reason, client_id, credential, "rejected a request to the admin API");
            let mut detail = json!({"address": address, "request": request, "reason": reason});
            if let Some(jti) = &jti {
                detail["credential"] = json!(jti);
            }
            // The holder of an active token is its client; anyone may have found an expired or revoked one.
            Rejection {
                actor: if is_active {
                    client_actor(client_id)
                } else {
                    "server".to_owned()
                },
                target_kind: if client_id.is_empty() { "issuer" } else { "client" },
                target_id: client_id.to_owned(),
                detail,
            }
        };
        if !self.failures.record(RejectionKind::Operator, source, self.now(), row) {
            instruments.rejection_folded();
        }
        match wait {
            Some(retry_after) if self.mode == Mode::Enforce => ServiceError::LimitExceeded(Box::new(LimitExceeded {
                limit: Limit::AuthFailures,
                retry_after,
                status: Vec::new(),
            })),
            _ if matches!(reason, R::Scope | R::ScopeWithdrawn) => ServiceError::InsufficientScope,
            _ => ServiceError::InvalidToken,
        }
    }

    /// Records a change that an operator requested and that was rejected.
    pub fn change_rejected(&self, operator: &Operator, change: RejectedChange<'_>, address: IpAddr) {
        let source = Source {
            subject: Some(operator.actor().to_owned()),
            address,
        };
        let row = || change.to_row(operator, Some(address));
        if !self.failures.record(RejectionKind::Change, source, self.now(), row) {
            self.verify.instruments.rejection_folded();
        }
    }

    fn now(&self) -> i64 {
        (self.verify.clock.unix_ms() / 1000) as i64
    }
}

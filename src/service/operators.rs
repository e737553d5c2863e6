//! Authenticates operators: who may use the admin API.

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::error::{Result, ServiceError};
use super::operator::Operator;
use super::verify::Verify;
use crate::protocol::resource;
use crate::tokens::secret;

/// The scope that an access token needs.
pub const ADMIN_SCOPE: &str = "oauth2.admin";

/// The use case of operator authentication.
#[derive(Debug)]
pub struct Operators {
    /// SHA-256 of the static admin token, if there is one.
    pub admin_token: Option<[u8; 32]>,
    /// Verifies access tokens.
    pub verify: Arc<Verify>,
}

impl Operators {
    /// The operator whose bearer token this is: the static admin token, or an active access token for this issuer with the scope
    /// `oauth2.admin`, of a client that is still registered for both.
    pub async fn authenticate(&self, token: &str, deadline: Instant) -> Result<Operator> {
        let presented = secret::hash(token);
        if self
            .admin_token
            .is_some_and(|hash| verify_slices_are_equal(&hash, &presented).is_ok())
        {
            return Ok(Operator::admin());
        }
        let resolved = self
            .verify
            .resolve(token, deadline)
            .await?
            .ok_or(ServiceError::InvalidToken)?;
        let claims = resolved.claims();
        // Verifiers that share a secret could make themselves operators with it.
        if claims.aud != self.verify.defaults.issuer
            || resolved.is_by_shared_secret()
            || !self.verify.is_active(&resolved)
        {
            return Err(ServiceError::InvalidToken);
        }
        self.verify.views.fresh(deadline)?;
        // The client as it is now: a token outlives the change that takes the scope or the audience from its client.
        let client = self
            .verify
            .views
            .directory
            .client(&claims.client_id)
            .ok_or(ServiceError::InvalidToken)?;
        let issuer = &self.verify.defaults.issuer;
        if resource::audience(Some(issuer), &client.audience, issuer).is_err() {
            return Err(ServiceError::InvalidToken);
        }
        let has_scope = |scopes: &str| scopes.split(' ').any(|scope| scope == ADMIN_SCOPE);
        if !has_scope(&claims.scope) || !has_scope(&client.scope) {
            return Err(ServiceError::InsufficientScope);
        }
        Ok(Operator::client(&claims.client_id))
    }
}

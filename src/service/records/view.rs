//! The record of a token as the admin API and the command line show it.

use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::model::{StoredToken, TokenFormat};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::service::schema;

/// A recorded token; never the token itself. Times are Unix seconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedToken)]
pub struct RecordView<'a> {
    /// Token id.
    pub jti: Uuid,
    /// The client it was issued to.
    pub client_id: &'a str,
    /// The user it stands for; `null`: the client itself.
    pub user_id: Option<&'a str>,
    /// Granted scopes, space-separated.
    pub scope: &'a str,
    /// Audience.
    pub aud: &'a str,
    /// Format.
    #[schema(value_type = schema::TokenFormat)]
    pub token_format: TokenFormat,
    /// When it was issued.
    pub iat: i64,
    /// When it expires.
    pub exp: i64,
    /// Whether it is unexpired, not revoked, and its client enabled.
    pub active: bool,
}

impl<'a> RecordView<'a> {
    /// A row of the ledger.
    pub fn new(token: &'a StoredToken, active: bool) -> Self {
        Self {
            jti: token.record.jti,
            client_id: &token.record.client_id,
            user_id: token.user_id.as_deref(),
            scope: &token.record.scope,
            aud: &token.record.audience,
            token_format: token.record.format,
            // After the clock was set back, ids are ahead of it.
            iat: ((uuid_v7_ms(&token.record.jti) / 1000) as i64).min(token.record.expires_at - 1),
            exp: token.record.expires_at,
            active,
        }
    }
}

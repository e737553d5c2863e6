//! `/admin/v1/tokens`: records of tokens, and revocation of one token, a client's tokens, or all.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest, NotFoundError};
use crate::http::extract::{By, ClientId, PageQuery, TokenId, page_size, query};
use crate::http::response::json;
use crate::service::page::PageView;
use crate::service::records::Records;
use crate::service::records::view::RecordView;
use crate::service::revoke::{CutOff, Revoke};

/// Lists a client's unexpired recorded tokens, newest first.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}/tokens", operation_id = "listTokens", tag = "Tokens",
    params(ClientId, PageQuery),
    responses((status = 200, description = "A page of tokens.", body = PageView<RecordView>), AdminErrors, BadRequest, NotFoundError),
    security(("operator" = [])),
)]
pub async fn list(
    records: Data<Records>,
    request: HttpRequest,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    let PageQuery { limit, cursor } = query(&request, "limit (a number) and cursor")?;
    let page = records
        .list(&client_id, cursor.as_deref(), page_size(limit)?, admin_deadline())
        .await?;
    Ok(json(&PageView::new(&page, |token| {
        RecordView::new(token, records.is_active(token, None))
    })))
}

/// Shows the record of a token.
#[utoipa::path(
    get, path = "/admin/v1/tokens/{jti}", operation_id = "getToken", tag = "Tokens",
    params(TokenId),
    responses((status = 200, description = "The token.", body = RecordView), AdminErrors, BadRequest, NotFoundError),
    security(("operator" = [])),
)]
pub async fn show(records: Data<Records>, TokenId(token): TokenId) -> Result<HttpResponse, Failure> {
    let found = records.find(&token, admin_deadline()).await?;
    Ok(json(&RecordView::new(&found, records.is_active(&found, None))))
}

/// A revoked token.
#[derive(Serialize, ToSchema)]
struct RevokedToken {
    /// Token id.
    revoked: Uuid,
}

/// A revocation cut-off.
#[derive(Serialize, ToSchema)]
#[schema(as = CutOff)]
struct CutOffView {
    /// Tokens issued up to this time are revoked, Unix milliseconds.
    revoked_before_ms: u64,
}

/// Revokes one token by its id, recorded or not.
#[utoipa::path(
    post, path = "/admin/v1/tokens/{jti}/revoke", operation_id = "revokeTokenById", tag = "Tokens",
    params(TokenId),
    responses((status = 200, description = "The token is revoked.", body = RevokedToken), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn revoke(revoke: Data<Revoke>, By(operator): By, TokenId(token): TokenId) -> Result<HttpResponse, Failure> {
    let revoked = revoke.by_id(&operator, &token, admin_deadline()).await?;
    Ok(json(&RevokedToken { revoked }))
}

/// Revokes every token issued to a client so far.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/tokens:revoke-all", operation_id = "revokeTokensOfClient", tag = "Tokens",
    params(ClientId),
    responses((status = 200, description = "The tokens are revoked.", body = CutOffView), AdminErrors, NotFoundError),
    security(("operator" = [])),
)]
pub async fn revoke_all_of_client(
    revoke: Data<Revoke>,
    By(operator): By,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    cut_off(&revoke, By(operator), CutOff::Client(client_id)).await
}

/// Revokes every token that this issuer issued so far.
#[utoipa::path(
    post, path = "/admin/v1/tokens:revoke-all", operation_id = "revokeAllTokens", tag = "Tokens",
    responses((status = 200, description = "The tokens are revoked.", body = CutOffView), AdminErrors),
    security(("operator" = [])),
)]
pub async fn revoke_all(revoke: Data<Revoke>, By(operator): By) -> Result<HttpResponse, Failure> {
    cut_off(&revoke, By(operator), CutOff::Issuer).await
}

async fn cut_off(revoke: &Revoke, By(operator): By, whose: CutOff) -> Result<HttpResponse, Failure> {
    let revoked_before_ms = revoke.everything_of(&operator, whose, admin_deadline()).await?;
    Ok(json(&CutOffView { revoked_before_ms }))
}

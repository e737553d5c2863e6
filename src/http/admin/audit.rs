//! `GET /admin/v1/audit`: the audit log, newest row first.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest};
use crate::http::extract::{page_size, query};
use crate::http::response::json;
use crate::service::audit::{AuditLog, AuditQuery, AuditView};
use crate::service::page::PageView;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Not before this time: Unix seconds, or a time such as `2026-11-25T14:00:00Z`.
    since: Option<String>,
    /// Before this time.
    until: Option<String>,
    /// By or about this client.
    client_id: Option<String>,
    /// An action such as `client.create`, or the part before its dot, such as `client`.
    kind: Option<String>,
    /// By this actor, such as `client:ops`.
    actor: Option<String>,
    /// By this credential: the id of an access token, or another `credential` of a row.
    credential: Option<String>,
    /// By this token, or about it: its issuance by an operator, or its revocation.
    jti: Option<Uuid>,
    /// Rows per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists the audit log, newest row first.
#[utoipa::path(
    get, path = "/admin/v1/audit", operation_id = "listAudit", tag = "Audit",
    params(ListQuery),
    responses((status = 200, description = "A page of the log.", body = PageView<AuditView>), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn list(audit: Data<AuditLog>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: ListQuery = query(
        &request,
        "since, until, client_id, kind, actor, credential, jti (a UUID), limit (a number) and cursor",
    )?;
    let limit = page_size(query.limit)?;
    let jti = query.jti.map(|jti| jti.to_string());
    let filter = AuditQuery {
        since: query.since.as_deref(),
        until: query.until.as_deref(),
        client_id: query.client_id,
        kind: query.kind,
        actor: query.actor,
        credential: query.credential,
        jti: jti.as_deref(),
    }
    .filter()?;
    let page = audit
        .list(filter, query.cursor.as_deref(), limit, admin_deadline())
        .await?;
    Ok(json(&PageView::new(&page, AuditView::new)))
}

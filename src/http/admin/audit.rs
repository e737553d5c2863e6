//! `GET /admin/v1/audit`: who changed what, newest first.

use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::Page;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{App, Failure, answer_page, bad_request, deadline, page_size, query};
use crate::http::refusals::{OfOperators, OfQuestions};
use crate::oauth::audit::{self, AuditView};
use crate::oauth::view::ListView;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Not what was before: Unix seconds, or a time such as `2026-11-25T14:00:00Z`.
    since: Option<String>,
    /// Not what was at this time or after it.
    until: Option<String>,
    /// What this client did, and what was done to it.
    client_id: Option<String>,
    /// An action such as `client.create`, or what comes before its dot, such as `client`.
    kind: Option<String>,
    /// Rows of a page, 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists who changed what, newest first.
#[utoipa::path(
    get, path = "/admin/v1/audit", operation_id = "listAudit", tag = "Audit",
    params(Query),
    responses((status = 200, description = "A page of the log.", body = ListView<AuditView>), OfOperators, OfQuestions),
    security(("operator" = [])),
)]
pub async fn list(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: Query = query(&request, "since, until, client_id, kind, limit (a number) and cursor")?;
    let limit = page_size(query.limit)?;
    let filter = audit::filter(
        query.since.as_deref(),
        query.until.as_deref(),
        query.client_id,
        query.kind,
    );
    let filter = filter.map_err(bad_request)?;
    let place = audit::place(query.cursor.as_deref()).map_err(|why| bad_request(format!("the cursor {why}")))?;
    let rows = state
        .tokens
        .call(deadline(), move |store| async move {
            store.audit(&filter, place, limit + 1).await
        })
        .await?;
    Ok(answer_page(&Page::cut(rows, limit, audit::cursor), AuditView::new))
}

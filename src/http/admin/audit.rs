//! `GET /admin/v1/audit`: who changed what, newest first.

use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::Page;
use serde::Deserialize;

use super::{App, Failure, answer_page, bad_request, deadline, page_size, query};
use crate::oauth::audit::{self, AuditView};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    since: Option<String>,
    until: Option<String>,
    client_id: Option<String>,
    kind: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Lists rows.
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

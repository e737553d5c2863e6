//! `/admin/v1/cutoffs`: revocation cut-offs, and the correction of one that lies ahead of every token id.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest, ConflictError, NotFoundError};
use crate::http::extract::{By, PageQuery, page_size, query};
use crate::http::response::json;
use crate::service::cut_offs::{CutOffView, CutOffs};
use crate::service::error::ServiceError;
use crate::service::page::PageView;

/// The cut-off in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct CutOffPath {
    /// Id of the cut-off.
    #[param(value_type = i64, minimum = 1)]
    id: String,
}

/// Lists the revocation cut-offs whose tokens may be unexpired, newest first.
#[utoipa::path(
    get, path = "/admin/v1/cutoffs", operation_id = "listCutOffs", tag = "Tokens",
    params(PageQuery),
    responses((status = 200, description = "A page of cut-offs.", body = PageView<CutOffView>), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn list(cut_offs: Data<CutOffs>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let PageQuery { limit, cursor } = query(&request, "limit (a number) and cursor")?;
    let listed = cut_offs
        .list(cursor.as_deref(), page_size(limit)?, admin_deadline())
        .await?;
    Ok(json(&PageView::new(&listed.page, |row| {
        CutOffView::new(row, &listed.time)
    })))
}

/// Corrects a cut-off that revokes tokens that are issued now, because it was taken with a clock ahead of the store's. It then revokes the
/// tokens issued until now. Every node applies the correction within a second.
#[utoipa::path(
    post, path = "/admin/v1/cutoffs/{id}/correct", operation_id = "correctCutOff", tag = "Tokens",
    params(CutOffPath),
    responses(
        (status = 200, description = "The cut-off is corrected.", body = CutOffView),
        AdminErrors, BadRequest, NotFoundError, ConflictError,
    ),
    security(("operator" = [])),
)]
pub async fn correct(
    cut_offs: Data<CutOffs>,
    By(operator): By,
    path: Path<CutOffPath>,
) -> Result<HttpResponse, Failure> {
    let id = path.id.parse().ok().filter(|id| *id > 0);
    let id = id.ok_or_else(|| ServiceError::parameter("id", "must be the id of a cut-off"))?;
    let (cut_off, time) = cut_offs.correct(&operator, id, admin_deadline()).await?;
    Ok(json(&CutOffView::new(&cut_off, &time)))
}

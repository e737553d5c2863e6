//! `/admin/v1/groups`: limits of groups of clients, and what groups are charged for.

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::client_usage::TopQuery;
use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest, BodyErrors, NotFoundError};
use crate::http::extract::{By, admin_body, page_size, path_parameter, query};
use crate::http::response::json;
use crate::service::error::ServiceError;
use crate::service::groups::charges::{self, Charge, ChargeQuery};
use crate::service::groups::{GroupRequest, GroupView, Groups};
use crate::service::page::PageView;
use crate::service::quotas::QuotaControl;
use crate::service::quotas::view::QuotaView;

/// The group in the path, percent-decoded.
#[derive(Debug, IntoParams)]
#[into_params(names("group"), parameter_in = Path)]
pub struct GroupName(
    /// Name of the group.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
    #[expect(dead_code, reason = "describes the parameter")]
    String,
);

/// The limits of a group, and what its clients used.
#[derive(Serialize, ToSchema)]
#[schema(as = GroupWithUsage)]
struct ShownGroup<'a> {
    #[serde(flatten)]
    group: GroupView<'a>,
    /// What all its clients used together of each quota.
    usage: Vec<QuotaView>,
}

/// Lists the groups that have limits, by name. A group without limits needs no entry.
#[utoipa::path(
    get, path = "/admin/v1/groups", operation_id = "listGroups", tag = "Groups",
    responses((status = 200, description = "The groups.", body = PageView<GroupView>), AdminErrors),
    security(("operator" = [])),
)]
pub async fn list(groups: Data<Groups>) -> Result<HttpResponse, Failure> {
    let groups = groups.list(admin_deadline()).await?;
    Ok(json(&PageView::only(groups.iter().map(GroupView::new).collect())))
}

/// Shows the limits of a group, and what its clients used of its quotas together.
#[utoipa::path(
    get, path = "/admin/v1/groups/{group}", operation_id = "getGroup", tag = "Groups",
    params(GroupName),
    responses((status = 200, description = "The group.", body = ShownGroup), AdminErrors, NotFoundError),
    security(("operator" = [])),
)]
pub async fn show(groups: Data<Groups>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (name, deadline) = (path_parameter(&request), admin_deadline());
    let group = groups.find(&name, deadline).await?;
    let usage = groups.usage(&group, deadline).await?;
    Ok(json(&ShownGroup {
        group: GroupView::new(&group),
        usage,
    }))
}

/// Sets the limits of a group, in place of those that it had. A quota that is enforced cannot be less than what is used of it.
#[utoipa::path(
    put, path = "/admin/v1/groups/{group}", operation_id = "setGroup", tag = "Groups",
    params(GroupName), request_body = GroupRequest,
    responses((status = 200, description = "The group.", body = GroupView), AdminErrors, BodyErrors),
    security(("operator" = [])),
)]
pub async fn set(
    groups: Data<Groups>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let limits: GroupRequest = admin_body(&request, payload).await?;
    let name = path_parameter(&request);
    let group = groups.set(&operator, &name, &limits, admin_deadline()).await?;
    Ok(json(&GroupView::new(&group)))
}

/// Removes the limits of a group. Its clients stay in it.
#[utoipa::path(
    delete, path = "/admin/v1/groups/{group}", operation_id = "deleteGroup", tag = "Groups",
    params(GroupName),
    responses((status = 204, description = "The group has no limits."), AdminErrors, NotFoundError),
    security(("operator" = [])),
)]
pub async fn delete(groups: Data<Groups>, By(operator): By, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let name = path_parameter(&request);
    groups.delete(&operator, &name, admin_deadline()).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// First day (UTC), such as `2026-11-01`; by default the first of this month.
    from: Option<String>,
    /// Last day; by default today.
    until: Option<String>,
    /// `day` or `month`, the default.
    by: Option<String>,
    /// Of this group only.
    group: Option<String>,
    /// `json`, the default, or `csv`.
    format: Option<String>,
}

/// Lists the tokens that groups are charged for, by day or month. Kept for 13 months.
#[utoipa::path(
    get, path = "/admin/v1/groups:usage", operation_id = "listGroupUsage", tag = "Groups",
    params(UsageQuery),
    responses(
        (status = 200, description = "The tokens, by period and group.", content(
            (PageView<Charge> = "application/json"), (String = "text/csv"),
        )),
        AdminErrors, BadRequest,
    ),
    security(("operator" = [])),
)]
pub async fn usage(groups: Data<Groups>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let asked: UsageQuery = query(&request, "from, until, by, group and format")?;
    let is_csv = match asked.format.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(ServiceError::parameter("format", "must be json or csv").into()),
    };
    let query = ChargeQuery {
        from: asked.from.as_deref(),
        until: asked.until.as_deref(),
        by: asked.by.as_deref(),
        group: asked.group.as_deref(),
    };
    let charges = groups.charges(query, admin_deadline()).await?;
    if !is_csv {
        return Ok(json(&PageView::only(charges)));
    }
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
        .body(charges::csv(&charges)?))
}

/// A group and the number of its clients' unexpired tokens.
#[derive(Serialize, ToSchema)]
struct GroupHolder {
    /// The group.
    group: String,
    /// Unexpired tokens of its clients.
    still_valid_tokens: u64,
}

/// Lists the groups whose clients have the most unexpired tokens, as this node knows them.
#[utoipa::path(
    get, path = "/admin/v1/groups:top", operation_id = "topGroups", tag = "Groups",
    params(TopQuery),
    responses((status = 200, description = "The groups, most tokens first.", body = PageView<GroupHolder>), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn top(quotas: Data<QuotaControl>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: TopQuery = query(&request, "limit (a number)")?;
    let limit = page_size(query.limit.or(Some(20)))?;
    let top = quotas.top_groups(limit, admin_deadline()).await?;
    let holder = |(group, still_valid_tokens): (std::sync::Arc<str>, u64)| GroupHolder {
        group: group.to_string(),
        still_valid_tokens,
    };
    Ok(json(&PageView::only(top.into_iter().map(holder).collect())))
}

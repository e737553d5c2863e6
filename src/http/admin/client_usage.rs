//! `/admin/v1/clients/{client_id}/usage` and `/admin/v1/clients:top`: what clients used of their quotas, and which have the most
//! unexpired tokens.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::Mode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest, NotFoundError};
use crate::http::extract::{ClientId, page_size, query};
use crate::http::response::json;
use crate::service::page::PageView;
use crate::service::quotas::QuotaControl;
use crate::service::quotas::view::QuotaView;
use crate::service::schema;

/// What a client used.
#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageView {
    /// The client.
    client_id: String,
    /// Whether its quotas are enforced or only counted.
    #[schema(value_type = schema::Mode)]
    quota_mode: Mode,
    /// Each window of its quotas.
    quotas: Vec<QuotaView>,
    /// Its unexpired tokens.
    still_valid_tokens: u64,
}

/// Shows what a client used of its quotas: the counts of all nodes a quarter of a second ago, and this node's now.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}/usage", operation_id = "getClientUsage", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "What it used.", body = UsageView), AdminErrors, NotFoundError),
    security(("operator" = [])),
)]
pub async fn show(quotas: Data<QuotaControl>, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    let usage = quotas.usage(&client_id, admin_deadline()).await?;
    Ok(json(&UsageView {
        quota_mode: usage.mode,
        quotas: QuotaView::all(&usage),
        still_valid_tokens: quotas.unexpired_tokens(&client_id),
        client_id,
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TopQuery {
    /// Items, 20 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TopClientsQuery {
    /// Clients, 20 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Of this group only.
    group: Option<String>,
}

/// A client and the number of its unexpired tokens.
#[derive(Serialize, ToSchema)]
struct Holder {
    /// The client.
    client_id: String,
    /// Its unexpired tokens.
    still_valid_tokens: u64,
}

/// Lists the clients with the most unexpired tokens, as this node knows them.
#[utoipa::path(
    get, path = "/admin/v1/clients:top", operation_id = "topClients", tag = "Clients",
    params(TopClientsQuery),
    responses((status = 200, description = "The clients, most tokens first.", body = PageView<Holder>), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn top(quotas: Data<QuotaControl>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: TopClientsQuery = query(&request, "limit (a number) and group")?;
    let limit = page_size(query.limit.or(Some(20)))?;
    let holder = |(client_id, still_valid_tokens): (std::sync::Arc<str>, u64)| Holder {
        client_id: client_id.to_string(),
        still_valid_tokens,
    };
    let top = quotas.top(limit, query.group, admin_deadline()).await?;
    Ok(json(&PageView::only(top.into_iter().map(holder).collect())))
}

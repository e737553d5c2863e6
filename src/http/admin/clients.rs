//! `/admin/v1/clients`: registered clients.

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest, BodyErrors, ConflictError, NotFoundError};
use crate::http::extract::{By, ClientId, admin_body, page_size, query};
use crate::http::response::json;
use crate::service::clients::metadata::{ClientRequest, ClientView};
use crate::service::clients::{Clients, DEFAULT_OVERLAP};
use crate::service::page::PageView;

/// Registers a client; its secret is only in this response.
#[utoipa::path(
    post, path = "/admin/v1/clients", operation_id = "createClient", tag = "Clients",
    request_body = ClientRequest,
    responses((status = 201, description = "The client, with its secret.", body = ClientView), AdminErrors, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn create(
    clients: Data<Clients>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let client: ClientRequest = admin_body(&request, payload).await?;
    let registered = clients.create(&operator, &client, admin_deadline()).await?;
    let mut response = HttpResponse::Created();
    let body = ClientView::new(&registered.client, Some(&registered.secret));
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Prefix of the client ids.
    prefix: Option<String>,
    /// Clients per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists clients by id.
#[utoipa::path(
    get, path = "/admin/v1/clients", operation_id = "listClients", tag = "Clients",
    params(ListQuery),
    responses((status = 200, description = "A page of clients.", body = PageView<ClientView>), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn list(clients: Data<Clients>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: ListQuery = query(&request, "prefix, limit (a number) and cursor")?;
    let limit = page_size(query.limit)?;
    let prefix = query.prefix.unwrap_or_default();
    let page = clients
        .list(&prefix, query.cursor.as_deref(), limit, admin_deadline())
        .await?;
    Ok(json(&PageView::new(&page, |client| ClientView::new(client, None))))
}

/// Shows a client.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}", operation_id = "getClient", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "The client.", body = ClientView), AdminErrors, NotFoundError),
    security(("operator" = [])),
)]
pub async fn show(clients: Data<Clients>, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    let client = clients.find(&client_id, admin_deadline()).await?;
    Ok(json(&ClientView::new(&client, None)))
}

/// Updates the named members (RFC 7396: `null` restores the server's default).
#[utoipa::path(
    patch, path = "/admin/v1/clients/{client_id}", operation_id = "updateClient", tag = "Clients",
    params(ClientId),
    request_body = ClientRequest,
    responses((status = 200, description = "The updated client.", body = ClientView), AdminErrors, NotFoundError, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn update(
    clients: Data<Clients>,
    By(operator): By,
    request: HttpRequest,
    ClientId(client_id): ClientId,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let patch: ClientRequest = admin_body(&request, payload).await?;
    let client = clients.update(&operator, &client_id, &patch, admin_deadline()).await?;
    Ok(json(&ClientView::new(&client, None)))
}

/// Disables a client: it gets no tokens, and its tokens are inactive.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/disable", operation_id = "disableClient", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "The updated client.", body = ClientView), AdminErrors, NotFoundError, ConflictError),
    security(("operator" = [])),
)]
pub async fn disable(
    clients: Data<Clients>,
    By(operator): By,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    let client = clients
        .set_disabled(&operator, &client_id, true, admin_deadline())
        .await?;
    Ok(json(&ClientView::new(&client, None)))
}

/// Enables a disabled client.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/enable", operation_id = "enableClient", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "The updated client.", body = ClientView), AdminErrors, NotFoundError, ConflictError),
    security(("operator" = [])),
)]
pub async fn enable(
    clients: Data<Clients>,
    By(operator): By,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    let client = clients
        .set_disabled(&operator, &client_id, false, admin_deadline())
        .await?;
    Ok(json(&ClientView::new(&client, None)))
}

/// Deletes a client and revokes its tokens permanently.
#[utoipa::path(
    delete, path = "/admin/v1/clients/{client_id}", operation_id = "deleteClient", tag = "Clients",
    params(ClientId),
    responses((status = 204, description = "The client is deleted."), AdminErrors, NotFoundError, ConflictError),
    security(("operator" = [])),
)]
pub async fn delete(
    clients: Data<Clients>,
    By(operator): By,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    clients.delete(&operator, &client_id, admin_deadline()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// How a secret is rotated.
#[derive(Deserialize, ToSchema)]
#[schema(as = SecretRotation)]
#[serde(deny_unknown_fields)]
struct SecretRotation {
    /// Seconds for which the previous secrets remain valid, 3600 by default.
    #[schema(maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
}

/// Gives a client a new secret; the previous ones remain valid for the overlap.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/rotate-secret", operation_id = "rotateClientSecret", tag = "Clients",
    params(ClientId),
    request_body = SecretRotation,
    responses((status = 200, description = "The client, with its new secret.", body = ClientView), AdminErrors, NotFoundError, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn rotate_secret(
    clients: Data<Clients>,
    By(operator): By,
    request: HttpRequest,
    ClientId(client_id): ClientId,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let rotation: SecretRotation = admin_body(&request, payload).await?;
    let overlap = rotation.overlap_seconds.map_or(DEFAULT_OVERLAP, i64::from);
    let (client, secret) = clients
        .rotate_secret(&operator, &client_id, overlap, admin_deadline())
        .await?;
    Ok(json(&ClientView::new(&client, Some(&secret))))
}

//! `/admin/v1/clients`: registered clients.

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use oauth2_store::model::Client;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::admin_deadline;
use crate::http::conditions::{Condition, etag, is_known};
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BadRequest, BodyErrors, ConflictError, NotFoundError, VersionErrors};
use crate::http::extract::{By, ClientId, admin_body, page_size, path_parameter, query};
use crate::http::response::json;
use crate::service::clients::metadata::{ClientRequest, ClientView};
use crate::service::clients::put::Put;
use crate::service::clients::{ClientFilter, Clients, DEFAULT_OVERLAP};
use crate::service::page::PageView;

/// A client in a response, with its `ETag`.
fn respond(client: &Client, secret: Option<&str>, mut response: HttpResponseBuilder) -> HttpResponse {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(etag(client))
        .json(ClientView::new(client, secret))
}

fn ok(client: &Client) -> HttpResponse {
    respond(client, None, HttpResponse::Ok())
}

/// Registers a client; its secret is only in this response.
#[utoipa::path(
    post, path = "/admin/v1/clients", operation_id = "createClient", tag = "Clients",
    request_body = ClientRequest,
    responses((status = 201, description = "The client, with its secret.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))), AdminErrors, BodyErrors, ConflictError),
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
    let response = HttpResponse::Created();
    Ok(respond(&registered.client, registered.secret.as_deref(), response))
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
    /// Only clients with a secret that is verified by another product's slow hash: it was not presented yet, or is too weak for a fast one.
    #[serde(default)]
    slow_secrets: bool,
}

/// Lists clients by id.
#[utoipa::path(
    get, path = "/admin/v1/clients", operation_id = "listClients", tag = "Clients",
    params(ListQuery),
    responses((status = 200, description = "A page of clients.", body = PageView<ClientView>), AdminErrors, BadRequest),
    security(("operator" = [])),
)]
pub async fn list(clients: Data<Clients>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: ListQuery = query(
        &request,
        "prefix, limit (a number), cursor and slow_secrets (true or false)",
    )?;
    let limit = page_size(query.limit)?;
    let filter = ClientFilter {
        prefix: query.prefix.as_deref().unwrap_or_default(),
        slow_secrets: query.slow_secrets,
    };
    let page = clients
        .list(filter, query.cursor.as_deref(), limit, admin_deadline())
        .await?;
    Ok(json(&PageView::new(&page, |client| ClientView::new(client, None))))
}

/// Shows a client.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}", operation_id = "getClient", tag = "Clients",
    params(ClientId, ("If-None-Match" = Option<String>, Header, description = "`ETag` of the client that the caller has.")),
    responses(
        (status = 200, description = "The client.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))),
        (status = 304, description = "The client has the version of `If-None-Match`."),
        AdminErrors, NotFoundError,
    ),
    security(("operator" = [])),
)]
pub async fn show(
    clients: Data<Clients>,
    request: HttpRequest,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    let client = clients.find(&client_id, admin_deadline()).await?;
    if is_known(&request, &client) {
        return Ok(HttpResponse::NotModified().insert_header(etag(&client)).finish());
    }
    Ok(ok(&client))
}

/// Creates a client with this id, or makes it what the body says: what it leaves out gets the server's default. Secrets stay; the secret
/// of a new client is only in the response that creates it. The answer of `GET` is a valid body, and changes nothing.
#[utoipa::path(
    put, path = "/admin/v1/clients/{client_id}", operation_id = "putClient", tag = "Clients",
    params(
        ClientId,
        ("If-Match" = Option<String>, Header, description = "`ETag` of the client that the change is based on, or `*`: only replace."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only create."),
    ),
    request_body = ClientRequest,
    responses(
        (status = 200, description = "The client as it is now.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))),
        (status = 201, description = "The new client, with its secret.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))),
        AdminErrors, BodyErrors, VersionErrors,
    ),
    security(("operator" = [])),
)]
pub async fn put(
    clients: Data<Clients>,
    By(operator): By,
    request: HttpRequest,
    Condition(condition): Condition,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let wanted: ClientRequest = admin_body(&request, payload).await?;
    // Not as elsewhere: an id that no client can have is an error of the request that names it.
    let client_id = path_parameter(&request);
    let put = clients
        .put(&operator, &client_id, &wanted, &condition, admin_deadline())
        .await?;
    Ok(match &put {
        Put::Created(client, secret) => respond(client, secret.as_deref(), HttpResponse::Created()),
        Put::Replaced(client) | Put::Unchanged(client) => ok(client),
    })
}

/// Updates the named members (RFC 7396: `null` restores the server's default).
#[utoipa::path(
    patch, path = "/admin/v1/clients/{client_id}", operation_id = "updateClient", tag = "Clients",
    params(ClientId, ("If-Match" = Option<String>, Header, description = "`ETag` of the client that the change is based on, or `*`.")),
    request_body = ClientRequest,
    responses((status = 200, description = "The updated client.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))), AdminErrors, NotFoundError, BodyErrors, VersionErrors),
    security(("operator" = [])),
)]
pub async fn update(
    clients: Data<Clients>,
    By(operator): By,
    request: HttpRequest,
    ClientId(client_id): ClientId,
    Condition(condition): Condition,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let patch: ClientRequest = admin_body(&request, payload).await?;
    let client = clients
        .update(&operator, &client_id, &patch, &condition, admin_deadline())
        .await?;
    Ok(ok(&client))
}

/// Disables a client: it gets no tokens, and its tokens are inactive.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/disable", operation_id = "disableClient", tag = "Clients",
    params(ClientId, ("If-Match" = Option<String>, Header, description = "`ETag` of the client that the change is based on, or `*`.")),
    responses((status = 200, description = "The updated client.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))), AdminErrors, BadRequest, NotFoundError, VersionErrors),
    security(("operator" = [])),
)]
pub async fn disable(
    clients: Data<Clients>,
    By(operator): By,
    ClientId(client_id): ClientId,
    Condition(condition): Condition,
) -> Result<HttpResponse, Failure> {
    let client = clients
        .set_disabled(&operator, &client_id, true, &condition, admin_deadline())
        .await?;
    Ok(ok(&client))
}

/// Enables a disabled client.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/enable", operation_id = "enableClient", tag = "Clients",
    params(ClientId, ("If-Match" = Option<String>, Header, description = "`ETag` of the client that the change is based on, or `*`.")),
    responses((status = 200, description = "The updated client.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))), AdminErrors, BadRequest, NotFoundError, VersionErrors),
    security(("operator" = [])),
)]
pub async fn enable(
    clients: Data<Clients>,
    By(operator): By,
    ClientId(client_id): ClientId,
    Condition(condition): Condition,
) -> Result<HttpResponse, Failure> {
    let client = clients
        .set_disabled(&operator, &client_id, false, &condition, admin_deadline())
        .await?;
    Ok(ok(&client))
}

/// Deletes a client and revokes its tokens permanently.
#[utoipa::path(
    delete, path = "/admin/v1/clients/{client_id}", operation_id = "deleteClient", tag = "Clients",
    params(ClientId, ("If-Match" = Option<String>, Header, description = "`ETag` of the client that the change is based on, or `*`.")),
    responses((status = 204, description = "The client is deleted."), AdminErrors, BadRequest, NotFoundError, VersionErrors),
    security(("operator" = [])),
)]
pub async fn delete(
    clients: Data<Clients>,
    By(operator): By,
    ClientId(client_id): ClientId,
    Condition(condition): Condition,
) -> Result<HttpResponse, Failure> {
    clients
        .delete(&operator, &client_id, &condition, admin_deadline())
        .await?;
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
    responses((status = 200, description = "The client, with its new secret.", body = ClientView, headers(("ETag" = String, description = "The version of the client."))), AdminErrors, NotFoundError, BodyErrors, ConflictError),
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
    Ok(respond(&client, Some(&secret), HttpResponse::Ok()))
}

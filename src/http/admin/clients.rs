//! `/admin/v1/clients`: registered clients.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{Client, Revocation, RevocationTarget};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    App, ClientId, Failure, NO_SUCH_CLIENT, Operator, State, answer, answer_page, bad_request, deadline, page_size,
    place, query, read, usage,
};
use crate::http::refusals::{OfBodies, OfChanges, OfNames, OfOperators, OfQuestions};
use crate::oauth::cursor;
use crate::oauth::registration::{self, ClientRequest, Fresh, Invalid};
use crate::oauth::view::{CLIENTS, ClientView, ListView};
use crate::tokens::secret;

/// Seconds during which the old secret still works after a rotation that does not say.
const DEFAULT_OVERLAP: i64 = 3600;

/// The longest such time: 30 days.
const LONGEST_OVERLAP: i64 = 30 * 86_400;

impl From<Invalid> for Failure {
    fn from(error: Invalid) -> Self {
        Self::BadRequest("invalid_client_metadata", error.to_string())
    }
}

/// Registers a client; the answer is the only one that holds its secret.
#[utoipa::path(
    post, path = "/admin/v1/clients", operation_id = "createClient", tag = "Clients",
    request_body = ClientRequest,
    responses((status = 201, description = "The client, with its secret.", body = ClientView), OfOperators, OfBodies, OfChanges),
    security(("operator" = [])),
)]
pub async fn create(
    state: App,
    operator: Operator,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let asked: ClientRequest = read(&request, payload).await?;
    let fresh = Fresh::generate().map_err(|_| Failure::Unavailable("internal"))?;
    let registered = registration::register(&asked, &state.registration_defaults(), fresh, state.now())?;
    let client = registered.client;
    let id = client.client_id.to_string();
    if stored(&state, id.clone()).await.is_ok() {
        // As the store says it, before a key is made for a client that is none.
        return Err(Failure::Conflict(format!("the client {id} exists already")));
    }
    state.ensure_key(client.signing_alg, &operator, deadline()).await?;
    let audit = operator.audit(
        "client.create",
        json!({"scope": &*client.scope, "grant_types": &*client.grant_types}),
    );
    let (stored, cutoff_ms) = (client.clone(), uuid_v7_ms(&state.ids.new_id()?));
    let had_a_predecessor = state
        .tokens
        .change(deadline(), move |store| async move {
            store.create_client(&stored, cutoff_ms, &audit).await
        })
        .await?;
    if had_a_predecessor {
        let target = RevocationTarget::Client(client.client_id.to_string());
        state.enforce(Revocation { target, cutoff_ms }, deadline()).await?;
    }
    let mut response = HttpResponse::Created();
    let body = ClientView::new(&client, Some(&registered.secret));
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// What their ids begin with.
    prefix: Option<String>,
    /// Clients of a page, 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists clients by id.
#[utoipa::path(
    get, path = "/admin/v1/clients", operation_id = "listClients", tag = "Clients",
    params(Query),
    responses((status = 200, description = "A page of clients.", body = ListView<ClientView>), OfOperators, OfQuestions),
    security(("operator" = [])),
)]
pub async fn list(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: Query = query(&request, "prefix, limit (a number) and cursor")?;
    let limit = page_size(query.limit)?;
    let prefix = query.prefix.unwrap_or_default();
    registration::check_prefix(&prefix).map_err(bad_request)?;
    let cursor = query.cursor.map(|cursor| place(CLIENTS, &cursor)).transpose()?;
    let mut page = state
        .tokens
        .call(deadline(), move |store| async move {
            store.list_clients(&prefix, cursor.as_deref(), limit).await
        })
        .await?;
    page.next = page.next.map(|next| cursor::encode(CLIENTS, &next));
    Ok(answer_page(&page, |client| ClientView::new(client, None)))
}

/// Shows a client.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}", operation_id = "getClient", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "The client.", body = ClientView), OfOperators, OfNames),
    security(("operator" = [])),
)]
pub async fn show(state: App, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    Ok(answer(&ClientView::new(&stored(&state, client_id).await?, None)))
}

/// Changes what the body names (RFC 7396: `null` goes back to the server's default).
#[utoipa::path(
    patch, path = "/admin/v1/clients/{client_id}", operation_id = "updateClient", tag = "Clients",
    params(ClientId),
    request_body = ClientRequest,
    responses((status = 200, description = "The client as it is now.", body = ClientView), OfOperators, OfNames, OfBodies, OfChanges),
    security(("operator" = [])),
)]
pub async fn update(
    state: App,
    operator: Operator,
    request: HttpRequest,
    ClientId(client_id): ClientId,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let update: ClientRequest = read(&request, payload).await?;
    let client = stored(&state, client_id).await?;
    let changed = registration::update(&update, &client, &state.registration_defaults())?;
    usage::check(&state, &client, &changed)?;
    write(&state, &operator, changed).await
}

/// Disables a client: it gets no tokens, and those it has are not active.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/disable", operation_id = "disableClient", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "The client as it is now.", body = ClientView), OfOperators, OfNames, OfChanges),
    security(("operator" = [])),
)]
pub async fn disable(state: App, operator: Operator, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    set_disabled(&state, &operator, client_id, true).await
}

/// Enables a client again.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/enable", operation_id = "enableClient", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "The client as it is now.", body = ClientView), OfOperators, OfNames, OfChanges),
    security(("operator" = [])),
)]
pub async fn enable(state: App, operator: Operator, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    set_disabled(&state, &operator, client_id, false).await
}

async fn set_disabled(
    state: &State,
    operator: &Operator,
    client_id: String,
    disabled: bool,
) -> Result<HttpResponse, Failure> {
    let client = stored(state, client_id).await?;
    write(state, operator, Client { disabled, ..client }).await
}

async fn write(state: &State, operator: &Operator, client: Client) -> Result<HttpResponse, Failure> {
    state.ensure_key(client.signing_alg, operator, deadline()).await?;
    let audit = operator.audit(
        "client.update",
        json!({"disabled": client.disabled, "scope": &*client.scope}),
    );
    let (now, row) = (state.now(), client.clone());
    let found = state
        .tokens
        .change(deadline(), move |store| async move {
            store.update_client(&row, now, &audit).await
        })
        .await?;
    if found {
        Ok(answer(&ClientView::new(&client, None)))
    } else {
        Err(NO_SUCH_CLIENT)
    }
}

/// Deletes a client; its tokens are dead for good.
#[utoipa::path(
    delete, path = "/admin/v1/clients/{client_id}", operation_id = "deleteClient", tag = "Clients",
    params(ClientId),
    responses((status = 204, description = "It is gone."), OfOperators, OfNames, OfChanges),
    security(("operator" = [])),
)]
pub async fn delete(state: App, operator: Operator, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    let audit = operator.audit("client.delete", json!({}));
    // No earlier than any token minted here, even if the clock was set back.
    let cutoff_ms = uuid_v7_ms(&state.ids.new_id()?);
    let target = RevocationTarget::Client(client_id.clone());
    let found = state
        .tokens
        .change(deadline(), move |store| async move {
            store.delete_client(&client_id, cutoff_ms, &audit).await
        })
        .await?;
    if !found {
        return Err(NO_SUCH_CLIENT);
    }
    // A client that is given the same name next must not find the tokens of this one alive.
    state.enforce(Revocation { target, cutoff_ms }, deadline()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// How a secret is changed.
#[derive(Deserialize, ToSchema)]
#[schema(as = SecretRotation)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// For how long those it had still work, an hour where nothing is said.
    #[schema(maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
}

/// Gives a client a new secret; those it had work for the overlap yet.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/rotate-secret", operation_id = "rotateClientSecret", tag = "Clients",
    params(ClientId),
    request_body = Rotation,
    responses((status = 200, description = "The client, with its new secret.", body = ClientView), OfOperators, OfNames, OfBodies, OfChanges),
    security(("operator" = [])),
)]
pub async fn rotate_secret(
    state: App,
    operator: Operator,
    request: HttpRequest,
    ClientId(client_id): ClientId,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let rotation: Rotation = read(&request, payload).await?;
    let client_id: Arc<str> = client_id.into();
    let secret = secret::generate_client_secret().map_err(|_| Failure::Unavailable("internal"))?;
    let (hash, now) = (secret::hash(&secret), state.now());
    let overlap = rotation.overlap_seconds.map_or(DEFAULT_OVERLAP, i64::from);
    if overlap > LONGEST_OVERLAP {
        return Err(bad_request(format!(
            "overlap_seconds must be at most {LONGEST_OVERLAP}"
        )));
    }
    let audit = operator.audit("client.rotate_secret", json!({"overlap_seconds": overlap}));
    let id = Arc::clone(&client_id);
    let found = state
        .tokens
        .change(deadline(), move |store| async move {
            store.rotate_secret(&id, &hash, now + overlap, now, &audit).await
        })
        .await?;
    if !found {
        return Err(NO_SUCH_CLIENT);
    }
    let client = stored(&state, client_id.to_string()).await?;
    Ok(answer(&ClientView::new(&client, Some(&secret))))
}

async fn stored(state: &State, client_id: String) -> Result<Client, Failure> {
    let found = state
        .tokens
        .call(deadline(), move |store| async move { store.client(&client_id).await })
        .await?;
    found.ok_or(NO_SUCH_CLIENT)
}

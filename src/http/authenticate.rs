//! Which client a request comes from.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use oauth2_actors::model::Client;

use super::State;
use super::error::Failure;
use crate::oauth::client_auth::{Authorization, Credentials};
use crate::oauth::error::Error;
use crate::oauth::form::Form;

/// Authenticates a form request.
pub fn by_form(state: &State, request: &HttpRequest, form: &Form<'_>) -> Result<Arc<Client>, Failure> {
    let header = authorization(request)?;
    let credentials = Credentials::find(header.as_ref(), form)?;
    verify(state, request, &credentials)
}

/// Authenticates a request whose body is not a form: by its header.
pub fn by_header(state: &State, request: &HttpRequest) -> Result<Arc<Client>, Failure> {
    let header = authorization(request)?.ok_or(Credentials::MISSING)?;
    let credentials = Credentials::of(&header)?;
    verify(state, request, &credentials)
}

/// The `Authorization` header; two of them are two ways of authentication.
fn authorization(request: &HttpRequest) -> Result<Option<Authorization>, Error> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let first = values.next().map(|value| Authorization::read(value.as_bytes()));
    if values.next().is_some() {
        return Err(Error::invalid_request("the Authorization header is repeated"));
    }
    Ok(first)
}

fn verify(state: &State, request: &HttpRequest, credentials: &Credentials<'_>) -> Result<Arc<Client>, Failure> {
    let client = state.directory.client(&credentials.client_id);
    credentials.verify(client, state.now()).map_err(|refused| {
        // A directory that was never loaded knows nobody: that is ours, not the client's.
        if state.directory.freshness().age().is_none() {
            return Failure::Unavailable("stale");
        }
        let address = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
        let decision = state.limits.load().failure(&credentials.client_id, address);
        state.instruments.auth_failure(decision);
        refused.into()
    })
}

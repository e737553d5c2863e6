//! Which client a request comes from.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use oauth2_actors::model::{Client, Mode};

use super::error::{AUTH_FAILURES, Failure};
use super::limits::Refusal;
use super::{State, client_address};
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
        failed(state, request, credentials, refused)
    })
}

/// Counts a failure, and refuses what passes the bucket. The secret was looked at before: the right one is never refused, so
/// nobody can shut a client out by failing in its name.
fn failed(state: &State, request: &HttpRequest, credentials: &Credentials<'_>, refused: Error) -> Failure {
    let (address, ignored) = client_address::of(request, &state.trusted_proxies);
    if let Some(why) = ignored {
        state.instruments.proxy_header_ignored(why.as_str());
        tracing::debug!(%address, why = why.as_str(), "what a header says of the client's address does not count");
    }
    let wait = state.limits.load().failure(&credentials.client_id, address);
    state.instruments.auth_failure(wait.is_some());
    let known = state.directory.client(&credentials.client_id);
    let named = known.as_ref().map(|client| &*client.client_id);
    if !state.failures.note(named, address, state.now()) {
        state.instruments.auth_failure_folded();
    }
    match wait {
        Some(retry_after) if state.rules.failures == Mode::Enforce => Failure::Limited(Box::new(Refusal {
            reason: AUTH_FAILURES,
            description: "client authentication failed, too often from this address",
            retry_after,
            standings: Vec::new(),
        })),
        _ => refused.into(),
    }
}

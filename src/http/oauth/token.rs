//! `POST /oauth/token` (RFC 6749 section 3.2).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::{Endpoint, GrantType};
use utoipa::ToSchema;

use super::admission::Admission;
use crate::http::deadline;
use crate::http::error::Failure;
use crate::http::error_responses::ClientErrors;
use crate::http::extract::form_body;
use crate::http::response::{append_limit_status, no_store};
use crate::protocol::form::Form;
use crate::protocol::grants::GrantRequest;
use crate::service::issue::{Issue, IssuedToken};
use crate::service::ledger_access::GroupCommit;
use crate::service::schema;
use crate::tokens::json::Object;

/// The form of a token request (RFC 6749 section 4.4.2). An empty parameter counts as absent; only `resource` may be repeated.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form, which protocol::grants parses without copying it"
)]
pub struct TokenRequest {
    /// The grant.
    #[schema(value_type = schema::GrantType)]
    grant_type: GrantType,
    /// Requested scopes, space-separated; all of the client's if absent.
    #[schema(required = false)]
    scope: String,
    /// Requested audience (RFC 8707); the client's first audience, or the issuer, if absent.
    #[schema(required = false)]
    resource: Vec<String>,
    /// Another name of `resource`.
    #[schema(required = false)]
    audience: String,
    /// With `client_secret`, in place of the `Authorization` header.
    #[schema(required = false)]
    client_id: String,
    /// See `client_id`.
    #[schema(required = false, format = Password)]
    client_secret: String,
}

/// An issued access token (RFC 6749 section 5.1).
#[derive(ToSchema)]
pub struct TokenResponse<'a> {
    /// The token.
    access_token: &'a str,
    /// Always `Bearer` (RFC 6750).
    #[schema(value_type = schema::Bearer)]
    token_type: &'static str,
    /// Lifetime, seconds.
    #[schema(minimum = 1)]
    expires_in: u32,
    /// Granted scopes, space-separated; absent if there are none.
    #[schema(required = false, min_length = 1)]
    scope: &'a str,
}

/// Issues an access token.
///
/// It is recorded before it is answered, unless the client's `token_ledger` is `stateless`.
#[utoipa::path(
    post, path = "/oauth/token", operation_id = "issueToken", tag = "OAuth 2.0",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token.", body = TokenResponse), ClientErrors),
    security(("client_secret_basic" = []), ()),
)]
pub async fn post(
    admission: Data<Admission>,
    issue: Data<Issue>,
    ledger: Data<GroupCommit>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = form_body(request.headers(), payload).await?;
    let deadline = deadline();
    let form = Form::parse(&body)?;
    let mut admitted = admission.form(&request, &form, Endpoint::Token).await?;
    let grant = GrantRequest::parse(&form)?;
    let issued = issue
        .token(&admitted.client, &grant, &mut admitted.limits, &ledger, deadline)
        .await?;
    let mut response = TokenResponse::new(&issued).render();
    append_limit_status(&admitted.limits, response.headers_mut());
    Ok(response)
}

impl<'a> TokenResponse<'a> {
    fn new(issued: &'a IssuedToken) -> Self {
        Self {
            access_token: issued.token.as_str(),
            token_type: "Bearer",
            expires_in: issued.expires_in,
            scope: &issued.scope,
        }
    }

    fn render(&self) -> HttpResponse {
        let mut body = Vec::with_capacity(self.access_token.len() + self.scope.len() + 96);
        let object = Object::begin(&mut body)
            .plain("access_token", self.access_token)
            .plain("token_type", self.token_type)
            .number("expires_in", self.expires_in.into());
        let object = if self.scope.is_empty() {
            object
        } else {
            object.text("scope", self.scope)
        };
        object.end();
        no_store(body)
    }
}

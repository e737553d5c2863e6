//! `POST /oauth/revoke` (RFC 7009).

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::Endpoint;

use super::admission::Admission;
use super::introspect::PresentedToken;
use crate::http::deadline;
use crate::http::error::Failure;
use crate::http::error_responses::ClientErrors;
use crate::http::extract::form_body;
use crate::http::response::append_limit_status;
use crate::protocol::form::Form;
use crate::service::revoke::Revoke;

/// Revokes a token of the client.
///
/// Any other token is accepted without effect.
#[utoipa::path(
    post, path = "/oauth/revoke", operation_id = "revokeToken", tag = "OAuth 2.0",
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token is inactive."), ClientErrors),
    security(("client_secret_basic" = []), ()),
)]
pub async fn post(
    admission: Data<Admission>,
    revoke: Data<Revoke>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = form_body(request.headers(), payload).await?;
    let deadline = deadline();
    let form = Form::parse(&body)?;
    let admitted = admission.form(&request, &form, Endpoint::Revocation).await?;
    let token = form.required("token", "token is missing")?;
    revoke.presented(&admitted.client, token, deadline).await?;
    let mut response = HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish();
    append_limit_status(&admitted.limits, response.headers_mut());
    Ok(response)
}

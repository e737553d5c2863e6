//! `POST /admin/v1/tokens:issue`: bulk issuance, up to a thousand tokens a request.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BodyErrors, ConflictError, NotFoundError};
use crate::http::extract::{By, admin_body};
use crate::http::response::json;
use crate::protocol::grants::client_credentials::Request;
use crate::service::issue::provision::{Order, Provision};
use crate::service::ledger_access::LedgerAccess;

/// Tokens to issue.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenOrder)]
#[serde(deny_unknown_fields)]
struct OrderBody {
    /// The client.
    client_id: String,
    /// How many.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000)]
    count: u32,
    /// Scopes, space-separated; all of the client's if absent.
    scope: Option<String>,
    /// Audience; the client's first audience, or the issuer, if absent.
    audience: Option<String>,
}

fn one() -> u32 {
    1
}

/// An issued token.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
struct IssuedView {
    /// The token.
    access_token: String,
    /// Token id.
    jti: Uuid,
    /// Expiry, Unix seconds.
    expires_at: i64,
}

/// Issued tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedTokens)]
struct IssuedList {
    /// As many as were ordered.
    tokens: Vec<IssuedView>,
}

/// Issues tokens to a client.
///
/// They count as used of its quotas, which reject none of them; its rate limit does not apply.
#[utoipa::path(
    post, path = "/admin/v1/tokens:issue", operation_id = "issueTokens", tag = "Tokens",
    request_body = OrderBody,
    responses((status = 200, description = "The tokens.", body = IssuedList), AdminErrors, NotFoundError, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn post(
    provision: Data<Provision>,
    ledger: Data<LedgerAccess>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body: OrderBody = admin_body(&request, payload).await?;
    let order = Order {
        client_id: &body.client_id,
        request: Request::new(body.scope.as_deref(), body.audience.as_deref()),
        count: body.count,
    };
    let issued = provision.issue(&operator, order, &ledger, admin_deadline()).await?;
    let tokens = issued.into_iter().map(|issued| IssuedView {
        access_token: issued.token,
        jti: issued.jti,
        expires_at: issued.expires_at,
    });
    Ok(json(&IssuedList {
        tokens: tokens.collect(),
    }))
}

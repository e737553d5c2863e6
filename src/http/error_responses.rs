//! The error responses in the API document: rows of [`super::error`], which endpoints refer to by sets, as in
//! `responses(…, ClientErrors)`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// An error (RFC 6749 section 5.2).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody<'a> {
    /// For programs.
    #[schema(examples("invalid_request"))]
    pub error: &'a str,
    /// For people.
    pub error_description: &'a str,
}

/// Name, status, description, and headers with their meaning.
type Row = (&'static str, u16, &'static str, &'static [(&'static str, &'static str)]);

const RETRY_AFTER: (&str, &str) = ("Retry-After", "When a retry is worthwhile, seconds.");
const WWW_AUTHENTICATE: (&str, &str) = ("WWW-Authenticate", "The authentication scheme.");

/// The headers with the state of a client's limits.
pub const RATE_LIMIT: [(&str, &str); 2] = [
    ("RateLimit-Policy", "The client's limits, if it has any."),
    ("RateLimit", "What remains of them."),
];

const ROWS: &[Row] = &[
    ("BadRequest", 400, "The request is invalid.", &[]),
    (
        "InvalidClient",
        401,
        "Client authentication failed.",
        &[WWW_AUTHENTICATE],
    ),
    (
        "Unauthorized",
        401,
        "The bearer token is missing or invalid.",
        &[WWW_AUTHENTICATE],
    ),
    (
        "Forbidden",
        403,
        "The token lacks the scope `oauth2.admin`.",
        &[WWW_AUTHENTICATE],
    ),
    ("NotFound", 404, "The object in the path does not exist.", &[]),
    ("SlowBody", 408, "The body did not arrive in time.", &[]),
    ("Conflict", 409, "The request conflicts with the stored state.", &[]),
    (
        "PreconditionFailed",
        412,
        "The client is not the version of `If-Match`, or exists although `If-None-Match` is `*`.",
        &[],
    ),
    ("TooLarge", 413, "The body is larger than this URL accepts.", &[]),
    (
        "Misdirected",
        421,
        "The management listener does not answer for this host.",
        &[],
    ),
    (
        "TooManyRequests",
        429,
        "A limit of the client is exceeded, or the caller failed to authenticate too often.",
        &[RETRY_AFTER, RATE_LIMIT[0], RATE_LIMIT[1]],
    ),
    ("ServerError", 500, "The server failed.", &[]),
    ("Unavailable", 503, "The server cannot respond now.", &[RETRY_AFTER]),
];

/// Every error response, by its name.
pub fn all() -> impl Iterator<Item = (&'static str, Response)> {
    ROWS.iter().map(|(name, _, description, headers)| {
        let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Error"))));
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/json", body);
        let response = headers.iter().fold(response, |response, &(name, meaning)| {
            response.header(name, header(meaning))
        });
        (*name, response.build())
    })
}

/// A header whose value is a string.
pub fn header(meaning: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(meaning))
        .build()
}

fn named(names: &[&str]) -> BTreeMap<String, RefOr<Response>> {
    ROWS.iter()
        .filter(|(name, ..)| names.contains(name))
        .map(|(name, status, ..)| (status.to_string(), Ref::from_response_name(*name).into()))
        .collect()
}

macro_rules! sets {
    ($($(#[$meta:meta])* $set:ident: $($name:ident)+;)+) => {
        $($(#[$meta])* #[derive(Debug)] pub struct $set;
          impl IntoResponses for $set {
              fn responses() -> BTreeMap<String, RefOr<Response>> { named(&[$(stringify!($name)),+]) }
          })+
    };
}

sets! {
    /// Of endpoints with client authentication.
    ClientErrors: BadRequest InvalidClient SlowBody TooLarge TooManyRequests ServerError Unavailable;
    /// Of endpoints without authentication.
    PublicErrors: Unavailable;
    /// Of every endpoint of the admin API.
    AdminErrors: BadRequest Unauthorized Forbidden SlowBody TooLarge Misdirected TooManyRequests ServerError Unavailable;
    /// Of endpoints of the management listener without authentication.
    HostErrors: Misdirected;
    /// Of endpoints with a query or path that may be invalid.
    BadRequest: BadRequest;
    /// Of endpoints with an object in the path.
    NotFoundError: NotFound;
    /// Of endpoints with a body.
    BodyErrors: BadRequest SlowBody TooLarge;
    /// Of endpoints that change an object.
    ConflictError: Conflict;
    /// Of endpoints that change the version of a client that the caller read.
    VersionErrors: Conflict PreconditionFailed;
}

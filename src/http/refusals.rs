//! What the API document says of refusals: the rows of [`super::error`] that an endpoint may answer.
//!
//! Each is a response of its own in the document, which endpoints refer to by sets: `responses(OfClients)`.

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

/// Name, status, description, and headers with what they hold.
type Row = (&'static str, u16, &'static str, &'static [(&'static str, &'static str)]);

const RETRY_AFTER: (&str, &str) = ("Retry-After", "When it is worth asking again, seconds.");
const WWW_AUTHENTICATE: (&str, &str) = ("WWW-Authenticate", "How to authenticate.");

/// The fields that say where a limited client stands.
pub const RATE_LIMIT: [(&str, &str); 2] = [
    ("RateLimit-Policy", "The limits that the client has, if it has any."),
    ("RateLimit", "What is left of them."),
];

const ROWS: &[Row] = &[
    ("BadRequest", 400, "The request makes no sense.", &[]),
    (
        "InvalidClient",
        401,
        "The client is not who it says it is.",
        &[WWW_AUTHENTICATE],
    ),
    (
        "Unauthorized",
        401,
        "No bearer token, or none that holds.",
        &[WWW_AUTHENTICATE],
    ),
    (
        "Forbidden",
        403,
        "The token lacks the scope `oauth2.admin`.",
        &[WWW_AUTHENTICATE],
    ),
    ("NotFound", 404, "What the path names is not there.", &[]),
    ("SlowBody", 408, "The body did not arrive in time.", &[]),
    ("Conflict", 409, "It collides with what is there.", &[]),
    ("TooLarge", 413, "The body is larger than the URL takes.", &[]),
    (
        "TooManyRequests",
        429,
        "A limit of the client's is reached.",
        &[RETRY_AFTER, RATE_LIMIT[0], RATE_LIMIT[1]],
    ),
    ("ServerError", 500, "A defect of the server.", &[]),
    ("Unavailable", 503, "Not at this moment.", &[RETRY_AFTER]),
];

/// Every one of them, by its name.
pub fn all() -> impl Iterator<Item = (&'static str, Response)> {
    ROWS.iter().map(|(name, _, description, headers)| {
        let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Error"))));
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/json", body);
        let response = headers
            .iter()
            .fold(response, |response, &(name, holds)| response.header(name, text(holds)));
        (*name, response.build())
    })
}

/// A header of text.
pub fn text(holds: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(holds))
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
    /// Of endpoints that clients authenticate at.
    OfClients: BadRequest InvalidClient SlowBody TooLarge TooManyRequests ServerError Unavailable;
    /// Of endpoints that anybody may ask.
    OfAnybody: Unavailable;
    /// Of the admin API.
    OfOperators: Unauthorized Forbidden ServerError Unavailable;
    /// Of an endpoint with something to say about what it is asked.
    OfQuestions: BadRequest;
    /// Of an endpoint whose path names something.
    OfNames: NotFound;
    /// Of an endpoint that takes a body.
    OfBodies: BadRequest SlowBody TooLarge;
    /// Of an endpoint that changes what others may be changing.
    OfChanges: Conflict;
}

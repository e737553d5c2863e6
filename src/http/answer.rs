//! What the answers of several endpoints have in common.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};

/// JSON that nobody may keep (RFC 6749 section 5.1).
pub fn no_store(body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    // Values, not strings: those would be checked and copied for each answer.
    response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::PRAGMA, HeaderValue::from_static("no-cache")));
    response.body(body)
}

//! What responses of several endpoints share.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use crate::service::limit_status::LimitStatus;

/// JSON text that must not be stored (RFC 6749 section 5.1).
pub fn no_store(body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    // Constant values: strings would be checked and copied for each response.
    response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::PRAGMA, HeaderValue::from_static("no-cache")));
    response.body(body)
}

/// A JSON document of the admin API.
pub fn json(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Appends the state of a client's limits, if it has any: `RateLimit-Policy` and `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers-09).
pub fn append_limit_status(limits: &[LimitStatus], headers: &mut HeaderMap) {
    if limits.is_empty() {
        return;
    }
    // Written without the formatter, since every response to a limited client has them.
    let room = limits.len() * ITEM;
    let (mut policy, mut state) = (String::with_capacity(room), String::with_capacity(room));
    for limit in limits {
        append_item(&mut policy, limit.name, (";q=", limit.limit), (";w=", limit.window));
        append_item(&mut state, limit.name, (";r=", limit.remaining), (";t=", limit.reset));
    }
    for (name, value) in [(&POLICY, policy), (&STATE, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name.clone(), value);
        }
    }
}

/// Bytes that an item of these lists mostly takes.
const ITEM: usize = 48;

fn append_item(list: &mut String, name: &str, one: (&str, u64), other: (&str, u64)) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push('"');
    list.push_str(name);
    list.push('"');
    for (parameter, value) in [one, other] {
        list.push_str(parameter);
        list.push_str(itoa::Buffer::new().format(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_name_each_limit() {
        let limit = |name, limit, window, remaining, reset| LimitStatus {
            name,
            limit,
            window,
            remaining,
            reset,
        };
        let mut headers = HeaderMap::new();
        append_limit_status(&[], &mut headers);
        assert!(headers.is_empty());
        append_limit_status(
            &[limit("token", 200, 2, 150, 1), limit("day", 1000, 86_400, 7, 60)],
            &mut headers,
        );
        assert_eq!(
            headers.get("ratelimit-policy").unwrap(),
            r#""token";q=200;w=2, "day";q=1000;w=86400"#
        );
        assert_eq!(
            headers.get("ratelimit").unwrap(),
            r#""token";r=150;t=1, "day";r=7;t=60"#
        );
    }
}

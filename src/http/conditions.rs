//! Conditional requests on clients: `ETag`, `If-Match` and `If-None-Match` (RFC 9110 sections 8.8.3 and 13.1).

use std::future::{Ready, ready};

use actix_web::http::header::{self, Header, HeaderMap, HeaderName, IfNoneMatch};
use actix_web::{FromRequest, HttpRequest};
use oauth2_store::model::Client;

use super::endpoint::Endpoint;
use super::error::Failure;
use super::extract::invalid_request;
use crate::service::clients::precondition::{Precondition, version};

/// The `ETag` of a client.
pub fn etag(client: &Client) -> (HeaderName, String) {
    (header::ETAG, format!("\"{}\"", version(client)))
}

/// Whether the caller of a read has this version of the client, by `If-None-Match`.
pub fn is_known(request: &HttpRequest, client: &Client) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|tag| tag.tag() == version(client)),
        Err(_) => false,
    }
}

/// Operations that change something and take a [`Condition`].
const CONDITIONAL: [&str; 3] = [
    "/admin/v1/clients/{client_id}",
    "/admin/v1/clients/{client_id}/disable",
    "/admin/v1/clients/{client_id}/enable",
];

/// Whether an operation takes a [`Condition`].
pub fn is_conditional(endpoint: &Endpoint) -> bool {
    endpoint.method != "GET" && CONDITIONAL.contains(&endpoint.path)
}

/// Whether a change would ignore the condition of its request. RFC 9110 section 13.1: the method must not be performed if it is false.
pub fn is_ignored(endpoint: &Endpoint, headers: &HeaderMap) -> bool {
    let is_given = [header::IF_MATCH, header::IF_NONE_MATCH]
        .iter()
        .any(|name| headers.contains_key(name));
    is_given && endpoint.method != "GET" && !is_conditional(endpoint)
}

/// The condition of a request.
#[derive(Debug)]
pub struct Condition(pub Precondition);

impl FromRequest for Condition {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let lines = |name: HeaderName| {
            let lines = request.headers().get_all(name);
            let texts: Vec<_> = lines.map(|line| line.to_str().unwrap_or_default()).collect();
            (!texts.is_empty()).then(|| texts.join(","))
        };
        ready(
            condition(
                lines(header::IF_MATCH).as_deref(),
                lines(header::IF_NONE_MATCH).as_deref(),
            )
            .map(Self),
        )
    }
}

fn condition(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Precondition, Failure> {
    match (if_match.map(str::trim), if_none_match.map(str::trim)) {
        (None, None) => Ok(Precondition::None),
        (None, Some("*")) => Ok(Precondition::Missing),
        (None, Some(_)) => Err(invalid_request("If-None-Match must be * in a change of a client")),
        (Some(_), Some(_)) => Err(invalid_request(
            "If-Match and If-None-Match contradict each other; keep one of them",
        )),
        (Some("*"), None) => Ok(Precondition::Exists),
        (Some(tags), None) => {
            let tags = tags.split(',').map(tag).collect::<Option<_>>();
            tags.map(Precondition::Versions)
                .ok_or_else(|| invalid_request("If-Match must be * or the ETag of the client, in double quotes"))
        }
    }
}

/// The version in a tag. A proxy that compresses makes a tag weak; it names the same version of the client, whatever the bytes were.
fn tag(text: &str) -> Option<String> {
    let text = text.trim();
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let version = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_strictly() {
        let versions = |tags: &[&str]| Precondition::Versions(tags.iter().map(|&tag| tag.to_owned()).collect());
        assert_eq!(condition(None, None), Ok(Precondition::None));
        assert_eq!(condition(Some("*"), None), Ok(Precondition::Exists));
        assert_eq!(condition(None, Some("*")), Ok(Precondition::Missing));
        assert_eq!(condition(Some("\"3-17\""), None), Ok(versions(&["3-17"])));
        assert_eq!(
            condition(Some("W/\"3-17\" , \"4-17\""), None),
            Ok(versions(&["3-17", "4-17"]))
        );
        for (if_match, if_none_match) in [
            (Some("3-17"), None),
            (Some("\"3-17"), None),
            (Some("\"3-17\",*"), None),
            (Some(""), None),
            (None, Some("\"3-17\"")),
            (Some("*"), Some("*")),
        ] {
            assert!(
                condition(if_match, if_none_match).is_err(),
                "{if_match:?} {if_none_match:?}"
            );
        }
    }
}

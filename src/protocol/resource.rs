//! The audience of a token: `resource` (RFC 8707), also accepted as `audience`. A token has exactly one.

use std::sync::Arc;

use super::error::{ErrorCode, OAuthError};
use super::form::Form;

/// The requested resource, if any. [`ErrorCode::InvalidTarget`] if the request names several.
pub fn requested<'a>(form: &'a Form<'_>) -> Result<Option<&'a str>, OAuthError> {
    let mut resources = form.all("resource").chain(form.get("audience"));
    let first = resources.next();
    if resources.any(|other| Some(other) != first) {
        return Err(OAuthError::new(
            ErrorCode::InvalidTarget,
            "more than one resource or audience; exactly one is allowed",
        ));
    }
    Ok(first)
}

/// The audience of a token: the requested resource, if it is registered for the client; without a requested resource the first
/// registered audience, or else the issuer. `allowed`: the registered audiences; empty: only the issuer.
pub fn audience(requested: Option<&str>, allowed: &[Arc<str>], issuer: &Arc<str>) -> Result<Arc<str>, OAuthError> {
    let Some(requested) = requested else {
        return Ok(Arc::clone(allowed.first().unwrap_or(issuer)));
    };
    let allowed = if allowed.is_empty() {
        std::slice::from_ref(issuer)
    } else {
        allowed
    };
    let found = allowed.iter().find(|allowed| ***allowed == *requested);
    found.map(Arc::clone).ok_or(OAuthError::new(
        ErrorCode::InvalidTarget,
        "the resource or audience is not registered for this client",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(body: &str, allowed: &[Arc<str>]) -> Result<Arc<str>, ErrorCode> {
        let form = Form::parse(body.as_bytes()).unwrap();
        let issuer = "https://issuer".into();
        requested(&form)
            .and_then(|resource| audience(resource, allowed, &issuer))
            .map_err(|error| error.code)
    }

    #[test]
    fn audience_is_one_registered_resource() {
        let allowed: Vec<Arc<str>> = vec!["https://a".into(), "https://b".into()];
        let cases = [
            ("", Ok("https://a")),
            ("audience=https://b", Ok("https://b")),
            ("resource=https://b", Ok("https://b")),
            (
                "resource=https://b&resource=https://b&audience=https://b",
                Ok("https://b"),
            ),
            ("resource=https://a&resource=https://b", Err(ErrorCode::InvalidTarget)),
            ("resource=https://a&audience=https://b", Err(ErrorCode::InvalidTarget)),
            ("audience=https://c", Err(ErrorCode::InvalidTarget)),
            ("audience=https://issuer", Err(ErrorCode::InvalidTarget)),
        ];
        for (body, expected) in cases {
            assert_eq!(
                decide(body, &allowed).as_deref().map_err(|code| *code),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn client_without_audiences_gets_only_the_issuer() {
        for (body, ok) in [
            ("", true),
            ("audience=https://issuer", true),
            ("audience=https://a", false),
        ] {
            assert_eq!(decide(body, &[]).is_ok(), ok, "{body}");
        }
    }
}

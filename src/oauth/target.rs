//! For whom a token is: `audience`, and `resource` (RFC 8707). A token has one audience.

use std::sync::Arc;

use super::error::{Code, Error};
use super::form::Form;

/// Decides the audience: the one target asked for, if the client may ask for it; else the client's first, else the issuer.
pub fn grant(form: &Form<'_>, allowed: &[Arc<str>], issuer: &Arc<str>) -> Result<Arc<str>, Error> {
    let mut targets = form.all("resource").chain(form.get("audience"));
    let Some(target) = targets.next() else {
        return Ok(Arc::clone(allowed.first().unwrap_or(issuer)));
    };
    if targets.any(|other| other != target) {
        return Err(Error::new(Code::InvalidTarget, "a token is for one target only"));
    }
    let own = std::slice::from_ref(issuer);
    let known = if allowed.is_empty() { own } else { allowed };
    let found = known.iter().find(|known| ***known == *target);
    found.map(Arc::clone).ok_or(Error::new(
        Code::InvalidTarget,
        "the client may not ask for this target",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_target() {
        let allowed: Vec<Arc<str>> = vec!["https://a".into(), "https://b".into()];
        let cases = [
            ("", Ok("https://a")),
            ("audience=https://b", Ok("https://b")),
            ("resource=https://b", Ok("https://b")),
            (
                "resource=https://b&resource=https://b&audience=https://b",
                Ok("https://b"),
            ),
            ("resource=https://a&resource=https://b", Err(Code::InvalidTarget)),
            ("resource=https://a&audience=https://b", Err(Code::InvalidTarget)),
            ("audience=https://c", Err(Code::InvalidTarget)),
            ("audience=https://issuer", Err(Code::InvalidTarget)),
        ];
        for (body, expected) in cases {
            let form = Form::parse(body.as_bytes()).unwrap();
            let granted = grant(&form, &allowed, &"https://issuer".into());
            assert_eq!(granted.as_deref().map_err(|e| e.code), expected, "{body}");
        }
    }

    #[test]
    fn without_a_list_the_issuer_is_the_only_target() {
        let issuer: Arc<str> = "https://issuer".into();
        for (body, ok) in [
            ("", true),
            ("audience=https://issuer", true),
            ("audience=https://a", false),
        ] {
            assert_eq!(
                grant(&Form::parse(body.as_bytes()).unwrap(), &[], &issuer).is_ok(),
                ok,
                "{body}"
            );
        }
    }
}

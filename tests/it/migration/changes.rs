//! Changes of the responses of an issuer, and the codes of the differences that follow.

use std::sync::Arc;

use serde_json::{Value, json};

use super::tampered::{Answer, Change};

const TOKEN: &str = "/oauth/token";
const INTROSPECTION: &str = "/oauth/introspect";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// Changes of the old and of the new issuer, and a code.
pub(super) type Case = (Change, Change, &'static str);

pub(super) fn nothing() -> Change {
    Arc::new(|_: &str, _: &mut Answer| ())
}

fn of(change: impl Fn(&str, &mut Answer) + Send + Sync + 'static) -> Change {
    Arc::new(change)
}

pub(super) fn of_claims(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Change {
    of(move |_, answer| answer.change_claims(&change))
}

fn of_response(change: impl Fn(&mut Answer) + Send + Sync + 'static) -> Change {
    of(move |path, answer| {
        if path == TOKEN && answer.status == 200 {
            change(answer);
        }
    })
}

fn of_error(change: impl Fn(&mut Answer) + Send + Sync + 'static) -> Change {
    of(move |path, answer| {
        if path == TOKEN && answer.status >= 400 {
            change(answer);
        }
    })
}

fn of_introspection(change: impl Fn(&mut Answer) + Send + Sync + 'static) -> Change {
    of(move |path, answer| {
        if path == INTROSPECTION && answer.body["active"] == true {
            change(answer);
        }
    })
}

/// Sets a member of the metadata; null removes it.
fn of_metadata(member: &'static str, value: Value) -> Change {
    of(move |path, answer| {
        if path == METADATA || path == OPENID {
            let members = answer.body.as_object_mut().unwrap();
            members.remove(member);
            if !value.is_null() {
                members.insert(member.to_owned(), value.clone());
            }
        }
    })
}

fn without(document: &'static str) -> Change {
    of(move |path, answer| {
        if path == document {
            answer.status = 404;
        }
    })
}

fn header(name: &'static str, value: &'static str) -> impl Fn(&mut Answer) + Send + Sync + 'static {
    move |answer| answer.set(name, value)
}

fn later(claims: &mut Value, names: &[&str], seconds: i64) {
    for name in names {
        claims[*name] = (claims[*name].as_i64().unwrap() + seconds).into();
    }
}

fn decimal(value: &mut Value) {
    *value = value.as_f64().unwrap().into();
}

/// A token that is valid in five minutes only.
pub(super) fn not_yet() -> Change {
    of_claims(|claims| {
        claims["nbf"] = claims["iat"].clone();
        later(claims, &["nbf"], 300);
    })
}

/// Changes of tokens that verifiers notice.
pub(super) fn of_tokens() -> Vec<Case> {
    let new = |change, code| (nothing(), change, code);
    vec![
        new(not_yet(), "token.claim.nbf.future"),
        new(
            of_claims(|claims| later(claims, &["iat", "exp"], 300)),
            "token.claim.iat.future",
        ),
        new(
            of_claims(|claims| later(claims, &["iat", "exp"], -86_400)),
            "token.claim.exp.past",
        ),
        new(of_claims(|claims| decimal(&mut claims["exp"])), "token.claim.exp.type"),
        new(of_claims(|claims| decimal(&mut claims["iat"])), "token.claim.iat.type"),
        new(
            of_claims(|claims| {
                later(claims, &["exp"], 60);
                decimal(&mut claims["exp"]);
            }),
            "token.lifetime",
        ),
        new(
            of_claims(|claims| {
                claims.as_object_mut().unwrap().remove("jti");
            }),
            "token.claim.jti.missing",
        ),
    ]
}

/// Changes of responses that clients notice.
pub(super) fn of_responses() -> Vec<Case> {
    let new = |change, code| (nothing(), change, code);
    vec![
        new(
            of_response(|answer| answer.body["token_type"] = "N_A".into()),
            "response.token_type",
        ),
        new(
            of_response(|answer| decimal(&mut answer.body["expires_in"])),
            "response.expires_in.type",
        ),
        new(
            of_response(|answer| answer.body["scope"] = json!(["read", "write"])),
            "response.scope.type",
        ),
        new(
            of_response(header("content-type", "text/plain")),
            "response.content_type",
        ),
        new(
            of_error(header("www-authenticate", "Bearer realm=\"a\"")),
            "error.wrong_secret.www_authenticate",
        ),
        new(
            of_error(header("content-type", "text/plain")),
            "error.invalid_scope.content_type",
        ),
        new(
            of_error(header("cache-control", "max-age=60")),
            "error.unsupported_grant.cache_control",
        ),
        new(
            of_error(|answer| answer.body["error"] = json!({"code": answer.body["error"]})),
            "error.wrong_secret.error.type",
        ),
        new(
            of_introspection(header("content-type", "text/plain")),
            "introspection.content_type",
        ),
        new(
            of_introspection(header("cache-control", "")),
            "introspection.cache_control",
        ),
        new(
            of_introspection(|answer| decimal(&mut answer.body["exp"])),
            "introspection.exp.type",
        ),
        new(
            of_introspection(|answer| {
                answer.body["nbf"] = answer.body["iat"].clone();
                later(&mut answer.body, &["nbf"], 60);
            }),
            "introspection.nbf.future",
        ),
    ]
}

/// Changes of documents that clients and verifiers notice.
pub(super) fn of_documents() -> Vec<Case> {
    let new = |change, code| (nothing(), change, code);
    let grants = |value| of_metadata("grant_types_supported", value);
    let scopes = |value| of_metadata("scopes_supported", value);
    vec![
        new(without(OPENID), "discovery.document.openid-configuration"),
        new(without(METADATA), "discovery.document.oauth-authorization-server"),
        new(grants(json!(["password"])), "discovery.grant_types_supported"),
        new(grants(Value::Null), "discovery.grant_types_supported"),
        (
            scopes(json!(["openid", "read", "write"])),
            scopes(json!(["read"])),
            "discovery.scopes_supported",
        ),
    ]
}

/// Changes that nobody notices who follows the specifications; the code is empty if none is reported.
pub(super) fn that_nobody_notices() -> Vec<Case> {
    const CHARSET: &str = "Application/JSON; charset=ISO-8859-1";
    let unlike = of_error(|answer| {
        for (name, value) in [
            ("content-type", "text/html"),
            ("www-authenticate", ""),
            ("cache-control", ""),
        ] {
            answer.set(name, value);
        }
    });
    let two = header("www-authenticate", "Bearer realm=\"a\", Basic realm=\"b, c\"");
    vec![
        (not_yet(), not_yet(), ""),
        (of(|_, answer| answer.set("content-type", CHARSET)), nothing(), ""),
        (nothing(), of(|_, answer| answer.set("content-type", CHARSET)), ""),
        (unlike, nothing(), "error.wrong_secret.content_type"),
        (
            nothing(),
            of_error(move |answer| {
                if answer.status == 401 {
                    two(answer);
                }
            }),
            "error.wrong_secret.www_authenticate",
        ),
        (
            of_claims(|claims| decimal(&mut claims["exp"])),
            nothing(),
            "token.claim.exp.type",
        ),
        (
            of_metadata(
                "grant_types_supported",
                json!(["authorization_code", "client_credentials"]),
            ),
            nothing(),
            "discovery.grant_types_supported",
        ),
        (
            of_metadata("scopes_supported", json!(["openid", "read"])),
            of_metadata("scopes_supported", json!(["read"])),
            "discovery.scopes_supported",
        ),
    ]
}

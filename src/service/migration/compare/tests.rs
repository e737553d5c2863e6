//! Differences that other products have from this server.

use serde_json::{Value, json};

use super::client;
use crate::service::migration::http::Response;
use crate::service::migration::issuer::Issuer;
use crate::service::migration::probe::{Observed, Pair};
use crate::service::migration::report::{Difference, NoticedBy};
use crate::tokens::BASE64URL;
use base64::Engine;

fn issuer(identifier: &str) -> Issuer {
    Issuer {
        metadata: [("issuer".to_owned(), identifier.into())].into_iter().collect(),
        token_endpoint: format!("{identifier}/token"),
        introspection_endpoint: None,
        kids: Some(["k".to_owned()].into()),
    }
}

fn jwt(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL.encode(value.to_string());
    format!("{}.{}.c2ln", part(header), part(claims))
}

fn response(token: &str) -> Response {
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 });
    Response {
        status: 200,
        media_type: "application/json".to_owned(),
        is_uncached: true,
        body: body.as_object().cloned(),
        ..Response::default()
    }
}

/// The differences of clients whose old tokens are `old`, one per method, and whose new tokens are `new`.
fn differences(old: [&str; 2], new: &str) -> Vec<Difference> {
    let pair = |old: &str| Pair {
        old: Ok(response(old)),
        new: Ok(response(new)),
    };
    let observed = Observed {
        basic: pair(old[0]),
        post: pair(old[1]),
        errors: Vec::new(),
        introspection: None,
        old_at_new: None,
        new_at_old: None,
    };
    client(&observed, &issuer("https://old"), &issuer("https://new"))
}

fn codes(claims: &Value, new_claims: &Value) -> Vec<(String, NoticedBy)> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
    let old = jwt(&header, claims);
    let found = differences([&old, &old], &jwt(&header, new_claims));
    found.into_iter().map(|it| (it.code, it.noticed_by)).collect()
}

#[test]
fn forms_that_the_specification_allows_break_nothing() {
    let nobody = |code: &str| vec![(code.to_owned(), NoticedBy::Nobody)];
    let verifier = |code: &str| vec![(code.to_owned(), NoticedBy::Verifier)];
    let cases = [
        (
            json!({"aud": ["a"]}),
            json!({"aud": "a"}),
            nobody("token.claim.aud.form"),
        ),
        (
            json!({"aud": ["a", "b"]}),
            json!({"aud": "a"}),
            verifier("token.claim.aud.missing"),
        ),
        (
            json!({"scope": "a b"}),
            json!({"scope": "b a"}),
            nobody("token.claim.scope.order"),
        ),
        (
            json!({"scope": ["a"]}),
            json!({"scope": "a"}),
            verifier("token.claim.scope.type"),
        ),
        (json!({"scp": ["a"]}), json!({}), verifier("token.claim.scp.missing")),
        (
            json!({}),
            json!({"client_id": "c"}),
            nobody("token.claim.client_id.added"),
        ),
        (json!({"iss": "https://old"}), json!({"iss": "https://new"}), vec![]),
        (
            json!({"iss": "https://old"}),
            json!({"iss": "https://other"}),
            verifier("token.claim.iss.value"),
        ),
        (json!({"iat": 5, "exp": 65}), json!({"iat": 9, "exp": 69}), vec![]),
        (
            json!({"iat": 5, "exp": 65}),
            json!({"iat": 9, "exp": 99}),
            verifier("token.lifetime"),
        ),
        (json!({"jti": "1"}), json!({"jti": 1}), verifier("token.claim.jti.type")),
    ];
    for (old, new, expected) in cases {
        assert_eq!(codes(&old, &new), expected, "{old} {new}");
    }
}

#[test]
fn claims_that_vary_from_token_to_token_are_compared_by_type_only() {
    let header = json!({ "alg": "RS256" });
    let old = ["1", "2"].map(|value| jwt(&header, &json!({ "sid": value, "tenant": "a" })));
    let new = jwt(&header, &json!({ "sid": "3", "tenant": "b" }));
    let found = differences([&old[0], &old[1]], &new);
    let codes: Vec<&str> = found.iter().map(|it| &*it.code).collect();
    assert_eq!(codes, ["token.claim.tenant.value"]);
}

#[test]
fn headers_are_compared_as_verifiers_read_them() {
    let claims = json!({});
    let of = |header: &Value| jwt(header, &claims);
    let base = json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k" });
    let cases = [
        (
            json!({ "alg": "RS256", "typ": "application/AT+JWT", "kid": "k" }),
            "token.header.typ.spelling",
        ),
        (json!({ "alg": "RS256", "typ": "JWT", "kid": "k" }), "token.header.typ"),
        (
            json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" }),
            "token.header.alg",
        ),
        (
            json!({ "alg": "RS256", "typ": "at+jwt", "kid": "elsewhere" }),
            "token.kid_not_in_jwks",
        ),
        (json!({ "alg": "RS256", "typ": "at+jwt" }), "token.header.kid.missing"),
        (
            json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k", "crit": ["x"] }),
            "token.header.crit.added",
        ),
    ];
    let old = of(&base);
    for (header, expected) in cases {
        let found = differences([&old, &old], &of(&header));
        let codes: Vec<&str> = found.iter().map(|it| &*it.code).collect();
        assert_eq!(codes, [expected]);
    }
    let found = differences([&old, &old], "opaque-token");
    assert_eq!(found[0].code, "token.format");
}

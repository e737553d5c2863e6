//! Differences that other products have from this server.

use serde_json::{Value, json};

use std::collections::BTreeMap;
use std::time::Duration;

use oauth2_store::model::{KeyAlgorithm, SigningAlg, TokenTyp};

use super::{client, issuers};
use crate::keys::generate::{KeyTimes, generate};
use crate::keys::keyring::Keyring;
use crate::keys::wrapping::KeyWrapper;
use crate::service::migration::http::Response;
use crate::service::migration::issuer::Issuer;
use crate::service::migration::keys::Keys;
use crate::service::migration::probe::{Observed, Pair};
use crate::service::migration::report::{Difference, NoticedBy};
use crate::tokens::BASE64URL;
use crate::tokens::claims::tests::sample;
use base64::Engine;

fn issuer(identifier: &str) -> Issuer {
    Issuer {
        metadata: [("issuer".to_owned(), identifier.into())].into_iter().collect(),
        token_endpoint: format!("{identifier}/token"),
        introspection_endpoint: None,
        keys: Keys::Unreadable("signatures are compared in another test".to_owned()),
        documents: BTreeMap::new(),
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
        received_at: 10,
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
        ..nothing_observed()
    };
    client(&observed, &issuer("https://old"), &issuer("https://new"))
}

fn nothing_observed() -> Observed {
    let pair = || Pair {
        old: Err("not asked".to_owned()),
        new: Err("not asked".to_owned()),
    };
    Observed {
        basic: pair(),
        post: pair(),
        again: None,
        without_scope: None,
        errors: Vec::new(),
        old_own: None,
        old_own_again: None,
        new_own: None,
        old_at_new: None,
        new_at_old: None,
    }
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
    let untyped = of(&json!({ "alg": "RS256", "kid": "k" }));
    for (typ, noticed_by) in [("JWT", NoticedBy::Nobody), ("at+jwt", NoticedBy::Verifier)] {
        let found = differences(
            [&untyped, &untyped],
            &of(&json!({ "alg": "RS256", "kid": "k", "typ": typ })),
        );
        assert_eq!(
            (&*found[0].code, found[0].noticed_by),
            ("token.header.typ.added", noticed_by)
        );
    }
}

#[test]
fn introspection_is_compared_by_value() {
    let answer = |more: &Value| {
        let mut body = json!({ "active": true, "scope": "a b", "client_id": "c", "iat": 5, "exp": 65, "jti": "1" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Response {
            status: 200,
            received_at: 10,
            body: body.as_object().cloned(),
            ..Response::default()
        }
    };
    let cases = [
        (json!({ "jti": "2", "iat": 9, "exp": 69 }), None),
        (json!({ "scope": "a" }), Some("introspection.scope.value")),
        (json!({ "client_id": "d" }), Some("introspection.client_id.value")),
        (json!({ "exp": 99 }), Some("introspection.lifetime")),
        (json!({ "active": false }), Some("introspection.own_token")),
        (json!({ "sid": "x" }), Some("introspection.sid.added")),
    ];
    for (change, expected) in cases {
        let observed = Observed {
            old_own: Some(Ok(answer(&json!({})))),
            new_own: Some(Ok(answer(&change))),
            ..nothing_observed()
        };
        let found = client(&observed, &issuer("https://old"), &issuer("https://new"));
        let found: Vec<_> = found.iter().filter(|it| it.code.starts_with("introspection")).collect();
        let codes: Vec<&str> = found.iter().map(|it| &*it.code).collect();
        assert_eq!(codes, expected.as_slice(), "{change}");
    }
    // A member that varies from token to token.
    let observed = Observed {
        old_own: Some(Ok(answer(&json!({ "sid": "x" })))),
        old_own_again: Some(Ok(answer(&json!({ "sid": "y" })))),
        new_own: Some(Ok(answer(&json!({ "sid": "z" })))),
        ..nothing_observed()
    };
    let found = client(&observed, &issuer("https://old"), &issuer("https://new"));
    assert!(
        !found.iter().any(|it| it.code.starts_with("introspection")),
        "{found:?}"
    );
}

#[test]
fn old_tokens_that_the_new_issuer_does_not_know_are_reported_without_an_old_endpoint() {
    let state = |active: bool| {
        Some(Ok(Response {
            status: 200,
            body: json!({ "active": active }).as_object().cloned(),
            ..Response::default()
        }))
    };
    let observed = Observed {
        new_own: state(true),
        old_at_new: state(false),
        ..nothing_observed()
    };
    let found = client(&observed, &issuer("https://old"), &issuer("https://new"));
    let known = found
        .iter()
        .find(|it| it.code == "introspection.old_token_at_new")
        .unwrap();
    assert_eq!((known.noticed_by, &*known.new), (NoticedBy::Client, "inactive"));
}

fn keyring() -> Keyring {
    const WRAPPER: KeyWrapper = KeyWrapper {
        current: [1; 32],
        previous: None,
    };
    let times = KeyTimes {
        now_ms: 1,
        wait: Duration::ZERO,
        token_lifetime: 60,
    };
    let stored: Vec<_> = KeyAlgorithm::REQUIRED
        .iter()
        .map(|algorithm| generate(*algorithm, &WRAPPER, times).unwrap())
        .collect();
    Keyring::open(&sample().iss, &WRAPPER, &stored, None).unwrap()
}

fn published(set: &Value) -> Keys {
    Keys::read(&Response {
        status: 200,
        body: set.as_object().cloned(),
        ..Response::default()
    })
}

#[test]
fn signatures_are_verified_with_the_published_keys() {
    let (ring, other) = (keyring(), keyring());
    let token = |ring: &Keyring| ring.sign_jwt(&sample(), SigningAlg::EdDsa, TokenTyp::AtJwt).unwrap();
    let (own, strange) = (json!(ring.jwks()), json!(other.jwks()));
    // The key ids of one set and the keys of the other.
    let mut renamed = strange.clone();
    for (key, named) in renamed["keys"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(own["keys"].as_array().unwrap())
    {
        key["kid"] = named["kid"].clone();
    }
    let mut without_kid = own.clone();
    for key in without_kid["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("kid");
    }
    let kid = |set: &Value, index: usize| set["keys"][index]["kid"].as_str().unwrap().to_owned();
    let missing = |set: &Value| {
        (0..2)
            .map(|index| format!("jwks.missing_kid.{}", kid(set, index)))
            .collect::<Vec<_>>()
    };
    let changed = (0..2)
        .map(|index| format!("jwks.changed_key.{}", kid(&own, index)))
        .collect::<Vec<_>>();
    let cases = [
        (&own, vec![], None),
        (&strange, missing(&own), Some("token.kid_not_in_jwks")),
        (&renamed, changed, Some("token.signature")),
        (&without_kid, missing(&own), Some("token.kid_not_in_jwks")),
    ];
    for (set, of_sets, of_token) in cases {
        let of = |set: &Value| Issuer {
            keys: published(set),
            ..issuer(&sample().iss)
        };
        let (old, new) = (of(&own), of(set));
        let mut codes: Vec<String> = issuers(&old, &new).into_iter().map(|it| it.code).collect();
        codes.sort();
        let mut expected = of_sets;
        expected.sort();
        assert_eq!(codes, expected);
        let observed = Observed {
            basic: Pair {
                old: Ok(response(&token(&ring))),
                new: Ok(response(&token(&ring))),
            },
            ..nothing_observed()
        };
        let found = client(&observed, &old, &new);
        let found = found.iter().filter(|it| it.noticed_by == NoticedBy::Verifier);
        assert_eq!(found.map(|it| &*it.code).collect::<Vec<_>>(), of_token.as_slice());
    }
    // A set that cannot be read is no comparison.
    let failed = Issuer {
        keys: Keys::read(&Response {
            status: 500,
            ..Response::default()
        }),
        ..issuer(&sample().iss)
    };
    let old = Issuer {
        keys: published(&own),
        ..issuer(&sample().iss)
    };
    let found = issuers(&old, &failed);
    assert_eq!((&*found[0].code, &*found[0].new), ("not_compared.jwks", "answers 500"));
}

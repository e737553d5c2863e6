use serde_json::{Value, json};

use super::*;

fn token(header: &Value, payload: &str) -> String {
    let header = BASE64URL.encode(header.to_string());
    format!("{header}.{}.c2ln", BASE64URL.encode(payload))
}

fn parsed(payload: &Value) -> Option<ForeignClaims> {
    claims(&token(&json!({"alg": "RS256"}), &payload.to_string()))
}

#[test]
fn clients_and_scopes_are_read_as_each_product_writes_them() {
    let base = |more: Value| {
        let mut payload =
            json!({"iss": "https://old", "sub": "user", "aud": ["a", "b"], "exp": 2_000_000_000.7, "iat": 5});
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        parsed(&payload)
    };
    let of = |more| {
        base(more).map(|claims| {
            (
                claims.client_id.to_string(),
                claims.scope.map(|scope| scope.to_string()),
            )
        })
    };
    let expected = |id: &str, scope: Option<&str>| Some((id.to_owned(), scope.map(str::to_owned)));
    assert_eq!(
        of(json!({"client_id": "hydra", "scp": ["a", "b"]})),
        expected("hydra", Some("a b"))
    );
    assert_eq!(
        of(json!({"azp": "kc", "typ": "Bearer", "scope": "a  b"})),
        expected("kc", Some("a b"))
    );
    assert_eq!(of(json!({"cid": "uaa", "scope": ["a"]})), expected("uaa", Some("a")));
    assert_eq!(
        of(json!({"client_id": "c", "token_use": "access"})),
        expected("c", None)
    );
    assert_eq!(
        of(json!({"sub": "spring", "aud": ["spring"]})),
        expected("spring", None)
    );
    assert_eq!(
        of(json!({"sub": "user", "aud": ["spring"]})),
        None,
        "whose token is it?"
    );
    assert_eq!(of(json!({})), None);
    assert_eq!(base(json!({"client_id": "c"})).unwrap().exp, 2_000_000_000);
}

#[test]
fn tokens_of_another_kind_are_rejected() {
    for more in [
        json!({"nonce": "n"}),
        json!({"at_hash": "h"}),
        json!({"typ": "ID"}),
        json!({"typ": "Refresh"}),
        json!({"token_use": "id"}),
        json!({"cnf": {"jkt": "x"}}),
        json!({"events": {}}),
        json!({"exp": "soon"}),
        json!({"exp": 1e300}),
        json!({"scope": "a\u{7}"}),
        json!({"scope": {"a": 1}}),
        json!({"sub": 5}),
        json!({"aud": 5}),
        json!({"iat": "now"}),
    ] {
        let mut payload = json!({"iss": "https://old", "sub": "c", "aud": "a", "exp": 5, "client_id": "c"});
        assert!(parsed(&payload).is_some());
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(parsed(&payload), None, "{more}");
    }
    let twice = token(
        &json!({"alg": "RS256"}),
        r#"{"iss":"a","exp":5,"client_id":"c","client_id":"d"}"#,
    );
    assert_eq!(claims(&twice), None);
    for bad in [
        json!({"alg": "RS256", "typ": "logout+jwt"}),
        json!({"alg": "RS256", "crit": ["b64"]}),
        json!({"kid": "k"}),
    ] {
        assert_eq!(header(&token(&bad, "{}")), None, "{bad}");
    }
    for good in [
        json!({"alg": "RS256", "typ": "JWT", "x5t": "y"}),
        json!({"alg": "RS256", "typ": "application/AT+JWT"}),
    ] {
        assert!(header(&token(&good, "{}")).is_some(), "{good}");
    }
}

#[test]
fn tokens_of_this_server_and_signed_ones_are_not_opaque() {
    let jwt = token(&json!({"alg": "RS256"}), "{}");
    for other in [
        "",
        "a b",
        "ä",
        "oas_at_AAAA",
        "v4.public.AAAA",
        "v1.local.AAAA",
        &jwt,
        "eyJhbGciOiJkaXIifQ.a.b.c.d",
        &"x".repeat(4097),
    ] {
        assert!(!may_be_opaque(other), "{other}");
    }
    for opaque in ["ory_at_abc.def", "6f1c0d3e-77aa-4c55", "a.b.c", "v4x", "dXNlcg=="] {
        assert!(may_be_opaque(opaque), "{opaque}");
    }
}

#[test]
fn only_introspection_responses_about_access_tokens_count() {
    let base = json!({"active": true, "client_id": "c", "exp": 2_000_000_000, "token_use": "access_token", "token_type": "Bearer"});
    let read = |more: Value| {
        let mut response = base.clone();
        response
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        introspected("opaque", response.to_string().as_bytes()).map(|claims| claims.is_some())
    };
    assert_eq!(read(json!({"ext": {"a": 1}, "username": "x"})), Ok(true));
    for more in [
        json!({"active": false}),
        json!({"token_use": "refresh_token"}),
        json!({"token_type": "DPoP"}),
        json!({"cnf": {}}),
        json!({"exp": null}),
        json!({"client_id": null}),
    ] {
        assert_eq!(read(more.clone()), Ok(false), "{more}");
    }
    for more in [json!({"active": null}), json!({"active": "true"}), json!({"sub": 5})] {
        assert_eq!(read(more.clone()), Err(NoIntrospection), "{more}");
    }
    assert_eq!(introspected("opaque", b"<html>"), Err(NoIntrospection));
    assert_eq!(
        introspected("opaque", br#"{"active":true,"active":false}"#),
        Err(NoIntrospection)
    );
}

#[test]
fn ids_differ_by_issuer_and_token_id() {
    let id = |iss: &str, jti: Option<&str>, exp: i64| {
        parsed(&json!({"iss": iss, "jti": jti, "exp": exp, "client_id": "c"}))
            .unwrap()
            .id
    };
    assert_eq!(id("a", Some("1"), 5), id("a", Some("1"), 6));
    assert_ne!(id("a", Some("1"), 5), id("b", Some("1"), 5));
    assert_ne!(id("a", None, 5), id("a", None, 6));
    assert_eq!(id("a", None, 5).get_version_num(), 8);
}

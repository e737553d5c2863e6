use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::service::clients::metadata::ClientView;

const DEFAULTS: RegistrationDefaults = RegistrationDefaults {
    format: TokenFormat::Paseto,
    ledger: Ledger::Durable,
    has_shared_secret: false,
};

fn registered(json: serde_json::Value) -> Result<Registered, String> {
    let request = serde_json::from_value(json).map_err(|error| error.to_string())?;
    let generated = GeneratedCredentials {
        client_id: "c_fresh".to_owned(),
        secret: "st".repeat(28),
    };
    register(&request, DEFAULTS, generated, 1_700_000_000).map_err(|error| error.to_string())
}

/// The client that this request registers.
pub fn registered_client(json: serde_json::Value) -> Client {
    registered(json).unwrap().client
}

fn client() -> Client {
    let json =
        json!({"client_id": "ci", "scope": "a b", "token_format": "jwt", "signing_alg": "ES256", "client_name": "N"});
    registered(json).unwrap().client
}

fn updated(json: serde_json::Value) -> Result<Client, String> {
    let request = serde_json::from_value(json).map_err(|error| error.to_string())?;
    update(&request, &client(), DEFAULTS).map_err(|error| error.to_string())
}

#[test]
fn an_empty_request_gets_the_defaults() {
    let Registered { client, secret } = registered(json!({})).unwrap();
    let shown = serde_json::to_value(ClientView::new(&client, secret.as_deref())).unwrap();
    let expected = json!({
        "client_id": "c_fresh", "client_secret": "st".repeat(28), "client_name": null,
        "grant_types": ["client_credentials"], "scope": "", "token_format": null, "signing_alg": null, "token_typ": null,
        "audience": [], "introspection_audiences": [], "token_ledger": null, "access_token_lifetime": null,
        "rate_limits": {}, "rate_limit_mode": null, "quotas": {}, "quota_mode": null, "reuse_percent": null, "claims": {},
        "group": null, "disabled": false, "managed_by": null, "created_at": 1_700_000_000,
    });
    assert_eq!(shown, expected);
    let again = serde_json::to_value(ClientView::new(&client, None)).unwrap();
    assert!(again.get("client_secret").is_none());
}

#[test]
fn errors_name_the_field() {
    let bad = [
        json!({"client_id": ""}),
        json!({"client_id": "a\nb"}),
        json!({"client_id": "ü"}),
        json!({"client_id": "a".repeat(257)}),
        json!({"client_secret": "short"}),
        json!({"client_secret": "éa".repeat(20)}),
        json!({"client_name": "a\u{0}b"}),
        json!({"grant_types": ["password"]}),
        json!({"scope": "a\"b"}),
        json!({"token_format": "jwt", "signing_alg": "HS256"}),
        json!({"rate_limits": {"token": "100"}}),
        json!({"rate_limits": {"tokens": "100/s"}}),
        json!({"rate_limit_mode": "on"}),
        json!({"quotas": {"day": 0}}),
        json!({"quotas": {"week": 1}}),
        json!({"quota_mode": ""}),
        json!({"reuse_percent": 91}),
        json!({"token_format": "opaque", "reuse_percent": 50}),
        json!({"claims": {"exp": 1}}),
        json!({"claims": {"a b": 1}}),
        json!({"claims": {"a": [[[[[1]]]]]}}),
        json!({"claims": {"a": "x".repeat(1024)}}),
        json!({"claims": {"a": [{"b": "\u{0}"}]}}),
        json!({"scope": "a\tb"}),
        json!({"scope": "a".repeat(129)}),
        json!({"scope": "ab ".repeat(700)}),
        json!({"token_format": "saml"}),
        json!({"signing_alg": "EdDSA"}),
        json!({"signing_alg": "none", "token_format": "jwt"}),
        json!({"audience": [""]}),
        json!({"audience": ["a\nb"]}),
        json!({"audience": ["a".repeat(513)]}),
        json!({"audience": ["https://a/ b"]}),
        json!({"audience": ["https://a/%4"]}),
        json!({"audience": ["my api: prod"]}),
        json!({"audience": [":"]}),
        json!({"audience": ["urn:"]}),
        json!({"audience": ["https://a", "https://a"]}),
        json!({"introspection_audiences": ["1:2"]}),
        json!({"token_ledger": "stateless", "token_format": "opaque"}),
        json!({"access_token_lifetime": 0}),
        json!({"access_token_lifetime": 2_592_001}),
        json!({"created_at": 1}),
    ];
    for json in bad {
        let field = json
            .as_object()
            .unwrap()
            .keys()
            .find(|key| *key != "token_format")
            .map_or("token_format", |key| key);
        let error = registered(json.clone()).map(|_| ()).unwrap_err();
        assert!(error.starts_with(field), "{json}: {error}");
    }
    assert!(registered(json!({"clientid": "x"})).is_err());
}

#[test]
fn scopes_keep_their_order_and_lose_duplicates() {
    let made =
        registered(json!({"scope": " write read  write ", "audience": ["urn:x:y", "https://api.example"]})).unwrap();
    assert_eq!(&*made.client.scope, "write read");
    assert_eq!(made.client.audience.len(), 2);
}

#[test]
fn audiences_are_names_or_uris() {
    let given = json!([
        "my-api",
        "My API",
        "api://default",
        "urn:x",
        "https://a#b",
        "https://a/%41?x=1",
        "localhost:8080",
        "/relative",
        "日本",
        "[1]",
        "spiffe://example.org/a",
    ]);
    let made = registered(json!({"audience": given, "introspection_audiences": given})).unwrap();
    let shown = serde_json::to_value(ClientView::new(&made.client, None)).unwrap();
    assert_eq!(
        (&shown["audience"], &shown["introspection_audiences"]),
        (&given, &given)
    );
}

#[test]
fn client_ids_are_printable_ascii() {
    for id in [
        ".",
        "..",
        "a/../b",
        "a b",
        " ",
        "me@example.com",
        "https://app.example/cb?x=1#y",
        "100%",
        "\"quoted\"\\",
        "a,b",
    ] {
        assert_eq!(&*registered(json!({"client_id": id})).unwrap().client.client_id, id);
    }
    assert!(registered(json!({"client_id": "~".repeat(256)})).is_ok());
}

#[test]
fn a_client_gets_the_grants_that_are_named_or_those_of_its_kind() {
    let all = json!(["client_credentials"]);
    let resource_server = json!({"introspection_audiences": ["api"]});
    let cases = [
        (json!({}), all.clone()),
        (json!({"scope": "a"}), all.clone()),
        (resource_server.clone(), json!([])),
        (
            json!({"introspection_audiences": ["api"], "client_name": "N"}),
            json!([]),
        ),
        (
            json!({"introspection_audiences": ["api"], "grant_types": null}),
            json!([]),
        ),
        (json!({"introspection_audiences": ["api"], "scope": "a"}), all.clone()),
        (
            json!({"introspection_audiences": ["api"], "audience": ["b"]}),
            all.clone(),
        ),
        (
            json!({"introspection_audiences": ["api"], "grant_types": all}),
            all.clone(),
        ),
        (json!({"introspection_audiences": []}), all.clone()),
        (json!({"grant_types": []}), json!([])),
    ];
    for (request, grants) in cases {
        let made = registered(request.clone()).unwrap().client;
        assert_eq!(serde_json::to_value(&*made.grant_types).unwrap(), grants, "{request}");
    }
    // An update changes them only where it names them.
    let made = registered(resource_server).unwrap().client;
    let after = |request: serde_json::Value| {
        let changed = update(&serde_json::from_value(request).unwrap(), &made, DEFAULTS).unwrap();
        serde_json::to_value(&*changed.grant_types).unwrap()
    };
    assert_eq!(after(json!({"scope": "a"})), json!([]));
    assert_eq!(after(json!({"scope": "a", "grant_types": null})), all);
    assert_eq!(after(json!({"grant_types": all})), all);
}

#[test]
fn an_update_is_a_merge_patch() {
    let changed = updated(json!({"scope": "c", "client_name": null, "disabled": true})).unwrap();
    let expected = Client {
        scope: "c".into(),
        client_name: None,
        disabled: true,
        ..client()
    };
    assert_eq!(changed, expected);
    // The algorithm of the JWTs would be left over.
    assert!(
        updated(json!({"token_format": "paseto"}))
            .unwrap_err()
            .starts_with("signing_alg")
    );
    assert!(updated(json!({"token_format": "paseto", "signing_alg": null})).is_ok());
    for field in ["client_id", "client_secret"] {
        assert!(updated(json!({field: "ci"})).unwrap_err().starts_with(field));
    }
    assert!(
        updated(json!({"created_at": null}))
            .unwrap_err()
            .starts_with("created_at")
    );
}

proptest! {
    #[test]
    fn no_input_panics_and_accepted_input_is_accepted_again(
        id in "\\PC{0,10}|[a-z:._~-]{1,10}", scope in "(\\PC| ){0,40}|[a-c ]{0,20}", uri in "\\PC{0,30}|https://[a-z]{1,5}(/[a-z%]{0,3})?",
        name in any::<String>(), seconds in any::<u64>(),
    ) {
        let json = json!({
            "client_id": id, "scope": scope, "audience": [uri], "client_name": name, "access_token_lifetime": seconds % 3_000_000,
        });
        if let Ok(made) = registered(json) {
            let again = json!({"scope": &*made.client.scope, "audience": made.client.audience.iter().map(|uri| &**uri).collect::<Vec<_>>()});
            let request = serde_json::from_value(again).unwrap();
            prop_assert_eq!(update(&request, &made.client, DEFAULTS).unwrap(), made.client);
        }
    }
}

#[test]
fn policy_is_merged_member_by_member() {
    let with = |json| {
        let made = registered(json).unwrap().client;
        serde_json::to_value(ClientView::new(&made, None)).unwrap()
    };
    let shown =
        with(json!({"rate_limits": {"token": "10/s:20"}, "quotas": {"day": 5}, "claims": {"tenant": {"id": 7}}}));
    assert_eq!(shown["rate_limits"], json!({"token": "10/s:20"}));
    assert_eq!(
        (&shown["quotas"], &shown["claims"]),
        (&json!({"day": 5}), &json!({"tenant": {"id": 7}}))
    );

    let made = updated(json!({"claims": {"a": 1, "b": 2}, "quotas": {"day": 5, "hour": 1}})).unwrap();
    let request = json!({"claims": {"a": null, "c": 3}, "quotas": null});
    let changed = update(&serde_json::from_value(request).unwrap(), &made, DEFAULTS).unwrap();
    let shown = serde_json::to_value(ClientView::new(&changed, None)).unwrap();
    assert_eq!(
        (&shown["claims"], &shown["quotas"]),
        (&json!({"b": 2, "c": 3}), &json!({}))
    );
    let request = json!({"claims": null});
    let bare = update(&serde_json::from_value(request).unwrap(), &changed, DEFAULTS).unwrap();
    assert_eq!(bare.policy, None, "nothing said costs nothing");
}

//! Audiences that are names or URIs, and the grants of a client for which none are named.

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::migrated;
use crate::{shared, unique};

on_both_stores!(
    audience_is_a_name_or_a_uri,
    longest_fields_make_a_token_that_can_be_introspected,
    client_without_named_grants_gets_those_of_its_kind,
);

const SECRET: &str = "a-secret-of-a-client-with-unusual-fields";

async fn audience_is_a_name_or_a_uri(kind: Kind) {
    const AUDIENCES: [&str; 8] = [
        "my-api",
        "My API, v1",
        "api://default",
        "urn:x",
        "https://a.example/x#y",
        "localhost:8080",
        "[\"x\"]",
        "日本",
    ];
    let server = shared(kind).await;
    let resource = server.register(json!({"introspection_audiences": AUDIENCES})).await;
    for format in ["paseto", "jwt", "opaque"] {
        let client = server
            .register(json!({"audience": AUDIENCES, "token_format": format}))
            .await;
        for parameter in ["resource", "audience"] {
            for audience in AUDIENCES {
                let response = server.request_token(&client, &[(parameter, audience)]).await;
                let (status, body) = (response.status(), body_of(response).await);
                assert_eq!(status, StatusCode::OK, "{audience}: {body}");
                let token = body["access_token"].as_str().unwrap();
                assert_eq!(server.introspect(&resource, token).await["aud"], audience);
            }
        }
        let other = server.request_token(&client, &[("audience", "my-api ")]).await;
        assert_eq!(other.status(), StatusCode::BAD_REQUEST);
    }

    let (source, target) = (migrated(kind).await, migrated(kind).await);
    let row =
        json!({"client_id": "ci", "client_secret": SECRET, "audience": AUDIENCES, "introspection_audiences": ["a b"]});
    let imported = source.run_with_input(&["client", "import", "-", "--format", "jsonl"], &row.to_string());
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let export = |setup: &oauth2_testkit::Setup| {
        setup
            .run(&["client", "export", "--format", "csv", "--with-secret-hashes"])
            .stdout
    };
    let imported = target.run_with_input(&["client", "import", "-", "--format", "csv"], &export(&source));
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    assert_eq!(
        target.json(&["client", "show", "ci", "--json"])["audience"],
        json!(AUDIENCES)
    );
    assert_eq!(export(&target), export(&source));
}

async fn client_without_named_grants_gets_those_of_its_kind(kind: Kind) {
    let server = shared(kind).await;
    let created = async |metadata: Value| {
        let response = server
            .admin(Method::POST, "/clients")
            .json(&metadata)
            .send()
            .await
            .unwrap();
        body_of(response).await
    };
    let api = created(json!({"introspection_audiences": ["https://api.example"]})).await;
    assert_eq!(api["grant_types"], json!([]));
    let response = server.request_token(&Credentials::of(&api), &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(body_of(response).await["error"], "unauthorized_client");
    let both = json!({"introspection_audiences": ["https://api.example"], "grant_types": ["client_credentials"]});
    let both = created(both).await;
    server.token(&Credentials::of(&both)).await;
    let plain = created(json!({"scope": "a"})).await;
    assert_eq!(plain["grant_types"], json!(["client_credentials"]));
    let none = created(json!({"scope": "a", "grant_types": []})).await;
    assert_eq!(none["grant_types"], json!([]));

    let setup = migrated(kind).await;
    let grants =
        |arguments: &[&str]| setup.json(&[&["client"], arguments, &["--json"]].concat())["grant_types"].clone();
    assert_eq!(
        grants(&["create", "--id", "api", "--resource-server", "https://api.example"]),
        json!([])
    );
    assert_eq!(grants(&["create", "--id", "plain"]), json!(["client_credentials"]));
    let named = [
        "create",
        "--id",
        "both",
        "--resource-server",
        "urn:x",
        "--grant",
        "client_credentials",
    ];
    assert_eq!(grants(&named), json!(["client_credentials"]));
    assert_eq!(grants(&["update", "api", "--scope", "a"]), json!([]));
    assert_eq!(
        grants(&["update", "api", "--reset", "grant"]),
        json!(["client_credentials"])
    );
    let shown = setup
        .run(&["client", "create", "--introspection-audience", "urn:x"])
        .stdout;
    let line = shown.lines().find(|line| line.starts_with("grant_types")).unwrap();
    assert!(line.ends_with("none"), "{shown}");

    for (format, text) in [
        (
            "csv",
            format!(
                "client_id,client_secret,introspection_audiences,grant_types,scope\nr,{SECRET},urn:x,,\nn,{SECRET},,[],a\nc,{SECRET},,,a\n"
            ),
        ),
        (
            "jsonl",
            [
                json!({"client_id": "r", "introspection_audiences": ["urn:x"]}),
                json!({"client_id": "n", "grant_types": []}),
                json!({"client_id": "c"}),
            ]
            .map(|mut row| {
                row["client_secret"] = SECRET.into();
                format!("{row}\n")
            })
            .concat(),
        ),
    ] {
        let setup = migrated(kind).await;
        for _ in 0..2 {
            let imported = setup.run_with_input(&["client", "import", "-", "--format", format], &text);
            assert_eq!(imported.code, 0, "{}", imported.stderr);
        }
        for (id, expected) in [("r", json!([])), ("n", json!([])), ("c", json!(["client_credentials"]))] {
            assert_eq!(
                setup.json(&["client", "show", id, "--json"])["grant_types"],
                expected,
                "{format} {id}"
            );
        }
    }
}

async fn longest_fields_make_a_token_that_can_be_introspected(kind: Kind) {
    let server = shared(kind).await;
    // Every quote is escaped in JSON.
    let id = format!("{}{}", unique("\""), "\"".repeat(240));
    let scope: Vec<String> = (0..16).map(|n| format!("{n:02}{}", "s".repeat(124))).collect();
    let longest = json!({
        "client_id": id, "client_secret": SECRET, "audience": ["\"".repeat(512)], "scope": scope.join(" "),
        "claims": {"c": "\"".repeat(500)},
    });
    for format in ["jwt", "paseto", "opaque"] {
        let mut client = longest.clone();
        client["token_format"] = format.into();
        client["client_id"] = format!("{id}{}", &format[..1]).into();
        let client = server.register(client).await;
        let introspected = server.introspect(&client, &server.token(&client).await).await;
        assert_eq!(
            (&introspected["active"], &introspected["client_id"]),
            (&json!(true), &json!(client.id))
        );
    }
}

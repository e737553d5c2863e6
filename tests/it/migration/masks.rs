//! Masks that exports have instead of secrets: no door takes one as a secret.

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, Kind, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::invalid_exports::rejected;
use super::parsed;
use crate::cli::migrated;
use crate::setup;

on_both_stores!(
    masks_of_every_product_are_rejected_with_position_and_field,
    masks_are_no_secrets_of_other_imports_and_requests,
    random_secrets_of_exports_are_no_masks,
);

const PROBLEM: &str = "is a mask, such as ********** or <redacted>, which an export has instead of the secret";

const MASKS: [&str; 13] = [
    "*********",
    "**********",
    "****************************************",
    "<redacted>",
    "[REDACTED]",
    "***REDACTED***",
    "(sensitive value)",
    "<secret withheld>",
    "xxxxxxxx",
    "••••",
    "hidden",
    "00000000-0000-0000-0000-000000000000",
    "${CLIENT_SECRET}",
];

/// An export of each product with a client that has a mask, and the position and field that the error names.
fn exports(mask: &str) -> [(&'static str, String, &'static str); 13] {
    let grants = ["client_credentials"];
    let duende = json!({
        "Id": 1, "ClientId": "a", "AllowedGrantTypes": grants, "AllowedScopes": [], "ClientSecrets": [{"Value": mask}],
    });
    let keycloak = |secret: &str, rotated: &str| {
        json!({"clients": [{"clientId": "a", "secret": secret, "serviceAccountsEnabled": true,
            "attributes": {"client.secret.rotated": rotated, "client.secret.rotated.expiration.time": "4000000000"}}]})
        .to_string()
    };
    let with_secret = json!([{"client_id": "a", "client_secret": mask, "grant_types": grants}]).to_string();
    let spring = |secret: &str| {
        format!(
            "client_id,client_secret,client_authentication_methods,authorization_grant_types\r\n\
             a,{secret},client_secret_basic,client_credentials\r\n"
        )
    };
    let uaa = |secret: &str| {
        json!([{"client_id": "a", "client_secret": secret, "authorized_grant_types": grants}]).to_string()
    };
    let cognito = json!({"UserPoolClient": {"ClientId": "a", "ClientSecret": mask, "AllowedOAuthFlows": grants}});
    let strong = "k3yK3yQw8Zr1Tn5vAb7Qn2Lm9Xc4Vb6N";
    [
        ("auth0", with_secret.clone(), "client 1 (a): client_secret"),
        ("hydra", with_secret.clone(), "client 1 (a): client_secret"),
        (
            "hydra",
            format!("id,client_secret,grant_types\na,{mask},\"[\"\"client_credentials\"\"]\"\n"),
            "line 2 (a): client_secret",
        ),
        ("oidc-provider", with_secret, "client 1 (a): client_secret"),
        ("cognito", cognito.to_string(), "client 1 (a): ClientSecret"),
        ("uaa", uaa(&format!("{{noop}}{mask}")), "client 1 (a): client_secret"),
        ("uaa", uaa(mask), "client 1 (a): client_secret"),
        (
            "uaa",
            uaa(&format!("{{noop}}{mask} {{noop}}{strong}")),
            "client 1 (a): client_secret (first of two)",
        ),
        ("spring", spring(mask), "line 2 (a): client_secret"),
        (
            "spring",
            spring(&format!("{{noop}}{mask}")),
            "line 2 (a): client_secret",
        ),
        (
            "duende",
            json!([duende]).to_string(),
            "client 1 (a): ClientSecrets.Value",
        ),
        ("keycloak", keycloak(mask, strong), "client 1 (a): secret"),
        (
            "keycloak",
            keycloak(strong, mask),
            "client 1 (a): attributes.client.secret.rotated",
        ),
    ]
}

async fn masks_of_every_product_are_rejected_with_position_and_field(kind: Kind) {
    let setup = migrated(kind).await;
    // Every product has the same rule.
    let of_auth0 = MASKS[1..].iter().map(|mask| exports(mask).into_iter().next().unwrap());
    for (product, export, position) in exports(MASKS[0]).into_iter().chain(of_auth0) {
        let error = rejected(&setup, product, &export, &[]);
        let expected = format!("{position} {PROBLEM}");
        assert!(error.contains(&expected), "{product} {export}: {expected}\n{error}");
    }
    assert_eq!(parsed(&setup.run(&["client", "list", "--json"]))["items"], json!([]));
}

/// Applies a file with a client of this secret, and returns the errors.
fn apply(setup: &Setup, secret: &str) -> String {
    let directory = setup.directory();
    std::fs::write(directory.join("secret"), secret).unwrap();
    let (inline, named) = (directory.join("inline.yaml"), directory.join("named.yaml"));
    let client = json!({"client_id": "inline", "client_secret": secret});
    let files = [
        (&inline, json!({"owner": "a", "clients": [client]})),
        (
            &named,
            json!({"owner": "a", "clients": [{"client_id": "named", "secret_file": "secret"}]}),
        ),
    ];
    let mut errors = String::new();
    for (file, text) in files {
        std::fs::write(file, text.to_string()).unwrap();
        let output = setup.run(&["apply", "--file", file.to_str().unwrap()]);
        assert_eq!(output.code, 2, "{secret}: {}", output.stdout);
        errors += &output.stderr;
    }
    errors
}

async fn masks_are_no_secrets_of_other_imports_and_requests(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await).await;
    for mask in MASKS {
        let row = json!({"client_id": "a", "client_secret": mask}).to_string();
        let table = format!("client_id,client_secret\r\na,{mask}\r\n");
        for (format, text, line) in [("jsonl", &row, 1), ("csv", &table, 2)] {
            let output = server
                .setup
                .run_with_input(&["client", "import", "-", "--format", format], text);
            assert_eq!(output.code, 2, "{mask}: {}", output.stdout);
            let expected = format!("line {line}: client_secret {PROBLEM}");
            assert!(output.stderr.contains(&expected), "{mask}: {}", output.stderr);
        }
        let hashed = mask.replace([' ', '•'], "*");
        for row in [
            json!({"client_id": "a", "client_secret_hash": mask, "client_secret_hash_scheme": "plain"}),
            json!({"client_id": "a", "client_secret_hash": format!("{{noop}}{hashed}")}),
        ] {
            let command = ["client", "import", "-", "--format", "jsonl"];
            let output = server.setup.run_with_input(&command, &row.to_string());
            let expected = format!("line 1: client_secret_hash {PROBLEM}");
            assert!(output.stderr.contains(&expected), "{row}: {}", output.stderr);
        }
        let errors = apply(&server.setup, mask);
        assert_eq!(errors.matches(PROBLEM).count(), 2, "{mask}: {errors}");
        let output = server.setup.run(&["client", "create", "--id", "a", "--secret", mask]);
        assert!(
            output.code == 2 && output.stderr.contains(PROBLEM),
            "{mask}: {}",
            output.stderr
        );
        for (method, path) in [(Method::POST, "/clients"), (Method::PUT, "/clients/a")] {
            let body = json!({"client_id": "a", "client_secret": mask});
            let response = server.admin(method, path).json(&body).send().await.unwrap();
            let (status, body): (_, Value) = (response.status(), body_of(response).await);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{mask}: {body}");
            assert!(body.to_string().contains(PROBLEM), "{body}");
        }
    }
    for id in ["a", "inline", "named"] {
        assert_ne!(
            server.setup.run(&["client", "show", id]).code,
            0,
            "{id} was not created"
        );
    }
}

async fn random_secrets_of_exports_are_no_masks(kind: Kind) {
    let setup = migrated(kind).await;
    let secrets = [
        "k3yK3yQw8Zr1Tn5v",
        "550e8400-e29b-41d4-a716-446655440000",
        "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        "hidden valley ranch dressing is good",
        "**k3yK3yQw8Zr1Tn5v**",
    ];
    let clients: Vec<Value> = (0..)
        .zip(secrets)
        .map(|(n, secret)| {
            json!({"client_id": format!("c{n}"), "client_secret": secret, "grant_types": ["client_credentials"]})
        })
        .collect();
    let file = setup.directory().join("export");
    std::fs::write(&file, json!(clients).to_string()).unwrap();
    let output = setup.run(&["client", "import", "--from", "auth0", file.to_str().unwrap(), "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(parsed(&output)["created"], secrets.len());
}

//! The API document: where it is to be had, and that the server keeps to it.

use std::path::Path;
use std::process::Command;

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use crate::{outside, setup, start};

on_both_stores!(every_response_conforms_to_the_document);

fn kept() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn served_document_equals_the_committed_one() {
    let server = start(Kind::Sqlite).await;
    let told = server.get_json(server.management_url("/openapi.json")).await;
    assert_eq!(
        told,
        serde_json::from_str::<Value>(&kept()).unwrap(),
        "`make openapi` generates docs/openapi.json"
    );
    let hidden = reqwest::get(server.url("/openapi.json")).await.unwrap();
    assert_eq!(hidden.status(), 404, "it is for operators");
}

#[tokio::test(flavor = "multi_thread")]
async fn document_is_printed_without_a_configuration() {
    let broken = setup(Kind::Sqlite).await.with("OAUTH2_SERVER_PORT", "none");
    let printed = broken.run(&["openapi"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    assert_eq!(printed.stdout, kept(), "`make openapi` generates docs/openapi.json");
}

async fn every_response_conforms_to_the_document(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read write"})).await;
    let mut command: Command = outside::program("document.py", &server);
    command.args(["--management", server.management_url("").trim_end_matches('/')]);
    command.args(["--admin-token", server.admin_token()]);
    command.args(["--client", &client.id, "--secret", &client.secret]);
    outside::passes(command);
}

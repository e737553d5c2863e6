//! Other people's libraries check the running server: `tests/outside`, in the Python environment that `make test` makes.

use std::path::Path;
use std::process::Command;

use oauth2_testkit::{Credentials, Kind, Output, Server};
use serde_json::json;

use crate::shared;

on_both_stores!(
    pyseto_verifies_tokens_and_rejects_flipped_bits,
    joserfc_verifies_tokens_and_rejects_flipped_bits,
    authlib_uses_every_endpoint_by_discovery,
);

/// A program of `tests/outside`, told where the server is.
pub fn program(name: &str, server: &Server) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("OUTSIDE_PYTHON").map_or_else(|| root.join("target/outside/bin/python"), Into::into);
    assert!(python.exists(), "{} is made by `make setup`", python.display());
    let mut command = Command::new(python);
    command
        .arg(root.join("tests/outside").join(name))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["--issuer", &server.issuer()]);
    command
}

/// Runs a program to its verdict.
pub fn passes(mut command: Command) {
    let output = Output::of(&mut command);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.starts_with("ok: "), "{}", output.stdout);
}

fn check(server: &Server, name: &str, clients: &[(&str, &Credentials)]) {
    let mut command = program(name, server);
    for (prefix, client) in clients {
        command.args([format!("--{prefix}client"), client.id.clone()]);
        command.args([format!("--{prefix}secret"), client.secret.clone()]);
    }
    passes(command);
}

async fn pyseto_verifies_tokens_and_rejects_flipped_bits(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read write"})).await;
    check(&server, "paseto.py", &[("", &client)]);
}

async fn joserfc_verifies_tokens_and_rejects_flipped_bits(kind: Kind) {
    let server = shared(kind).await;
    let eddsa = json!({"scope": "read write", "token_format": "jwt", "signing_alg": "EdDSA"});
    let es256 = json!({"scope": "read write", "token_format": "jwt", "signing_alg": "ES256"});
    let (eddsa, es256) = (server.register(eddsa).await, server.register(es256).await);
    check(&server, "jwt.py", &[("eddsa-", &eddsa), ("es256-", &es256)]);
}

async fn authlib_uses_every_endpoint_by_discovery(kind: Kind) {
    let server = shared(kind).await;
    for format in ["paseto", "jwt", "opaque"] {
        let client = server
            .register(json!({"scope": "read write", "token_format": format}))
            .await;
        check(&server, "client.py", &[("", &client)]);
    }
}

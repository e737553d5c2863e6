//! The credential of each action of an operator, and the operator who issued that credential.

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Kind, Output};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::rejections::{call, jti, rows};
use super::{list, settled};
use crate::start;

on_both_stores!(
    actions_are_traced_to_the_token_and_its_issuance,
    cli_actor_is_not_what_the_environment_says,
);

async fn actions_are_traced_to_the_token_and_its_issuance(kind: Kind) {
    let server = start(kind).await;
    let alice = server
        .register(json!({"client_id": "alice", "scope": "oauth2.admin"}))
        .await;
    server
        .register(json!({"client_id": "bob", "scope": "oauth2.admin read"}))
        .await;
    let of_alice = server.token(&alice).await;
    let credential = jti(&server, &alice, &of_alice).await;
    let issue = async |body: Value| {
        let url = server.management_url("/admin/v1/tokens:issue");
        let request = server.http.post(url).bearer_auth(&of_alice).json(&body);
        body_of(request.send().await.unwrap()).await["tokens"].clone()
    };
    let minted = issue(json!({"client_id": "bob"})).await;
    let (of_bob, jti_of_bob) = (
        minted[0]["access_token"].as_str().unwrap(),
        minted[0]["jti"].as_str().unwrap(),
    );
    let patch = json!({"client_name": "Mallory"});
    assert_eq!(
        call(&server, of_bob, Method::PATCH, "/clients/alice", patch).await,
        StatusCode::OK
    );
    let many = issue(json!({"client_id": "bob", "count": 30, "scope": "read"})).await;
    let one_of_many = many[17]["jti"].as_str().unwrap();

    let update = &rows(&server, "?kind=client.update&client_id=alice", 1).await[0];
    assert_eq!(
        (&update["actor"], &update["detail"]["credential"]),
        (&json!("client:bob"), &json!(jti_of_bob))
    );
    settled(&server).await;
    for jti in [jti_of_bob, one_of_many] {
        let by_http = list(&server, &format!("?jti={jti}&kind=token.issue")).await.1;
        let by_cli = server.setup.audit(&["--jti", jti, "--kind", "token.issue"]).await;
        assert_eq!(by_http["items"], by_cli["items"]);
        let [row] = &by_http["items"].as_array().unwrap()[..] else {
            panic!("{jti}: {by_http}");
        };
        assert_eq!(
            (&row["actor"], &row["detail"]["credential"]),
            (&json!("client:alice"), &json!(credential))
        );
        assert_eq!(row["detail"]["admin_api"], jti == jti_of_bob, "{row}");
        assert_eq!(row["detail"]["audience"], server.issuer(), "{row}");
        assert_eq!(
            row["detail"]["scope"],
            if jti == jti_of_bob { "oauth2.admin read" } else { "read" }
        );
    }
    let by_alice = list(&server, "?actor=client:alice").await.1;
    assert_eq!(by_alice["items"].as_array().unwrap().len(), 2);
    let of_token = list(&server, &format!("?jti={jti_of_bob}")).await.1;
    assert_eq!(
        of_token["items"].as_array().unwrap().len(),
        2,
        "its issuance and its use: {of_token}"
    );
    let unknown = "?jti=01990000-0000-7000-8000-000000000000&kind=token.issue";
    assert_eq!(list(&server, unknown).await.1["items"], json!([]));
    // The static token and the command line are credentials, too.
    let registered = &rows(&server, "?kind=client.create&client_id=bob", 1).await[0];
    let credential = registered["detail"]["credential"].as_str().unwrap();
    assert!(
        credential.starts_with("admin_token:") && !credential.contains(server.admin_token()),
        "{registered}"
    );
    assert_eq!(
        list(&server, &format!("?credential={credential}&kind=client")).await.1["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    for (query, word) in [
        ("?jti=x", "jti"),
        ("?actor=", "actor"),
        ("?credential=%00", "credential"),
    ] {
        let (status, body) = list(&server, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body["error_description"].as_str().unwrap().contains(word), "{body}");
    }
    let output = server.setup.run(&["audit", "list", "--jti", "x"]);
    assert!(output.code == 2 && output.stderr.contains("--jti"), "{}", output.stderr);
}

async fn cli_actor_is_not_what_the_environment_says(kind: Kind) {
    let server = start(kind).await;
    let mut command = server.setup.command(&["client", "create", "--id", "made"]);
    for name in ["USER", "LOGNAME", "SUDO_USER"] {
        command.env(name, "mallory");
    }
    assert_eq!(Output::of(&mut command).code, 0);
    let user = Output::of(std::process::Command::new("id").arg("-un")).stdout;
    let uid = Output::of(std::process::Command::new("id").arg("-u")).stdout;
    settled(&server).await;
    let (_, page) = list(&server, "?client_id=made&kind=client.create").await;
    let actor = page["items"][0]["actor"].as_str().unwrap();
    let expected = [format!("cli:{}", user.trim()), format!("cli:uid:{}", uid.trim())];
    assert!(expected.iter().any(|expected| expected == actor), "{page}");
}

//! What groups are charged for.

use oauth2_testkit::{Kind, until};
use reqwest::Method;
use serde_json::{Value, json};

use super::{PATIENCE, call};
use crate::start;

on_both_stores!(groups_are_charged_for_every_token_of_their_clients);

async fn groups_are_charged_for_every_token_of_their_clients(kind: Kind) {
    let server = start(kind).await;
    // A group needs no limits to be charged.
    let stateless = server
        .register(json!({"group": "charged", "token_ledger": "stateless"}))
        .await;
    let moving = server.register(json!({"group": "charged"})).await;
    for client in [&stateless, &stateless, &moving] {
        server.token(client).await;
    }
    let path = format!("/clients/{}", moving.id);
    call(&server, Method::PATCH, &path, json!({"group": "charged-later"}), 200).await;
    server.token(&moving).await;
    let order = json!({"client_id": moving.id, "count": 5});
    call(&server, Method::POST, "/tokens:issue", order, 200).await;
    let issued = server
        .setup
        .run(&["token", "issue", "--client", &moving.id, "--count", "2", "--out", "-"]);
    assert_eq!(issued.code, 0, "{}", issued.stderr);

    let tokens = |charges: &Value, group: &str| {
        let items = charges["items"].as_array().unwrap().iter();
        let of_group = items.filter(|item| item["group"] == group);
        of_group.map(|item| item["tokens"].as_u64().unwrap()).sum::<u64>()
    };
    let are_charged = async || {
        let charges = call(&server, Method::GET, "/groups:usage?by=day", Value::Null, 200).await;
        (tokens(&charges, "charged"), tokens(&charges, "charged-later")) == (3, 8)
    };
    until(PATIENCE, "nodes have added what they issued", are_charged).await;
    let by_command = server.setup.json(&["group", "usage", "--json"]);
    assert_eq!(
        (tokens(&by_command, "charged"), tokens(&by_command, "charged-later")),
        (3, 8)
    );
    assert_eq!(
        by_command["items"][0]["period"].as_str().unwrap().len(),
        "2026-11".len()
    );

    let request = server.admin(Method::GET, "/groups:usage?format=csv&by=day&group=charged");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    let by_http = response.text().await.unwrap();
    let by_cli = server
        .setup
        .run(&["group", "usage", "--csv", "--by", "day", "--group", "charged"])
        .stdout;
    assert_eq!(by_http, by_cli);
    let lines: Vec<_> = by_http.lines().collect();
    assert_eq!(lines[0], "period,group,tokens");
    assert!(
        lines[1].starts_with("20") && lines[1].ends_with(",charged,3"),
        "{by_http}"
    );
    // Of a period without tokens there are none.
    let before = call(
        &server,
        Method::GET,
        "/groups:usage?from=2020-01-01&until=2020-12-31",
        Value::Null,
        200,
    );
    assert_eq!(before.await["items"], json!([]));

    let top = call(&server, Method::GET, "/groups:top?limit=1000", Value::Null, 200).await;
    let of_group = |top: &Value, group: &str| {
        let items = top["items"].as_array().unwrap().iter();
        items
            .filter(|item| item["group"] == group)
            .map(|item| item["still_valid_tokens"].clone())
            .next()
    };
    // By the group that a client has now.
    assert_eq!(of_group(&top, "charged"), Some(json!(2)));
    let top = server
        .setup
        .json(&["client", "top", "--group", "--limit", "1000", "--json"]);
    assert_eq!(
        of_group(&top, "charged-later"),
        Some(json!(9)),
        "recorded tokens of all nodes: {top}"
    );
    let of_one = server
        .setup
        .json(&["client", "top", "--group", "charged-later", "--json"]);
    assert_eq!(
        of_one["items"],
        json!([{"client_id": moving.id, "still_valid_tokens": 9}])
    );
    let of_one = call(&server, Method::GET, "/clients:top?group=charged", Value::Null, 200).await;
    assert_eq!(
        of_one["items"],
        json!([{"client_id": stateless.id, "still_valid_tokens": 2}])
    );
}

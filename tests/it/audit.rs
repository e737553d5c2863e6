//! Who changed what: listed, followed, logged.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{setup, start};

on_both_stores!(
    every_change_is_listed_by_time_client_and_kind,
    a_cursor_of_another_list_is_refused,
    new_rows_are_followed,
    failed_authentications_are_folded_past_a_rate,
    old_rows_are_forgotten,
);

async fn list(server: &Server, query: &str) -> (StatusCode, Value) {
    let answer = server
        .admin(Method::GET, &format!("/audit{query}"))
        .send()
        .await
        .unwrap();
    (answer.status(), body_of(answer).await)
}

fn actions(page: &Value) -> Vec<&str> {
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect()
}

/// Waits until all that was done shows in the log: on Postgres a row does once no older transaction runs, of whichever database.
async fn settled(server: &Server) {
    const LAST: &str = "01990000-0000-7000-8000-000000000000";
    let last = server.admin(Method::POST, &format!("/tokens/{LAST}/revoke"));
    assert_eq!(last.send().await.unwrap().status(), StatusCode::OK);
    let deadline = Instant::now() + Duration::from_secs(20);
    while list(server, "?kind=token.revoke&limit=1").await.1["items"][0]["target_id"] != LAST {
        assert!(Instant::now() < deadline, "some transaction does not end");
    }
}

async fn every_change_is_listed_by_time_client_and_kind(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    server.register(json!({"client_id": "other"})).await;
    server
        .admin(Method::PATCH, "/clients/ci")
        .json(&json!({"scope": "a"}))
        .send()
        .await
        .unwrap();
    let token = server.token(&client).await;
    server.revoke(&client, &token).await;
    assert_eq!(server.setup.run(&["client", "disable", "other"]).code, 0);

    settled(&server).await;
    let (_, all) = list(&server, "?kind=client").await;
    assert_eq!(
        actions(&all)[..4],
        ["client.update", "client.update", "client.create", "client.create"]
    );
    let row = &all["items"][0];
    assert!(row["actor"].as_str().unwrap().starts_with("cli:"), "{row}");
    assert_eq!(
        (&row["target_kind"], &row["target_id"]),
        (&json!("client"), &json!("other"))
    );
    let (_, of) = list(&server, "?client_id=ci").await;
    assert_eq!(actions(&of), ["token.revoke", "client.update", "client.create"]);
    let (_, created) = list(&server, "?kind=client.create&client_id=ci").await;
    assert_eq!(created["items"].as_array().unwrap().len(), 1);
    assert_eq!(created["items"][0]["actor"], "admin");
    assert_eq!(list(&server, "?until=2020-01-01T00:00:00Z").await.1["items"], json!([]));
    assert!(!actions(&list(&server, "?since=2020-01-01T00:00:00Z&kind=key").await.1).is_empty());

    // Page by page it is the same.
    let (_, whole) = list(&server, "?limit=1000").await;
    let (mut pages, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let (_, page) = list(&server, &query).await;
        pages.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => query = format!("?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(Value::from(pages), whole["items"]);
    let told = server.setup.json(&["audit", "list", "--client", "ci", "--json"]);
    assert_eq!(told["items"], of["items"]);
    // The log has the same.
    let logged: Vec<Value> = server
        .process
        .stderr()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let update = logged
        .iter()
        .find(|line| line["target"] == "audit" && line["action"] == "client.update")
        .expect("a line");
    assert_eq!(
        (&update["actor"], &update["target_id"]),
        (&json!("admin"), &json!("ci"))
    );

    for (query, word) in [
        ("?since=yesterday", "since"),
        ("?until=-1", "until"),
        ("?kind=A", "kind"),
        ("?client_id=a%20b", "client_id"),
        ("?limit=0", "limit"),
        ("?colour=red", "takes"),
    ] {
        let (status, body) = list(&server, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body["error_description"].as_str().unwrap().contains(word), "{body}");
    }
    let refused = server.setup.run(&["audit", "list", "--since", "yesterday"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("--since"),
        "{}",
        refused.stderr
    );
}

async fn a_cursor_of_another_list_is_refused(kind: Kind) {
    let server = start(kind).await;
    for id in ["a", "b"] {
        let client = server.register(json!({"client_id": id})).await;
        server.token(&client).await;
        server.token(&client).await;
    }
    settled(&server).await;
    let lists = [
        "/clients?limit=1",
        "/clients/a/tokens?limit=1",
        "/clients/b/tokens?limit=1",
        "/audit?limit=1",
    ];
    let mut cursors = Vec::new();
    for path in lists {
        let page = body_of(server.admin(Method::GET, path).send().await.unwrap()).await;
        cursors.push(page["next_cursor"].as_str().unwrap().to_owned());
    }
    for (at, path) in lists.iter().enumerate() {
        for (from, cursor) in cursors.iter().enumerate() {
            let answer = server
                .admin(Method::GET, &format!("{path}&cursor={cursor}"))
                .send()
                .await
                .unwrap();
            if at == from {
                assert_eq!(answer.status(), StatusCode::OK, "{path}");
                continue;
            }
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(
                body_of(answer).await["error_description"],
                "the cursor is of another list"
            );
        }
        for bad in ["x", "%00", &cursors[at][1..]] {
            let answer = server
                .admin(Method::GET, &format!("{path}&cursor={bad}"))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path} {bad}");
        }
    }
    let refused = server.setup.run(&["client", "list", "--cursor", &cursors[3]]);
    assert!(
        refused.code == 2 && refused.stderr.contains("--cursor is of another list"),
        "{}",
        refused.stderr
    );
}

async fn new_rows_are_followed(kind: Kind) {
    let server = start(kind).await;
    let mut following = server
        .setup
        .command(&["audit", "list", "--follow", "--kind", "client"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // It begins with what comes after it has begun, which nothing outside can tell: so clients are made until one is seen.
    let seen = std::thread::spawn(move || {
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        (first, second)
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !seen.is_finished() {
        assert!(Instant::now() < deadline, "nothing is followed");
        server.register(json!({})).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (first, second) = seen.join().unwrap();
    assert_eq!(
        (&first["action"], &second["action"]),
        (&json!("client.create"), &json!("client.create"))
    );
    assert_ne!(first["target_id"], second["target_id"], "each once");
    oauth2_testkit::process::signal(following.id(), "INT");
    assert_eq!(following.wait().unwrap().code(), Some(0));
}

async fn failed_authentications_are_folded_past_a_rate(kind: Kind) {
    let mut server = Server::start(setup(kind).await.with("OAUTH2_AUDIT_AUTH_FAILURES", "3")).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let wrong = Credentials::new(&*client.id, "a-wrong-secret-that-must-not-be-kept");
    let stranger = Credentials::new("nobody-knows-me", "x");
    for _ in 0..5 {
        server.ask_token(&wrong, &[]).await;
        server.ask_token(&stranger, &[]).await;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let rows = loop {
        let (_, rows) = list(&server, "?kind=auth").await;
        if rows["items"].as_array().unwrap().len() >= 3 {
            break rows;
        }
        assert!(Instant::now() < deadline, "{rows}");
    };
    let text = rows.to_string();
    assert!(text.contains("127.0.0.1") && text.contains("\"ci\""), "{text}");
    assert!(
        !text.contains("nobody-knows-me") && !text.contains("a-wrong-secret"),
        "{text}"
    );
    let folded = server.metric("oauth2_server_audit_folded_total", &[]).await.unwrap();
    assert!(folded >= 4.0, "{folded}: a minute may have turned meanwhile");

    server.process.signal("TERM");
    server.process.wait(Duration::from_secs(30)).await;
    server.start_again().await;
    settled(&server).await;
    let (_, rows) = list(&server, "?kind=auth").await;
    let items = rows["items"].as_array().unwrap().iter();
    let count: u64 = items.map(|row| row["detail"]["failures"].as_u64().unwrap_or(1)).sum();
    assert_eq!(count, 10, "a process that is told to stop forgets none: {rows}");
}

async fn old_rows_are_forgotten(kind: Kind) {
    let mut server = start(kind).await;
    server.register(json!({"client_id": "old"})).await;
    let then = match kind {
        Kind::Postgres => "to_timestamp(1000000000)",
        Kind::Sqlite => "1000000000",
    };
    server
        .setup
        .sql(&format!("UPDATE audit_log SET at = {then} WHERE target_id = 'old'"))
        .await;
    settled(&server).await;
    assert_eq!(
        list(&server, "?client_id=old").await.1["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    server.process.signal("TERM");
    server.process.wait(Duration::from_secs(30)).await;
    server.start_again().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while list(&server, "?client_id=old").await.1["items"] != json!([]) {
        assert!(Instant::now() < deadline, "it is kept for 400 days");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!actions(&list(&server, "").await.1).is_empty(), "newer ones stay");
}

//! The audit log: listed, followed and logged.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{setup, shared, start, unique};

mod credentials;
mod old_values;
mod rejections;

on_both_stores!(
    changes_are_filtered_by_time_client_and_kind,
    cursor_of_another_list_is_rejected,
    follow_prints_new_rows,
    auth_failures_above_the_rate_are_aggregated,
    expired_rows_are_deleted,
);

async fn list(server: &Server, query: &str) -> (StatusCode, Value) {
    let response = server
        .admin(Method::GET, &format!("/audit{query}"))
        .send()
        .await
        .unwrap();
    (response.status(), body_of(response).await)
}

fn actions(page: &Value) -> Vec<&str> {
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect()
}

/// Waits until the log shows all earlier changes. On Postgres a row is shown only after all older transactions of the cluster, in
/// any database, have ended.
async fn settled(server: &Server) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let last = format!("01990000-0000-7000-8000-{:012}", NEXT.fetch_add(1, Ordering::Relaxed));
    let request = server.admin(Method::POST, &format!("/tokens/{last}/revoke"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, page) = list(server, "?kind=token.revoke&limit=1000").await;
        if page["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["target_id"] == last)
        {
            return;
        }
        assert!(Instant::now() < deadline, "an older transaction does not end");
    }
}

async fn changes_are_filtered_by_time_client_and_kind(kind: Kind) {
    let mut server = start(kind).await;
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
    let (_, of_client) = list(&server, "?client_id=ci").await;
    assert_eq!(actions(&of_client), ["token.revoke", "client.update", "client.create"]);
    let (_, created) = list(&server, "?kind=client.create&client_id=ci").await;
    assert_eq!(created["items"].as_array().unwrap().len(), 1);
    assert_eq!(created["items"][0]["actor"], "admin");
    assert_eq!(list(&server, "?until=2020-01-01T00:00:00Z").await.1["items"], json!([]));
    assert!(!actions(&list(&server, "?since=2020-01-01T00:00:00Z&kind=key").await.1).is_empty());

    // Page by page, the rows are the same.
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
    let printed = server.setup.audit(&["--client", "ci"]).await;
    assert_eq!(printed["items"], of_client["items"]);

    for (query, word) in [
        ("?since=yesterday", "since"),
        ("?until=-1", "until"),
        ("?kind=A", "kind"),
        ("?client_id=%C3%A4", "client_id"),
        ("?limit=0", "limit"),
        ("?colour=red", "takes"),
    ] {
        let (status, body) = list(&server, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body["error_description"].as_str().unwrap().contains(word), "{body}");
    }
    let output = server.setup.run(&["audit", "list", "--since", "yesterday"]);
    assert!(
        output.code == 2 && output.stderr.contains("--since"),
        "{}",
        output.stderr
    );
    // Each change is also logged.
    let log = server.process.complete_log().await;
    let logged: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let update = logged
        .iter()
        .find(|line| line["target"] == "audit" && line["action"] == "client.update")
        .expect("the change is logged");
    assert_eq!(
        (&update["actor"], &update["target_id"]),
        (&json!("admin"), &json!("ci"))
    );
}

async fn cursor_of_another_list_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    let ids = [unique("a"), unique("b")];
    for id in &ids {
        let client = server.register(json!({"client_id": id})).await;
        server.token(&client).await;
        server.token(&client).await;
    }
    settled(&server).await;
    let lists = [
        "/clients?limit=1".to_owned(),
        format!("/clients/{}/tokens?limit=1", ids[0]),
        format!("/clients/{}/tokens?limit=1", ids[1]),
        "/audit?limit=1".to_owned(),
    ];
    let mut cursors = Vec::new();
    for path in &lists {
        let page = body_of(server.admin(Method::GET, path).send().await.unwrap()).await;
        cursors.push(page["next_cursor"].as_str().unwrap().to_owned());
    }
    for (at, path) in lists.iter().enumerate() {
        for (from, cursor) in cursors.iter().enumerate() {
            let response = server
                .admin(Method::GET, &format!("{path}&cursor={cursor}"))
                .send()
                .await
                .unwrap();
            if at == from {
                assert_eq!(response.status(), StatusCode::OK, "{path}");
                continue;
            }
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(
                body_of(response).await["error_description"],
                "cursor belongs to another list"
            );
        }
        for bad in ["x", "%00", &cursors[at][1..]] {
            let response = server
                .admin(Method::GET, &format!("{path}&cursor={bad}"))
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path} {bad}");
        }
    }
    let output = server.setup.run(&["client", "list", "--cursor", &cursors[3]]);
    assert!(
        output.code == 2 && output.stderr.contains("--cursor belongs to another list"),
        "{}",
        output.stderr
    );
}

async fn follow_prints_new_rows(kind: Kind) {
    let server = start(kind).await;
    let mut following = server
        .setup
        .command(&["audit", "list", "--follow", "--kind", "client"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // It prints rows that are written after it has started, which cannot be observed from outside: clients are created until two
    // rows are printed.
    let printed = std::thread::spawn(move || {
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        (first, second)
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !printed.is_finished() {
        assert!(Instant::now() < deadline, "no row is printed");
        server.register(json!({})).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (first, second) = printed.join().unwrap();
    assert_eq!(
        (&first["action"], &second["action"]),
        (&json!("client.create"), &json!("client.create"))
    );
    assert_ne!(first["target_id"], second["target_id"], "each row is printed once");
    oauth2_testkit::process::signal(following.id(), "INT");
    assert_eq!(following.wait().unwrap().code(), Some(0));
}

async fn auth_failures_above_the_rate_are_aggregated(kind: Kind) {
    let mut server = DedicatedServer::start(setup(kind).await.with("OAUTH2_AUDIT_AUTH_FAILURES", "3")).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let wrong = Credentials::new(&*client.id, "a-wrong-secret-that-must-not-be-kept");
    let stranger = Credentials::new("nobody-knows-me", "x");
    for _ in 0..5 {
        server.request_token(&wrong, &[]).await;
        server.request_token(&stranger, &[]).await;
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
    assert!(
        folded >= 4.0,
        "{folded}: fewer than 4, although a new minute may have begun"
    );

    server.process.signal("TERM");
    server.process.wait(Duration::from_secs(30)).await;
    server.start_again().await;
    settled(&server).await;
    let (_, rows) = list(&server, "?kind=auth").await;
    let items = rows["items"].as_array().unwrap().iter();
    let count: u64 = items.map(|row| row["detail"]["failures"].as_u64().unwrap_or(1)).sum();
    assert_eq!(count, 10, "a graceful stop loses no failure: {rows}");
}

async fn expired_rows_are_deleted(kind: Kind) {
    let mut server = start(kind).await;
    server.register(json!({"client_id": "old"})).await;
    let long_ago = match kind {
        Kind::Postgres => "to_timestamp(1000000000)",
        Kind::Sqlite => "1000000000",
    };
    server
        .setup
        .sql(&format!("UPDATE audit_log SET at = {long_ago} WHERE target_id = 'old'"))
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
        assert!(Instant::now() < deadline, "rows are kept for 400 days");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!actions(&list(&server, "").await.1).is_empty(), "newer rows are kept");
}

//! Groups of clients: limits that hold for all their clients together, and what they are charged for.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::cli::rejected;
use super::quotas::not_at_the_full_hour;
use super::start;

mod charges;

const PATIENCE: Duration = Duration::from_secs(30);

on_both_stores!(
    quota_of_a_group_is_exact_under_load,
    rate_of_a_group_is_spent_by_all_its_clients,
    limits_of_a_group_are_reported_next_to_the_clients_own,
    observed_quota_of_a_group_rejects_nothing,
    groups_are_set_shown_and_removed_at_both_doors,
    invalid_groups_are_rejected,
);

/// Calls the admin API; the response must have this status.
async fn call(server: &Server, method: Method, path: &str, body: Value, status: u16) -> Value {
    let request = server.admin(method.clone(), path);
    let request = if body.is_null() { request } else { request.json(&body) };
    let response = request.send().await.unwrap();
    let found = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{method} {path}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

async fn set(server: &Server, group: &str, limits: Value) -> Value {
    call(server, Method::PUT, &format!("/groups/{group}"), limits, 200).await
}

async fn show(server: &Server, group: &str) -> Value {
    call(server, Method::GET, &format!("/groups/{group}"), Value::Null, 200).await
}

async fn members(server: &Server, group: &str) -> [Credentials; 2] {
    let new = || server.register(json!({"scope": "read", "group": group}));
    [new().await, new().await]
}

async fn quota_of_a_group_is_exact_under_load(kind: Kind) {
    const QUOTA: u32 = 300;
    not_at_the_full_hour().await;
    let server = start(kind).await;
    set(&server, "exact", json!({"quotas": {"day": QUOTA}})).await;
    let clients = members(&server, "exact").await;
    let (passed, refused) = (Cell::new(0), Cell::new(0));
    let asking = (0..32).map(async |index| {
        let client = &clients[index % 2];
        while refused.get() < 32 && passed.get() <= QUOTA {
            let response = server.request_token(client, &[]).await;
            let counted = match response.status() {
                StatusCode::OK => &passed,
                StatusCode::TOO_MANY_REQUESTS => &refused,
                StatusCode::SERVICE_UNAVAILABLE => continue,
                other => panic!("{other}"),
            };
            counted.set(counted.get() + 1);
        }
    });
    join_all(asking).await;
    assert_eq!(passed.get(), QUOTA);
    assert_eq!(show(&server, "exact").await["usage"][1]["used"], QUOTA);
    let response = server.request_token(&clients[0], &[]).await;
    assert!(response.headers().contains_key("retry-after"));
    let error = body_of(response).await;
    let expected = "quota of tokens of the client's group exhausted";
    assert!(
        error["error_description"].as_str().unwrap().contains(expected),
        "{error}"
    );

    // What the client's own quota rejects is not counted for the group.
    set(&server, "own", json!({"quotas": {"day": 10}})).await;
    let client = server.register(json!({"group": "own", "quotas": {"day": 2}})).await;
    for status in [200, 200, 429, 429] {
        assert_eq!(server.request_token(&client, &[]).await.status(), status);
    }
    assert_eq!(show(&server, "own").await["usage"][1]["used"], 2);
    // Nor is what the group rejects counted for the client.
    set(&server, "small", json!({"quotas": {"day": 1}})).await;
    let client = server.register(json!({"group": "small", "quotas": {"day": 9}})).await;
    for status in [200, 429] {
        assert_eq!(server.request_token(&client, &[]).await.status(), status);
    }
    let path = format!("/clients/{}/usage", client.id);
    let usage = call(&server, Method::GET, &path, Value::Null, 200).await;
    assert_eq!(usage["quotas"][1]["used"], 1, "{usage}");
}

async fn rate_of_a_group_is_spent_by_all_its_clients(kind: Kind) {
    let server = start(kind).await;
    // Nothing is refilled while the test runs.
    set(&server, "rated", json!({"rate_limits": {"token": "4/h"}})).await;
    let [one, other] = members(&server, "rated").await;
    for client in [&one, &other, &one, &other] {
        assert_eq!(server.request_token(client, &[]).await.status(), 200);
    }
    for client in [&one, &other] {
        let response = server.request_token(client, &[]).await;
        assert_eq!(response.status(), 429);
        let error = body_of(response).await;
        let expected = "rate limit of the client's group exceeded";
        assert!(
            error["error_description"].as_str().unwrap().contains(expected),
            "{error}"
        );
    }
    // A client outside of the group, and one that leaves it, are not limited.
    let outside = server.register(json!({"scope": "read"})).await;
    assert_eq!(server.request_token(&outside, &[]).await.status(), 200);
    call(
        &server,
        Method::PATCH,
        &format!("/clients/{}", one.id),
        json!({"group": null}),
        200,
    )
    .await;
    assert_eq!(server.request_token(&one, &[]).await.status(), 200);
    // Without limits, neither is the group.
    call(&server, Method::DELETE, "/groups/rated", Value::Null, 204).await;
    assert_eq!(server.request_token(&other, &[]).await.status(), 200);
}

async fn limits_of_a_group_are_reported_next_to_the_clients_own(kind: Kind) {
    not_at_the_full_hour().await;
    let server = start(kind).await;
    let limits = json!({"rate_limits": {"token": "50/h"}, "quotas": {"month": 40}});
    set(&server, "shown", limits).await;
    let own = json!({"group": "shown", "rate_limits": {"token": "9/h"}, "quotas": {"hour": 8}});
    let client = server.register(own).await;
    let response = server.request_token(&client, &[]).await;
    let state = response.headers()["ratelimit"].to_str().unwrap();
    let items: Vec<_> = state
        .split(", ")
        .map(|item| item.split(";t=").next().unwrap())
        .collect();
    let expected = [
        r#""token";r=8"#,
        r#""group-token";r=49"#,
        r#""hour";r=7"#,
        r#""group-month";r=39"#,
    ];
    assert_eq!(items, expected);
}

async fn observed_quota_of_a_group_rejects_nothing(kind: Kind) {
    not_at_the_full_hour().await;
    let server = start(kind).await;
    let limits = json!({"quotas": {"day": 1}, "quota_mode": "observe"});
    set(&server, "observed", limits).await;
    let [one, other] = members(&server, "observed").await;
    for client in [&one, &other, &one] {
        assert_eq!(server.request_token(client, &[]).await.status(), 200);
    }
    assert_eq!(show(&server, "observed").await["usage"][1]["used"], 3);
    // A quota that is enforced cannot be less than what is used: that would stop all clients.
    let error = call(
        &server,
        Method::PUT,
        "/groups/observed",
        json!({"quotas": {"day": 2}}),
        400,
    )
    .await;
    let description = error["error_description"].as_str().unwrap();
    assert!(description.contains("quotas member day must be at least 3"), "{error}");
}

async fn groups_are_set_shown_and_removed_at_both_doors(kind: Kind) {
    let server = start(kind).await;
    let limits = json!({"rate_limits": {"token": "100/s"}, "quotas": {"day": 1000}});
    let by_http = set(&server, "doors-http", limits).await;
    let arguments = [
        "group",
        "set",
        "doors-cli",
        "--rate-limit",
        "token=100/s",
        "--quota",
        "day=1000",
        "--json",
    ];
    let by_cli = server.setup.json(&arguments);
    for (shown, name) in [(&by_http, "doors-http"), (&by_cli, "doors-cli")] {
        assert_eq!(shown["group"], name);
        assert_eq!(shown["rate_limits"], json!({"token": "100/s"}));
        assert_eq!(shown["quotas"], json!({"day": 1000}));
        assert_eq!(shown["rate_limit_mode"], Value::Null);
    }
    let listed = call(&server, Method::GET, "/groups", Value::Null, 200).await;
    let by_command = server.setup.json(&["group", "list", "--json"]);
    for list in [&listed, &by_command] {
        let names: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| &group["group"])
            .collect();
        assert!(
            names.contains(&&json!("doors-http")) && names.contains(&&json!("doors-cli")),
            "{list}"
        );
    }
    let shown = server.setup.json(&["group", "show", "doors-http", "--json"]);
    assert_eq!(shown, show(&server, "doors-http").await);
    // Limits that are not named again are removed.
    let replaced = set(&server, "doors-http", json!({"quotas": {"hour": 5}})).await;
    assert_eq!(
        (&replaced["rate_limits"], &replaced["quotas"]),
        (&json!({}), &json!({"hour": 5}))
    );

    call(&server, Method::DELETE, "/groups/doors-http", Value::Null, 204).await;
    assert_eq!(server.setup.run(&["group", "delete", "doors-cli"]).code, 0);
    call(&server, Method::DELETE, "/groups/doors-http", Value::Null, 404).await;
    rejected(
        &server.setup.run(&["group", "delete", "doors-cli"]),
        2,
        &["doors-cli", "no limits"],
    );
    let changes = async |group: &str| {
        let listed = server.setup.audit(&["--kind", "group", "--limit", "1000"]).await;
        let rows = listed["items"].as_array().unwrap().iter();
        rows.filter(|row| row["target_id"] == group)
            .map(|row| (row["action"].clone(), row["detail"]["changes"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (changes("doors-http").await.len(), changes("doors-cli").await.len()),
        (3, 2)
    );
    let set_to = json!({"limits": {"old": null, "new": {"rate_limits": {"token": "100/s"}, "quotas": {"day": 1000}}}});
    for group in ["doors-http", "doors-cli"] {
        let rows = changes(group).await;
        assert_eq!(rows[0].0, "group.delete");
        assert_eq!(rows.last().unwrap(), &(json!("group.update"), set_to.clone()));
    }
}

async fn invalid_groups_are_rejected(kind: Kind) {
    let server = start(kind).await;
    for name in ["", "-x", "a b", "ü", "=cmd", &"a".repeat(129), "a\u{0}"] {
        let response = server
            .admin(Method::POST, "/clients")
            .json(&json!({"group": name}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 400, "{name}");
        let error = body_of(response).await;
        let description = error["error_description"].as_str().unwrap();
        assert!(description.contains("group must be 1 to 128 characters"), "{error}");
    }
    let bad = [
        ("/groups/a%20b", json!({}), "group must be 1 to 128 characters"),
        (
            "/groups/x",
            json!({"quotas": {"year": 1}}),
            "quotas must have members of hour, day, month only",
        ),
        (
            "/groups/x",
            json!({"quotas": {"day": 0}}),
            "quotas member day must be 1 to",
        ),
        (
            "/groups/x",
            json!({"rate_limits": {"token": "fast"}}),
            "rate_limits member token must be requests per",
        ),
        ("/groups/x", json!({"quota_mode": "maybe"}), "quota_mode"),
        ("/groups/x", json!({"claims": {}}), "claims"),
    ];
    for (path, body, expected) in bad {
        let error = call(&server, Method::PUT, path, body, 400).await;
        assert!(
            error["error_description"].as_str().unwrap().contains(expected),
            "{error}"
        );
    }
    for (query, expected) in [
        ("from=yesterday", "from must be a day, such as 2026-11-30"),
        ("from=2026-11-30&until=2026-11-01", "until must not be before from"),
        (
            "from=2020-01-01&until=2026-11-01",
            "until must be less than 397 days after from",
        ),
        ("by=week", "by must be day or month"),
        ("format=xml", "format must be json or csv"),
    ] {
        let error = call(
            &server,
            Method::GET,
            &format!("/groups:usage?{query}"),
            Value::Null,
            400,
        )
        .await;
        assert!(
            error["error_description"].as_str().unwrap().contains(expected),
            "{error}"
        );
    }
    let run = |arguments: &[&str]| server.setup.run(arguments);
    rejected(&run(&["group", "set", "x"]), 2, &["--rate-limit", "--quota"]);
    rejected(
        &run(&["group", "set", "x y", "--quota", "day=1"]),
        2,
        &["NAME must be 1 to 128"],
    );
    rejected(
        &run(&["group", "set", "x", "--quota", "day=many"]),
        2,
        &["--quota day must be a number"],
    );
    rejected(&run(&["group", "show", "nobody"]), 2, &["nobody", "no limits"]);
    rejected(
        &run(&["group", "usage", "--from", "yesterday"]),
        2,
        &["--from must be a day"],
    );
    rejected(
        &run(&["client", "create", "--group", "a b"]),
        2,
        &["--group must be 1 to 128"],
    );
}

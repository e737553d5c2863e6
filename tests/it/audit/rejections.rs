//! What operators and others were refused.

use std::time::Duration;

use oauth2_testkit::{Credentials, Kind, Server, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{list, settled};
use crate::start;

on_both_stores!(
    rejected_callers_of_the_admin_api_are_recorded,
    failed_admin_authentications_are_limited_and_aggregated,
    rejected_changes_are_recorded,
);

const PATIENCE: Duration = Duration::from_secs(20);

const MISSING_KID: &str = "no-such-key";

/// Calls the admin API with a bearer token.
pub(super) async fn call(server: &Server, token: &str, method: Method, path: &str, body: Value) -> StatusCode {
    let url = server.management_url(&format!("/admin/v1{path}"));
    let request = server.http.request(method, url).bearer_auth(token).json(&body);
    request.send().await.unwrap().status()
}

/// The rows of a query, once there are `count`.
pub(super) async fn rows(server: &Server, query: &str, count: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    until(PATIENCE, &format!("{count} rows of {query}"), async || {
        let (status, page) = list(server, query).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        rows.clone_from(page["items"].as_array().unwrap());
        rows.len() >= count
    })
    .await;
    rows
}

/// The `jti` of a token that a client presents itself.
pub(super) async fn jti(server: &Server, client: &Credentials, token: &str) -> String {
    let claims = server.introspect(client, token).await;
    claims["jti"].as_str().unwrap_or_else(|| panic!("{claims}")).to_owned()
}

async fn rejected_callers_of_the_admin_api_are_recorded(kind: Kind) {
    let mut server = start(kind).await;
    let admin = server.admin_token().to_owned();
    let url = server.management_url("/admin/v1/clients/ops");
    let bare = server.http.delete(&url).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    let mut secrets = vec!["no-token-of-this-server".to_owned()];
    assert_eq!(
        call(&server, &secrets[0], Method::GET, "/keys", json!({})).await,
        StatusCode::UNAUTHORIZED
    );
    let mut expected: Vec<Rejected> = vec![("no_token", None, None), ("unknown_token", None, None)];
    let delete = (Method::DELETE, json!({}));
    let patch = |change| (Method::PATCH, change);
    for (reason, change, status) in [
        (
            "client_disabled",
            patch(json!({"disabled": true})),
            StatusCode::UNAUTHORIZED,
        ),
        (
            "scope_withdrawn",
            patch(json!({"scope": "read"})),
            StatusCode::FORBIDDEN,
        ),
        (
            "audience_withdrawn",
            patch(json!({"audience": ["https://a.example"]})),
            StatusCode::UNAUTHORIZED,
        ),
        (
            "grant_withdrawn",
            patch(json!({"grant_types": []})),
            StatusCode::UNAUTHORIZED,
        ),
        ("revoked", delete, StatusCode::UNAUTHORIZED),
        ("scope", patch(json!({"scope": "read"})), StatusCode::FORBIDDEN),
        (
            "audience",
            patch(json!({"audience": ["https://a.example"]})),
            StatusCode::UNAUTHORIZED,
        ),
    ] {
        let id = format!("ops-{}", reason.replace('_', "-"));
        let client = server
            .register(json!({"client_id": id, "scope": "oauth2.admin read"}))
            .await;
        // The token of the last two is issued after the change.
        let is_after = matches!(reason, "scope" | "audience");
        let mut token = server.token(&client).await;
        let mut id_of_token = jti(&server, &client, &token).await;
        if !is_after {
            assert_eq!(
                call(&server, &token, Method::GET, "/keys", json!({})).await,
                StatusCode::OK
            );
        }
        let (method, body) = change;
        let changed = call(&server, &admin, method, &format!("/clients/{id}"), body).await;
        assert!(changed.is_success(), "{changed}");
        if is_after {
            token = server.token(&client).await;
            id_of_token = jti(&server, &client, &token).await;
        }
        assert_eq!(
            call(&server, &token, Method::POST, "/keys/rotate", json!({})).await,
            status,
            "{reason}"
        );
        expected.push((reason, Some(id_of_token), Some(id)));
        secrets.push(token);
    }

    let short = json!({"client_id": "ops-expired", "scope": "oauth2.admin", "access_token_lifetime": 3});
    let client = server.register(short).await;
    let token = server.token(&client).await;
    let id_of_token = jti(&server, &client, &token).await;
    until(PATIENCE, "the token expires", async || {
        !server.is_active(&client, &token).await
    })
    .await;
    call(&server, &token, Method::POST, "/keys/rotate", json!({})).await;
    expected.push(("expired", Some(id_of_token), Some("ops-expired".to_owned())));
    secrets.push(token);

    let recorded = rows(&server, "?kind=operator&limit=1000", expected.len()).await;
    assert_eq!(recorded.len(), expected.len(), "{recorded:?}");
    for rejection in &expected {
        check_row(&server, &recorded, rejection).await;
    }
    let log = server.process.complete_log().await;
    for (reason, ..) in &expected {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let warned =
            lines.filter(|line| line["level"] == "WARN" && line["reason"] == *reason && line["address"] == "127.0.0.1");
        assert_eq!(warned.count(), 1, "{reason}");
    }
    let text = serde_json::to_string(&recorded).unwrap() + &log;
    assert!(
        secrets.iter().all(|secret| !text.contains(secret.as_str())),
        "a token is in the log"
    );
}

/// A reason, the id of the token that was presented, and its client.
type Rejected = (&'static str, Option<String>, Option<String>);

/// Compares the audit row of a rejection, and finds it by the token.
async fn check_row(server: &Server, recorded: &[Value], (reason, jti, id): &Rejected) {
    let found = recorded.iter().find(|row| row["detail"]["reason"] == *reason);
    let row = found.unwrap_or_else(|| panic!("{reason}: {recorded:?}"));
    assert_eq!(
        (&row["action"], &row["detail"]["address"]),
        (&json!("operator.rejected"), &json!("127.0.0.1"))
    );
    assert_eq!(row["detail"]["credential"], json!(jti), "{row}");
    let request = match *reason {
        "no_token" => "DELETE /admin/v1/clients/{client_id}",
        "unknown_token" => "GET /admin/v1/keys",
        _ => "POST /admin/v1/keys/rotate",
    };
    assert_eq!(row["detail"]["request"], request, "{row}");
    let is_authenticated = [
        "scope",
        "scope_withdrawn",
        "audience",
        "audience_withdrawn",
        "grant_withdrawn",
    ]
    .contains(reason);
    let actor = match id {
        Some(id) if is_authenticated => format!("client:{id}"),
        _ => "server".to_owned(),
    };
    assert_eq!(
        (&row["actor"], &row["target_id"]),
        (&json!(actor), &json!(id.clone().unwrap_or_default()))
    );
    let metric = server
        .metric("oauth2_server_operator_rejections_total", &[("reason", *reason)])
        .await;
    assert_eq!(metric, Some(1.0), "{reason}");
    if let Some(jti) = jti {
        let by_credential = list(server, &format!("?credential={jti}")).await.1;
        let by_token = server.setup.audit(&["--jti", jti, "--kind", "operator"]).await;
        for page in [by_credential, by_token] {
            assert!(page["items"].as_array().unwrap().contains(row), "{reason}: {page}");
        }
    }
}

async fn failed_admin_authentications_are_limited_and_aggregated(kind: Kind) {
    const ATTEMPTS: u64 = 120;
    let mut server = start(kind).await;
    let admin = server.admin_token().to_owned();
    let client = server.register(json!({"client_id": "ci"})).await;
    let mut limited = 0;
    for _ in 0..ATTEMPTS {
        match call(&server, "wrong", Method::GET, "/keys", json!({})).await {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::TOO_MANY_REQUESTS => limited += 1,
            other => panic!("{other}"),
        }
    }
    assert!(limited > 0, "100 a minute are allowed");
    let mut attempts = ATTEMPTS;
    let limited_response = loop {
        attempts += 1;
        let url = server.management_url("/admin/v1/keys");
        let response = server.http.get(url).send().await.unwrap();
        // An attempt may have become free meanwhile.
        if response.status() != StatusCode::UNAUTHORIZED {
            break response;
        }
    };
    assert_eq!(limited_response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(limited_response.headers().contains_key("retry-after"));
    // Neither an operator with a right token nor a client of the public listener is affected.
    assert_eq!(
        call(&server, &admin, Method::GET, "/keys", json!({})).await,
        StatusCode::OK
    );
    let wrong = Credentials::new(&*client.id, "wrong");
    assert_eq!(
        server.request_token(&wrong, &[]).await.status(),
        StatusCode::UNAUTHORIZED
    );

    server.process.signal("TERM");
    server.process.wait(Duration::from_secs(30)).await;
    server.start_again().await;
    settled(&server).await;
    let (_, page) = list(&server, "?kind=operator.rejected&limit=1000").await;
    let items = page["items"].as_array().unwrap();
    let count: u64 = items
        .iter()
        .map(|row| row["detail"]["failures"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(count, attempts);
    // The failures of at most two minutes.
    assert!(items.len() <= 122, "{}", items.len());
    let aggregate = items
        .iter()
        .find(|row| row["detail"]["failures"].is_u64())
        .expect("an aggregate");
    assert!(aggregate["detail"]["addresses"]["127.0.0.1"].is_u64(), "{aggregate}");
}

async fn rejected_changes_are_recorded(kind: Kind) {
    let server = start(kind).await;
    let operator = server
        .register(json!({"client_id": "ops", "scope": "oauth2.admin"}))
        .await;
    let token = server.token(&operator).await;
    let jti = jti(&server, &operator, &token).await;
    for (method, path, body, status) in [
        (
            Method::PATCH,
            "/clients/ops".to_owned(),
            json!({"scope": "a\"b"}),
            StatusCode::BAD_REQUEST,
        ),
        (
            Method::PATCH,
            "/clients/ops".to_owned(),
            json!({"sc\u{0}ope": "a"}),
            StatusCode::BAD_REQUEST,
        ),
        (
            Method::DELETE,
            "/clients/nobody".to_owned(),
            json!({}),
            StatusCode::NOT_FOUND,
        ),
        (
            Method::POST,
            "/clients".to_owned(),
            json!({"client_id": "ops"}),
            StatusCode::CONFLICT,
        ),
        (
            Method::POST,
            "/clients/ops/rotate-secret".to_owned(),
            json!({"overlap_seconds": 99_999_999}),
            StatusCode::BAD_REQUEST,
        ),
        (
            Method::POST,
            format!("/keys/{MISSING_KID}/revoke"),
            json!({}),
            StatusCode::NOT_FOUND,
        ),
        (
            Method::POST,
            "/tokens/x/revoke".to_owned(),
            json!({}),
            StatusCode::BAD_REQUEST,
        ),
        (
            Method::POST,
            "/tokens:issue".to_owned(),
            json!({"client_id": "ops", "scope": "root"}),
            StatusCode::BAD_REQUEST,
        ),
        (
            Method::GET,
            "/clients/nobody".to_owned(),
            json!({}),
            StatusCode::NOT_FOUND,
        ),
    ] {
        assert_eq!(call(&server, &token, method, &path, body).await, status, "{path}");
    }
    let recorded = rows(&server, "?kind=change", 8).await;
    assert_eq!(recorded.len(), 8, "reads are not recorded: {recorded:?}");
    for row in &recorded {
        assert_eq!(
            (&row["actor"], &row["detail"]["credential"]),
            (&json!("client:ops"), &json!(jti)),
            "{row}"
        );
        assert!(row["detail"]["description"].is_string(), "{row}");
    }
    let found = |request: &str, error: &str| {
        let mut rows = recorded.iter();
        rows.find(|row| row["detail"]["request"] == request && row["detail"]["error"] == error)
            .unwrap_or_else(|| panic!("{request} {error}: {recorded:?}"))
    };
    let deleted = found("DELETE /admin/v1/clients/{client_id}", "not_found");
    assert_eq!(
        (&deleted["target_kind"], &deleted["target_id"]),
        (&json!("client"), &json!("nobody"))
    );
    let revoked = found("POST /admin/v1/keys/{kid}/revoke", "not_found");
    assert_eq!(
        (&revoked["target_kind"], &revoked["target_id"]),
        (&json!("key"), &json!(MISSING_KID))
    );
    found("POST /admin/v1/clients", "conflict");
    found("PATCH /admin/v1/clients/{client_id}", "invalid_client_metadata");
    check_rejections_by_command_line(&server).await;
}

async fn check_rejections_by_command_line(server: &Server) {
    for arguments in [
        &["client", "update", "nobody", "--scope", "a"][..],
        &["client", "create", "--id", "ops"],
        &["key", "revoke", MISSING_KID],
        &["token", "issue", "--client", "ops", "--scope", "root", "--out", "-"],
    ] {
        assert_eq!(server.setup.run(arguments).code, 2, "{arguments:?}");
    }
    assert_eq!(server.setup.run(&["client", "show", "nobody"]).code, 2);
    settled(server).await;
    let all = rows(server, "?kind=change.rejected", 12).await;
    let by_command_line: Vec<_> = all.iter().filter(|row| row["actor"] != "client:ops").collect();
    assert_eq!(by_command_line.len(), 4, "{by_command_line:?}");
    let update = by_command_line
        .iter()
        .find(|row| row["detail"]["request"] == "client update")
        .unwrap();
    assert!(update["actor"].as_str().unwrap().starts_with("cli:"), "{update}");
    assert_eq!(
        (&update["target_id"], &update["detail"]["credential"]),
        (&json!("nobody"), &json!("cli"))
    );
    let actor = update["actor"].as_str().unwrap();
    let page = server.setup.audit(&["--actor", actor, "--kind", "change"]).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
}

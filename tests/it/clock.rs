//! The clock is set while servers run: of this machine with an embedded store, of the database server with Postgres. Cut-offs stay true,
//! no request fails, and the step is seen in the log, in metrics, by `/ready` and by `doctor`.

use std::time::Duration;

use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, DedicatedServer, FakeTime, Kind, Postgres, Server, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{BINARY, setup, start};

on_both_stores!(cut_off_ahead_of_every_id_is_corrected);

const HOUR: i64 = 3600;

/// Twice the two seconds within which a step is noticed.
const NOTICED: Duration = Duration::from_secs(4);

async fn until_steps(server: &Server, steps: f64) {
    until(NOTICED, "the step is counted", async || {
        server.metric("oauth2_server_clock_steps_total", &[]).await == Some(steps)
    })
    .await;
}

async fn ready(server: &Server) -> (StatusCode, Value) {
    let response = server.http.get(server.management_url("/ready")).send().await.unwrap();
    (response.status(), json(response).await)
}

async fn until_ready(server: &Server) {
    until(NOTICED, "ready", async || ready(server).await.0 == StatusCode::OK).await;
}

/// A token, requested once: a step of the clock fails no request.
async fn token_at_once(server: &Server, client: &Credentials) -> String {
    let response = server.request_token(client, &[]).await;
    let (status, body) = (response.status(), json(response).await);
    assert_eq!(status, StatusCode::OK, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

async fn revoke_all_of(server: &Server, client: &Credentials) {
    let path = format!("/clients/{}/tokens:revoke-all", client.id);
    let response = server.admin(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

async fn clients(server: &Server) -> [Credentials; 4] {
    let register = async |metadata: Value| server.register(metadata).await;
    [
        register(json!({"scope": "read"})).await,
        register(json!({"scope": "read", "token_format": "jwt", "token_ledger": "stateless"})).await,
        register(json!({"scope": "read", "token_format": "opaque"})).await,
        register(json!({"scope": "read"})).await,
    ]
}

fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

/// The detail and status of the doctor's check of the clock.
fn doctor(setup: &Setup) -> (String, String) {
    let found: Value = serde_json::from_str(&setup.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let clock = checks.iter().find(|check| check["check"] == "clock").unwrap();
    let text = |key: &str| clock[key].as_str().unwrap().to_owned();
    (text("status"), text("detail"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_clock_that_is_set_back_heals_in_seconds() {
    let mut setup = setup(Kind::Sqlite).await;
    let time = FakeTime::new(&setup.directory().join("time"), HOUR);
    for (key, value) in time.environment() {
        setup.set(key, value);
    }
    let mut server = DedicatedServer::start(setup).await;
    let clients = clients(&server).await;
    let [cut, after, opaque, last] = &clients;
    let mut early = Vec::new();
    for client in &clients {
        let token = token_at_once(&server, client).await;
        assert!(server.is_active(client, &token).await);
        early.push((client, token));
    }
    revoke_all_of(&server, cut).await;
    assert!(!server.is_active(cut, &early[0].1).await);

    time.set(0);
    until_steps(&server, 1.0).await;
    until_ready(&server).await;
    let mut late = Vec::new();
    for client in &clients {
        let token = token_at_once(&server, client).await;
        let found = server.introspect(client, &token).await;
        assert_eq!(found["active"], true, "{found}");
        let iat = found["iat"].as_i64().unwrap();
        assert!((iat - now()).abs() <= 5, "issued by the clock, not by the ids: {found}");
        late.push(token);
    }
    assert!(
        !server.is_active(cut, &early[0].1).await,
        "revoked while the clock was ahead"
    );
    server.register(json!({"scope": "read"})).await;

    let (_, body) = ready(&server).await;
    assert!(body["clock"]["ids_ahead_ms"].as_i64().unwrap() > 3_000_000, "{body}");
    assert!(body["clock"]["last_step_ms"].as_i64().unwrap() < -3_000_000, "{body}");
    let (status, detail) = doctor(&server.setup);
    assert_eq!(status, "warning", "{detail}");
    assert!(detail.contains("set back"), "{detail}");
    let listed = server.setup.json(&["token", "cutoffs", "--json"]);
    let listed = &listed["items"][0];
    assert_eq!(
        (&listed["target_id"], &listed["is_in_future"]),
        (&json!(cut.id), &json!(true))
    );
    assert_eq!(listed["revokes_new_tokens"], false, "{listed}");

    // Cut-offs by the server, by the command line, and by a server that was started later cover tokens of the wrong hour.
    revoke_all_of(&server, after).await;
    assert_eq!(server.setup.run(&["token", "revoke", "--client", &opaque.id]).code, 0);
    assert!(!server.is_active(after, &late[1]).await);
    until(NOTICED, "the cut-off of the command line", async || {
        !server.is_active(opaque, &late[2]).await
    })
    .await;
    let first_log = server.process.complete_log().await;
    server.start_again().await;
    revoke_all_of(&server, last).await;
    for client in &clients {
        let token = token_at_once(&server, client).await;
        assert!(server.is_active(client, &token).await);
    }

    // The hour comes again.
    time.set(HOUR);
    until_steps(&server, 1.0).await;
    until_ready(&server).await;
    for (client, token) in &early {
        assert!(!server.is_active(client, token).await, "never active again");
    }
    for client in &clients {
        let token = token_at_once(&server, client).await;
        assert!(server.is_active(client, &token).await);
    }
    let said = |log: &str, text: &str| log.matches(text).count();
    for (text, times) in [
        ("clock was set back; tokens", 1),
        ("clock is steady again", 1),
        ("token ids are ahead of the store's clock", 1),
    ] {
        assert_eq!(said(&first_log, text), times, "{text}: {first_log}");
    }
    let log = server.process.complete_log().await;
    assert_eq!(said(&log, "clock was set forward"), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_clock_that_is_set_heals_on_every_node() {
    let mut postgres = Postgres::start(false);
    let time = FakeTime::new(&postgres.write_file("time", ""), 0);
    tokio::task::block_in_place(|| postgres.restart_with(&time.environment()));
    let first = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let second = DedicatedServer::start(first.setup.second_node()).await;
    let clients = clients(&first).await;
    let [cut, after, opaque, last] = &clients;
    until(NOTICED, "the second node has the clients", async || {
        second.request_token(last, &[]).await.status() == StatusCode::OK
    })
    .await;

    time.set(HOUR);
    for server in [&first, &second] {
        until_steps(server, 1.0).await;
        let (status, body) = ready(server).await;
        assert_eq!(
            (status, &body["checks"]["clock"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!(false))
        );
        assert!(body["clock"]["difference_ms"].as_i64().unwrap() > 3_000_000, "{body}");
    }
    let mut early = Vec::new();
    for client in &clients {
        early.push((client, token_at_once(&first, client).await));
    }
    revoke_all_of(&first, cut).await;
    assert_eq!(doctor(&first.setup).0, "failed");

    time.set(0);
    for server in [&first, &second] {
        until_steps(server, 2.0).await;
        until_ready(server).await;
    }
    for server in [&first, &second] {
        for client in &clients {
            let token = token_at_once(server, client).await;
            assert!(server.is_active(client, &token).await);
        }
    }
    // A cut-off by one node covers tokens of the other, also those of the wrong hour.
    revoke_all_of(&second, after).await;
    assert_eq!(second.setup.run(&["token", "revoke", "--client", &opaque.id]).code, 0);
    revoke_all_of(&second, last).await;
    time.set(HOUR);
    for server in [&first, &second] {
        until_steps(server, 3.0).await;
        for (client, token) in &early {
            until(NOTICED, "revoked on every node", async || {
                !server.is_active(client, token).await
            })
            .await;
        }
    }
}

async fn cut_off_ahead_of_every_id_is_corrected(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let before = server.token(&client).await;
    // As the command line writes it next to an embedded store, if its clock is ahead.
    let (id, cutoff_ms) = (&client.id, (now() + HOUR) * 1000);
    let expires_at = match kind {
        Kind::Sqlite => "2000000000",
        Kind::Postgres => "to_timestamp(2000000000)",
    };
    let row = format!(
        "INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
         VALUES ('client', '{id}', {cutoff_ms}, {expires_at})"
    );
    server.setup.sql(&row).await;
    until(NOTICED, "the cut-off is read", async || {
        !server.is_active(&client, &before).await
    })
    .await;
    let dead = server.token(&client).await;
    assert!(!server.is_active(&client, &dead).await);
    assert_eq!(server.metric("oauth2_server_cutoffs_ahead", &[]).await, Some(1.0));
    let (status, detail) = doctor(&server.setup);
    assert_eq!(status, "failed", "{detail}");
    assert!(detail.contains("token cutoffs"), "{detail}");

    let listed = json(server.admin(Method::GET, "/cutoffs?limit=1").send().await.unwrap()).await;
    let cut_off = &listed["items"][0];
    assert_eq!(cut_off["target_id"], json!(client.id));
    assert_eq!(
        (&cut_off["revoked_before_ms"], &cut_off["revokes_new_tokens"]),
        (&json!(cutoff_ms), &json!(true))
    );
    let correct = format!("/cutoffs/{}/correct", cut_off["id"]);
    let response = server.admin(Method::POST, &correct).send().await.unwrap();
    let (status, corrected) = (response.status(), json(response).await);
    assert_eq!(status, StatusCode::OK, "{corrected}");
    assert_eq!(
        (&corrected["corrected_from_ms"], &corrected["revokes_new_tokens"]),
        (&json!(cutoff_ms), &json!(false))
    );
    until(NOTICED, "new tokens are active", async || {
        let token = server.token(&client).await;
        server.is_active(&client, &token).await
    })
    .await;
    for token in [&before, &dead] {
        assert!(!server.is_active(&client, token).await, "revoked before the correction");
    }
    assert_eq!(server.metric("oauth2_server_cutoffs_ahead", &[]).await, Some(0.0));
    assert_eq!(doctor(&server.setup).0, "ok");

    // A cut-off in the past is not lowered, from HTTP or the command line; an unknown id is not found.
    let again = server.admin(Method::POST, &correct).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let output = server
        .setup
        .run(&["token", "correct-cutoff", &cut_off["id"].to_string()]);
    assert_ne!(output.code, 0);
    assert!(
        output.stderr.contains("does not revoke tokens that are issued now"),
        "{}",
        output.stderr
    );
    let none = server
        .admin(Method::POST, "/cutoffs/999999/correct")
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
    let invalid = server.admin(Method::POST, "/cutoffs/x/correct").send().await.unwrap();
    assert_eq!(invalid.status(), StatusCode::BAD_REQUEST);
    let audited = server.setup.audit(&["--kind", "revocation.correct"]).await;
    assert_eq!(audited["items"][0]["detail"]["from_ms"], json!(cutoff_ms), "{audited}");
    assert_eq!(audited["items"][0]["target_id"], json!(client.id));

    // A server that is started later reads the same.
    let mut server = server;
    server.process.kill();
    server.start_again().await;
    assert!(!server.is_active(&client, &before).await);
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &token).await);
}

/// A quota that was used up in a month ahead is not used up now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_follow_a_clock_that_is_set_back() {
    let mut setup = setup(Kind::Sqlite).await;
    let time = FakeTime::new(&setup.directory().join("time"), 40 * 24 * HOUR);
    for (key, value) in time.environment() {
        setup.set(key, value);
    }
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read", "quotas": {"month": 2}})).await;
    let status = async || server.request_token(&client, &[]).await.status();
    assert_eq!([status().await, status().await], [StatusCode::OK; 2]);
    assert_eq!(status().await, StatusCode::TOO_MANY_REQUESTS);
    time.set(0);
    until_steps(&server, 1.0).await;
    until_ready(&server).await;
    assert_eq!([status().await, status().await], [StatusCode::OK; 2]);
    assert_eq!(status().await, StatusCode::TOO_MANY_REQUESTS);
}

//! The store stops, freezes or is locked: `503` in time, what needs no store goes on, and all is well again without a restart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth2_testkit::server::json;
use oauth2_testkit::{DedicatedServer, Kind, Postgres, Setup};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::introspect::send_batch;
use crate::token::rejected;
use crate::{BINARY, start};

const PATIENCE: Duration = Duration::from_secs(30);

/// Twice the 500 ms within which the contract promises a refusal.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

async fn turned_away(response: Response) {
    assert_eq!(response.headers()["retry-after"], "1");
    rejected(response, StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable").await;
}

/// Asks until the answer has this status; nothing but 200 and 503 may come meanwhile.
async fn until(status: StatusCode, within: Duration, ask: impl AsyncFn() -> Response) {
    let wait = async {
        loop {
            let found = ask().await.status();
            assert!(
                [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&found),
                "{found}"
            );
            if found == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let began = Instant::now();
    assert!(
        tokio::time::timeout(within, wait).await.is_ok(),
        "no {status} within {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_shed_in_time_during_a_postgres_outage() {
    let mut postgres = Postgres::start(false);
    let server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    let stateless = server
        .register(json!({"scope": "read", "token_ledger": "stateless"}))
        .await;
    let token = server.token(&client).await;
    let introspect = async || server.post(&client, "/oauth/introspect", &[("token", &token)]).await;
    assert_eq!(introspect().await.status(), StatusCode::OK);

    for _ in 0..2 {
        tokio::task::block_in_place(|| postgres.stop());
        for _ in 0..5 {
            let asked = Instant::now();
            turned_away(server.request_token(&client, &[]).await).await;
            assert!(asked.elapsed() < REFUSED_WITHIN, "{:?}", asked.elapsed());
            let asked = Instant::now();
            turned_away(server.post(&client, "/oauth/revoke", &[("token", &token)]).await).await;
            assert!(asked.elapsed() < REFUSED_WITHIN, "{:?}", asked.elapsed());
        }
        for path in ["jwks.json", "paseto-keys.json", "oauth-authorization-server"] {
            server.get_json(server.url(&format!("/.well-known/{path}"))).await;
        }
        assert_eq!(
            server.http.get(server.url("/health")).send().await.unwrap().status(),
            StatusCode::OK
        );
        // The revocations known here are old after 5 s; asserted at twice that.
        until(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(10), introspect).await;
        turned_away(introspect().await).await;
        turned_away(send_batch(&server, &client, json!({"tokens": [&token]}).to_string()).await).await;
        // Whether a revocation would have an effect cannot be told either.
        turned_away(server.post(&client, "/oauth/revoke", &[("token", "x")]).await).await;
        turned_away(server.request_token(&stateless, &[]).await).await;
        let ready = server.http.get(server.url("/ready")).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(json(ready).await["checks"]["store"], false);
        assert_eq!(server.metric("oauth2_server_store_up", &[]).await, Some(0.0));

        tokio::task::block_in_place(|| postgres.resume());
        // A second each, asserted at twice that.
        let within = Duration::from_secs(2);
        until(StatusCode::OK, within, async || {
            server.request_token(&client, &[]).await
        })
        .await;
        until(StatusCode::OK, within, introspect).await;
        assert!(
            server.is_active(&client, &token).await,
            "no refused revocation was carried out"
        );
        until(StatusCode::OK, within, async || {
            server.http.get(server.url("/ready")).send().await.unwrap()
        })
        .await;
    }
    let shed = server
        .metric("oauth2_server_shed_total", &[("endpoint", "token")])
        .await;
    assert!(shed.unwrap() >= 10.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_starts_before_postgres() {
    let mut postgres = Postgres::start(false);
    let setup = Setup::on_postgres(BINARY, &postgres).await;
    postgres.stop();
    let process = setup.spawn();
    let http = reqwest::Client::new();
    let ready = format!("http://127.0.0.1:{}/ready", setup.public);
    let waiting = async {
        while !http
            .get(&ready)
            .send()
            .await
            .is_ok_and(|response| response.status() == StatusCode::SERVICE_UNAVAILABLE)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it listens, and is not ready");
    let keys = http
        .get(format!("http://127.0.0.1:{}/.well-known/jwks.json", setup.public))
        .send()
        .await
        .unwrap();
    turned_away(keys).await;
    tokio::task::block_in_place(|| postgres.resume());
    let server = DedicatedServer::from_process(setup, process).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.token(&client).await;
}

/// A database that neither answers nor hangs up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_postgres_does_not_exceed_the_deadline() {
    let postgres = Postgres::start(false);
    let server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = server
        .register(json!({"scope": "read", "token_format": "opaque"}))
        .await;
    let token = server.token(&client).await;
    postgres.freeze();
    for (path, form) in [
        ("/oauth/token", ("grant_type", "client_credentials")),
        ("/oauth/introspect", ("token", token.as_str())),
        ("/oauth/revoke", ("token", token.as_str())),
    ] {
        let asked = Instant::now();
        turned_away(server.post(&client, path, &[form]).await).await;
        // 1 s, asserted at twice that.
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{path}: {:?}",
            asked.elapsed()
        );
    }
    postgres.thaw();
    until(StatusCode::OK, Duration::from_secs(10), async || {
        server.request_token(&client, &[]).await
    })
    .await;
    until(StatusCode::OK, Duration::from_secs(10), async || {
        server.post(&client, "/oauth/introspect", &[("token", &token)]).await
    })
    .await;
}

/// Statements on clients that take as long as any may.
const SLOW: &str =
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION slow()";

/// Operators that all wait for the store hold at most 48 of the 64 connections of their listener; further ones are rejected at once, and probes
/// are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_operators_leave_connections_for_probes() {
    let server = start(Kind::Postgres).await;
    server.setup.sql(SLOW).await;
    let create = || server.admin(Method::POST, "/clients").json(&json!({"scope": "read"}));
    let operators = async {
        for created in futures_util::future::join_all((0..60).map(|_| create().send())).await {
            turned_away(created.unwrap()).await;
        }
    };
    let full = async || server.metric("oauth2_server_shed_total", &[("reason", "full")]).await;
    let probes = async {
        while full().await.unwrap() < 12.0 {
            // A connection of its own, as a kubelet's.
            let probe = reqwest::get(server.management_url("/health"));
            let health = tokio::time::timeout(REFUSED_WITHIN, probe).await.unwrap().unwrap();
            assert_eq!(health.status(), StatusCode::OK);
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(operators, probes) })
        .await
        .unwrap();
}

/// Many operators whose statements take as long as they may: they hold at most half of the connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_statements_of_operators_delay_no_client() {
    let server = start(Kind::Postgres).await;
    let client = server
        .register(json!({"scope": "read", "token_format": "opaque"}))
        .await;
    server.setup.sql(SLOW).await;
    let is_over = AtomicBool::new(false);
    let operator = async || {
        while !is_over.load(Ordering::Relaxed) {
            let created = server.admin(Method::POST, "/clients").json(&json!({"scope": "read"}));
            assert_eq!(created.send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let operators = futures_util::future::join_all((0..40).map(|_| operator()));
    let clients = async {
        // Longer than every operator's first statement.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            let asked = Instant::now();
            let token = server.token(&client).await;
            assert!(server.is_active(&client, &token).await);
            server.revoke(&client, &token).await;
            assert!(asked.elapsed() < 3 * REFUSED_WITHIN, "{:?}", asked.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(operators, clients);
    server.setup.sql("DROP FUNCTION slow CASCADE").await;
    server.register(json!({"scope": "read"})).await;
}

/// Transactions that collide again and again: retried, then 503 within the deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collisions_that_do_not_end_are_shed() {
    let server = start(Kind::Postgres).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    for code in ["40001", "40P01", "55P03"] {
        let sql = format!(
            "CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'collision' USING ERRCODE = '{code}'; END $$;
             CREATE TRIGGER collide BEFORE INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION collide();
             CREATE TRIGGER collide BEFORE INSERT ON revocations FOR EACH ROW EXECUTE FUNCTION collide();
             CREATE TRIGGER collide BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION collide()"
        );
        server.setup.sql(&sql).await;
        let asked = Instant::now();
        turned_away(server.request_token(&client, &[]).await).await;
        turned_away(server.post(&client, "/oauth/revoke", &[("token", &token)]).await).await;
        let created = server.admin(Method::POST, "/clients").json(&json!({"scope": "read"}));
        turned_away(created.send().await.unwrap()).await;
        assert!(
            asked.elapsed() < Duration::from_secs(4),
            "{code}: {:?}",
            asked.elapsed()
        );
        server.setup.sql("DROP FUNCTION collide CASCADE").await;
        server.token(&client).await;
        assert!(server.is_active(&client, &token).await);
    }
    server.revoke(&client, &token).await;
}

/// Somebody holds `SQLite`'s write lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_sqlite_does_not_exceed_the_deadline() {
    let server = start(Kind::Sqlite).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    let holder = rusqlite::Connection::open(server.setup.database_file()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = Instant::now();
    turned_away(server.request_token(&client, &[]).await).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(server.is_active(&client, &token).await, "reading goes on");
    holder.execute_batch("ROLLBACK").unwrap();
    until(StatusCode::OK, Duration::from_secs(2), async || {
        server.request_token(&client, &[]).await
    })
    .await;
}

/// What its caller was refused is not done behind the caller's back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_write_is_not_executed_later() {
    let server = start(Kind::Sqlite).await;
    let holder = rusqlite::Connection::open(server.setup.database_file()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let create = async |id: &str| {
        let request = server.admin(Method::POST, "/clients").json(&json!({"client_id": id}));
        request.send().await.unwrap()
    };
    let refused = futures_util::future::join(create("late-1"), create("late-2")).await;
    turned_away(refused.0).await;
    turned_away(refused.1).await;
    holder.execute_batch("ROLLBACK").unwrap();
    // Behind both in the writer's queue.
    assert_eq!(create("next").await.status(), StatusCode::CREATED);
    for late in ["late-1", "late-2"] {
        let found = server
            .admin(Method::GET, &format!("/clients/{late}"))
            .send()
            .await
            .unwrap();
        assert_eq!(
            found.status(),
            StatusCode::NOT_FOUND,
            "{late} was made after its caller was told that it was not"
        );
    }
}

/// Stops a process for longer than its view may be old. A token is revoked elsewhere meanwhile.
async fn pause_and_revoke(server: &mut DedicatedServer, token: &str) {
    server.process.pause();
    let revoked = server.setup.run(&["token", "revoke", token]);
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    tokio::time::sleep(Duration::from_millis(5200)).await;
    // The kept connections were idle for longer than the server keeps them.
    server.reconnect();
}

/// The process is paused for longer than its view may be old, and a token is revoked elsewhere meanwhile.
async fn paused_process_does_not_answer_from_a_stale_view(kind: Kind) {
    let mut server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &token).await);
    pause_and_revoke(&mut server, &token).await;
    server.process.unpause();
    let form = [("token", token.as_str())];
    let answers = (0..20).map(|_| server.post(&client, "/oauth/introspect", &form));
    for response in futures_util::future::join_all(answers).await {
        match response.status() {
            StatusCode::OK => assert_eq!(json(response).await, json!({"active": false})),
            _ => turned_away(response).await,
        }
    }
    let response = async || server.post(&client, "/oauth/introspect", &[("token", &token)]).await;
    until(StatusCode::OK, Duration::from_secs(2), response).await;
    assert!(!server.is_active(&client, &token).await);
}

on_both_stores!(paused_process_does_not_answer_from_a_stale_view);

/// The same without the store: the process cannot read of the revocation, and answers 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_process_without_its_store_says_nothing() {
    let postgres = Postgres::start(false);
    let mut server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &token).await);
    pause_and_revoke(&mut server, &token).await;
    postgres.freeze();
    server.process.unpause();
    let introspect = async || server.post(&client, "/oauth/introspect", &[("token", &token)]).await;
    for _ in 0..10 {
        turned_away(introspect().await).await;
    }
    postgres.thaw();
    until(StatusCode::OK, Duration::from_secs(10), introspect).await;
    assert!(!server.is_active(&client, &token).await);
}

//! Behind a pooler that lends connections by the transaction, and what becomes of one that was not named.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use oauth2_testkit::postgres::connect;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Pgbouncer, Postgres, Server, Setup};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::BINARY;
use crate::cli::{rejected, stdout_of};

const KEY: &str = "OAUTH2_DATABASE_POOLER";
const FORMATS: [&str; 3] = ["paseto", "jwt", "opaque"];

/// A server's environment that goes through the pooler, and the way beside it.
async fn behind(pooler: &Pgbouncer, postgres: &Postgres) -> (Setup, String) {
    let setup = Setup::on_postgres(BINARY, postgres).await;
    let direct = setup.database_url().unwrap().to_owned();
    (setup.with("OAUTH2_DATABASE_URL", pooler.url(&direct)), direct)
}

async fn clients_of_every_format(server: &Server) -> Vec<Credentials> {
    let mut clients = Vec::new();
    for format in FORMATS {
        clients.push(server.register(json!({"scope": "read", "token_format": format})).await);
    }
    clients
}

/// How many connections of servers Postgres has.
async fn sessions(direct: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'oauth2_server' AND datname = current_database()";
    connect(direct).await.query_one(sql, &[]).await.unwrap().get(0)
}

/// Two nodes, many callers and two connections to Postgres: everything that goes by a statement is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_two_connections() {
    let postgres = Postgres::start(false);
    let pooler = Pgbouncer::start(&postgres, "transaction", 2);
    let (setup, direct) = behind(&pooler, &postgres).await;
    let setup = setup.with(KEY, "transaction");
    // Each response may have to wait for one of the two.
    let setup = setup.with("OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS", "900");
    let beside = setup
        .second_node()
        .with("OAUTH2_ISSUER", format!("http://127.0.0.1:{}", setup.public));
    // A first start of both at once: they migrate, make keys and partitions.
    let (mut first, mut second) = join(DedicatedServer::start(setup), DedicatedServer::start(beside)).await;
    let clients = clients_of_every_format(&first).await;
    let made = first.setup.json(&[
        "client", "create", "--id", "ci", "--scope", "read", "--quota", "day=50", "--json",
    ]);
    let quota = Credentials::of(&made);
    for client in &clients {
        until(&second, client, StatusCode::OK).await;
    }
    until(&first, &quota, StatusCode::OK).await;

    let rounds = (0..24).map(async |caller: usize| {
        let (server, other) = if caller.is_multiple_of(2) {
            (&first, &second)
        } else {
            (&second, &first)
        };
        let client = &clients[caller % clients.len()];
        for turn in 0..8 {
            let token = server.token(client).await;
            assert!(other.is_active(client, &token).await, "{}", client.id);
            if turn % 4 == 0 {
                server.revoke(client, &token).await;
                assert!(!server.is_active(client, &token).await, "{}", client.id);
            }
        }
    });
    join_all(rounds).await;
    assert!((1..=2).contains(&sessions(&direct).await), "the pooler is in between");

    let mut granted = 1;
    while first.request_token(&quota, &[]).await.status() == StatusCode::OK {
        granted += 1;
    }
    assert_eq!(granted, 50);
    let usage = first.admin(Method::GET, "/clients/ci/usage").send().await.unwrap();
    assert_eq!(body_of(usage).await["quotas"][1]["used"], 50);

    stdout_of(&first.setup, &["key", "rotate"]);
    stdout_of(&first.setup, &["client", "rotate-secret", "ci"]);
    let more = "{\"client_id\":\"one\"}\n{\"client_id\":\"two\"}\n";
    let secrets = first.setup.directory().join("secrets");
    let import = [
        "client",
        "import",
        "-",
        "--format",
        "jsonl",
        "--secrets-out",
        secrets.to_str().unwrap(),
    ];
    let imported = first.setup.run_with_input(&import, more);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let listed = first.admin(Method::GET, "/clients").send().await.unwrap();
    assert_eq!(
        body_of(listed).await["items"].as_array().unwrap().len(),
        FORMATS.len() + 3
    );
    let audited = first.admin(Method::GET, "/audit?kind=key").send().await.unwrap();
    let audited = body_of(audited).await;
    assert!(
        audited["items"].as_array().is_some_and(|rows| rows.len() >= 4),
        "{audited}"
    );
    let audited = first.setup.audit(&["--kind", "client"]).await;
    assert!(audited.to_string().contains("client.rotate_secret"), "{audited}");

    first.process.signal("TERM");
    assert!(first.process.wait(Duration::from_secs(20)).await.success());
    first.start_again().await;
    for client in &clients {
        let token = first.token(client).await;
        assert!(second.is_active(client, &token).await);
    }
    for server in [&mut first, &mut second] {
        let log = server.process.complete_log().await;
        assert!(!log.contains("\"ERROR\"") && !log.contains("prepared"), "{log}");
    }
}

/// Sessions are ended under load, in the middle of what they do. What was answered is there, and it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_tokens_survive_killed_pooler_connections() {
    const KILLS: i64 = 20;
    let postgres = Postgres::start(false);
    let pooler = Pgbouncer::start(&postgres, "transaction", 3);
    let (setup, direct) = behind(&pooler, &postgres).await;
    let server = DedicatedServer::start(setup.with(KEY, "transaction")).await;
    let client = server.register(json!({"token_format": "opaque"})).await;
    let (over, tokens) = (Cell::new(false), RefCell::new(Vec::new()));
    let asking = join_all((0..16).map(async |_| {
        while !over.get() {
            let response = server.request_token(&client, &[]).await;
            match response.status() {
                StatusCode::OK => {
                    let token = body_of(response).await["access_token"].as_str().unwrap().to_owned();
                    tokens.borrow_mut().push(token);
                }
                StatusCode::SERVICE_UNAVAILABLE => {}
                other => panic!("{other}"),
            }
        }
    }));
    let killing = async {
        let beside = connect(&direct).await;
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'oauth2_server' AND datname = current_database() AND state <> 'idle'";
        let mut killed = 0;
        let deadline = Instant::now() + Duration::from_mins(1);
        while killed < KILLS {
            killed += beside.query_one(kill, &[]).await.unwrap().get::<_, i64>(0);
            assert!(Instant::now() < deadline, "{killed} were at work");
        }
        // And it goes on with no one the wiser.
        let before = tokens.borrow().len();
        while tokens.borrow().len() < before + 50 {
            assert!(Instant::now() < deadline, "it goes on: {}", server.process.stderr());
            tokio::task::yield_now().await;
        }
        over.set(true);
    };
    join(asking, killing).await;
    for chunk in tokens.into_inner().chunks(500) {
        let answers = crate::introspect::batch(&server, &client, chunk).await;
        assert!(answers.as_array().unwrap().iter().all(|one| one["active"] == true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undeclared_transaction_pooler_is_rejected() {
    let postgres = Postgres::start(false);
    let pooler = Pgbouncer::start(&postgres, "transaction", 2);
    let (mut setup, _) = behind(&pooler, &postgres).await;
    let words = ["pooler in transaction mode", "OAUTH2_DATABASE_POOLER=transaction"];
    rejected(&setup.run(&["migrate"]), 3, &words);
    setup.set(KEY, "transaction");
    stdout_of(&setup, &["migrate"]);
    setup.json(&["client", "create", "--id", "ci", "--json"]);
    setup.unset(KEY);
    for arguments in [
        &["client", "list"][..],
        &["migrate"],
        &["serve"],
        &["serve", "--no-migrate"],
    ] {
        rejected(&setup.run(arguments), 3, &words);
    }
    let doctor = setup.run(&["doctor"]).stdout;
    assert!(words.iter().all(|word| doctor.contains(word)), "{doctor}");
    // What it does not pass on is said, not waited for.
    let url = format!("{}?options=-c%20search_path%3Dpublic", setup.database_url().unwrap());
    let with_options = setup.with(KEY, "transaction").with("OAUTH2_DATABASE_URL", url);
    rejected(
        &with_options.run(&["migrate"]),
        3,
        &["options", "ignore_startup_parameters"],
    );
}

/// Connections of their own are what such a pooler gives.
#[tokio::test(flavor = "multi_thread")]
async fn session_mode_pooler_needs_no_configuration() {
    let postgres = Postgres::start(false);
    let pooler = Pgbouncer::start(&postgres, "session", 30);
    let (setup, direct) = behind(&pooler, &postgres).await;
    let mut server = DedicatedServer::start(setup).await;
    let clients = clients_of_every_format(&server).await;
    join_all(clients.iter().cycle().take(60).map(|client| server.token(client))).await;
    // The sessions that are left behind are given to the next.
    server.process.kill();
    server.start_again().await;
    for _ in 0..5 {
        stdout_of(&server.setup, &["client", "list"]);
    }
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oauth2_server'";
    connect(&direct).await.batch_execute(kill).await.unwrap();
    until(&server, &clients[0], StatusCode::OK).await;
    let log = server.process.complete_log().await;
    assert!(!log.contains(KEY), "{log}");
}

/// A pooler that comes in between while the server runs: nothing is answered through it, and it is said why.
#[tokio::test(flavor = "multi_thread")]
async fn pooler_inserted_at_run_time_is_detected() {
    let postgres = Postgres::start(false);
    let pooler = Pgbouncer::start(&postgres, "transaction", 1);
    let way = Arc::new(AtomicU16::new(postgres.port()));
    let switch = switch(way.clone()).await;
    let setup = Setup::on_postgres(BINARY, &postgres).await;
    let direct = setup.database_url().unwrap().to_owned();
    let url = direct.replace(&postgres.port().to_string(), &switch.to_string());
    let server = DedicatedServer::start(setup.with("OAUTH2_DATABASE_URL", url)).await;
    let client = server.register(json!({"token_format": "opaque"})).await;
    server.token(&client).await;

    let cut = async |port: u16| {
        way.store(port, Ordering::Relaxed);
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oauth2_server'";
        connect(&direct).await.batch_execute(kill).await.unwrap();
    };
    cut(pooler.port()).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !server.process.stderr().contains("OAUTH2_DATABASE_POOLER=transaction") {
        // Some may pass before there is a second connection.
        server.request_token(&client, &[]).await;
        assert!(Instant::now() < deadline, "{}", server.process.stderr());
    }
    for _ in 0..20 {
        assert_eq!(
            server.request_token(&client, &[]).await.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    cut(postgres.port()).await;
    until(&server, &client, StatusCode::OK).await;
}

async fn until(server: &DedicatedServer, client: &Credentials, status: StatusCode) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.request_token(client, &[]).await.status() != status {
        assert!(Instant::now() < deadline, "never {status}: {}", server.process.stderr());
    }
}

/// A port from which connections go wherever the way leads when they are opened.
async fn switch(way: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = way.load(Ordering::Relaxed);
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    port
}

//! SIGTERM: not ready first, then nothing new, then the end; nobody is cut off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth2_testkit::{DedicatedServer, Kind};
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{setup, start};

on_both_stores!(
    connections_are_accepted_during_the_drain_delay,
    requests_in_flight_are_completed,
    operators_requests_in_flight_are_completed,
    clients_that_observe_readiness_lose_no_request,
    stop_during_startup_exits_cleanly,
);

const PATIENCE: Duration = Duration::from_secs(30);

async fn connections_are_accepted_during_the_drain_delay(kind: Kind) {
    let delay = Duration::from_secs(2);
    let mut server = DedicatedServer::start(setup(kind).await.with("OAUTH2_SERVER_DRAIN_DELAY", "2")).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.process.signal("TERM");
    let told = Instant::now();
    let not_ready = async {
        loop {
            let response = server.http.get(server.url("/ready")).send().await.unwrap();
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                let body: serde_json::Value = response.json().await.unwrap();
                assert_eq!(body["checks"]["accepting"], false);
                return;
            }
        }
    };
    tokio::time::timeout(delay, not_ready)
        .await
        .expect("not ready before the delay is over");
    // A connection of its own: what a load balancer that has not noticed yet would open.
    let fresh = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = fresh
        .post(server.url("/oauth/token"))
        .header("authorization", client.basic());
    let response = request
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK, "still accepting");
    assert_eq!(
        response.headers()["connection"],
        "close",
        "the next request goes to another node"
    );
    let status = server.process.wait(PATIENCE).await;
    assert_eq!(status.code(), Some(0));
    assert!(told.elapsed() >= delay, "the delay was cut short");
    assert!(server.http.get(server.url("/health")).send().await.is_err());
}

/// Waits until a listener accepts no more connections. The server waits for its requests meanwhile.
async fn listener_closed(server: &mut DedicatedServer, address: (&str, u16)) {
    while TcpStream::connect(address).is_ok() {
        assert!(server.process.exit_status().is_none(), "it waits for no request");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Each client sends half of its request before SIGTERM, and the rest after the listener was closed.
async fn requests_in_flight_are_completed(kind: Kind) {
    let mut server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (address, body) = (("127.0.0.1", server.setup.public), "grant_type=client_credentials");
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n",
        client.basic(),
        body.len()
    );
    let mut streams: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut streams {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body.as_bytes()[..10]).unwrap();
    }
    // Answered after all of those were accepted, by workers that had read them before.
    for _ in 0..8 {
        server.token(&client).await;
    }
    server.process.signal("TERM");
    listener_closed(&mut server, address).await;
    for stream in &mut streams {
        stream.write_all(&body.as_bytes()[10..]).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("an response, then the end");
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        assert!(response.contains("access_token"), "{response}");
    }
    assert_eq!(server.process.wait(PATIENCE).await.code(), Some(0));
}

/// An operator sends half of a request before SIGTERM, and the rest after both listeners were closed: the request still reaches the store.
async fn operators_requests_in_flight_are_completed(kind: Kind) {
    let mut server = start(kind).await;
    let (public, management) = (server.setup.public, server.setup.management);
    let body = r#"{"client_id": "late", "scope": "read"}"#;
    let head = format!(
        "POST /admin/v1/clients HTTP/1.1\r\nHost: 127.0.0.1:{management}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\n\r\n",
        server.admin_token(),
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", management)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..10]).unwrap();
    // Answered after that was accepted.
    for _ in 0..8 {
        server.register(json!({"scope": "read"})).await;
    }
    server.process.signal("TERM");
    for port in [public, management] {
        listener_closed(&mut server, ("127.0.0.1", port)).await;
    }
    // A server that waited for no operator would have closed its store.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(server.process.exit_status().is_none(), "it waits for no operator");
    stream.write_all(&body.as_bytes()[10..]).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response, then the end");
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    assert_eq!(server.process.wait(PATIENCE).await.code(), Some(0));
    let listed = server.setup.json(&["client", "list", "--json"]);
    assert!(listed.to_string().contains("\"late\""), "{listed}");
}

/// What a rolling restart looks like to a load balancer: requests without a pause, on kept connections, until `/ready` says
/// no. None of them fails.
async fn clients_that_observe_readiness_lose_no_request(kind: Kind) {
    let mut server = DedicatedServer::start(setup(kind).await.with("OAUTH2_SERVER_DRAIN_DELAY", "1")).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (ready, answered) = (AtomicBool::new(true), Semaphore::new(0));
    let ask = async || {
        while ready.load(Ordering::Acquire) {
            server.token(&client).await;
            answered.add_permits(1);
        }
    };
    let watch = async {
        let _ = answered.acquire_many(200).await.unwrap();
        server.process.signal("TERM");
        while server.http.get(server.url("/ready")).send().await.unwrap().status() == StatusCode::OK {}
        ready.store(false, Ordering::Release);
    };
    let everybody = futures_util::future::join(futures_util::future::join_all((0..16).map(|_| ask())), watch);
    tokio::time::timeout(PATIENCE, everybody)
        .await
        .expect("it goes not ready");
    assert_eq!(server.process.wait(PATIENCE).await.code(), Some(0));
}

async fn stop_during_startup_exits_cleanly(kind: Kind) {
    let setup = setup(kind).await;
    let mut process = setup.spawn();
    // Listening for operators, ready or not.
    let health = format!("http://127.0.0.1:{}/health", setup.management);
    while reqwest::get(&health).await.is_err() {
        assert!(process.exit_status().is_none(), "{}", process.stderr());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.signal("INT");
    assert_eq!(process.wait(PATIENCE).await.code(), Some(0));
}

//! Connections, with TLS and without: each phase ends, too many of them stop no listener, and offers to upgrade are ignored.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use oauth2_testkit::{DedicatedServer, Kind, Output, Process, Setup};
use reqwest::StatusCode;
use serde_json::json;

use self::transport::{Stream, Transport};
use crate::cli::rejected;
use crate::setup;

mod transport;

/// Declares each function as a test without TLS and as a test with TLS, over HTTP/1.1.
macro_rules! over_both_transports {
    ($($name:ident),+ $(,)?) => {
        mod plain {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Transport::plain().await).await })+
        }
        mod tls {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Transport::tls().await).await })+
        }
    };
}

over_both_transports!(
    requests_that_never_end_are_ended,
    idle_connections_are_closed,
    stuck_connections_do_not_stop_the_listeners,
    offers_to_upgrade_are_ignored,
);

/// How often a slow client sends a byte.
const TRICKLE: Duration = Duration::from_millis(200);

/// Sends `first`, then `more` again and again, until the server closes. Returns what it answered.
fn trickle(mut stream: Stream, first: &str, more: &str, limit: Duration) -> String {
    stream.write_all(first.as_bytes()).unwrap();
    stream.socket().set_read_timeout(Some(TRICKLE)).unwrap();
    let (began, mut answer, mut buffer) = (Instant::now(), Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stream.write_all(more.as_bytes()).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
        assert!(
            began.elapsed() < limit,
            "still open after {limit:?}: {first:?}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request whose head ends and whose body does not.
fn endless(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

async fn requests_that_never_end_are_ended((setup, transport): (Setup, Transport)) {
    let server = DedicatedServer::start(setup).await;
    let (public, management) = (server.setup.public, server.setup.management);
    let (form, length) = (
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Length: 15000\r\n",
    );
    let chunked = "Transfer-Encoding: chunked\r\n";
    let whole = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let cases = [
        // Before and after our own 408.
        (
            public,
            endless("/oauth/token", &format!("{form}{chunked}")),
            "1\r\na\r\n",
            "408",
        ),
        (public, endless("/oauth/token", &format!("{form}{length}")), "a", "408"),
        // Answered before the body was read.
        (public, endless("/nothing", chunked), "1\r\na\r\n", "404"),
        (public, endless("/nothing", length), "a", "404"),
        (management, endless("/admin/v1/clients", chunked), "1\r\na\r\n", "401"),
        (management, endless("/admin/v1/clients", length), "a", "401"),
        (management, endless("/health", chunked), "1\r\na\r\n", "405"),
        // In the size of a chunk, and in a trailer.
        (public, endless("/nothing", chunked), "0", "404"),
        (public, endless("/nothing", chunked) + "0\r\n", "X: a\r\n", "404"),
        // The first head, and a later one.
        (public, "GET /health HTTP/1.1\r\n".to_owned(), "X: a\r\n", "408"),
        (management, "GET".to_owned(), "T", "408"),
        (public, format!("{whole}GET /health HTTP/1.1\r\n"), "X: a\r\n", "200"),
        (management, format!("{whole}\r\n"), "\r\n", "200"),
    ];
    let clients = cases.map(|(port, begin, more, status)| {
        let stream = transport.connect(port);
        std::thread::spawn(move || {
            let answer = trickle(stream, &begin, more, Duration::from_secs(20));
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{begin:?}: {answer}");
        })
    });
    let stream = transport.connect(public);
    let silent = std::thread::spawn(move || read_nothing(stream));
    // Over TLS: no handshake, and one that does not end. A record of 512 bytes is announced.
    let handshakes = [&b""[..], b"\x16\x03\x01\x02\x00"].map(|bytes| {
        let stream = transport.is_tls().then(|| Transport::Plain.connect(public));
        std::thread::spawn(move || stream.map(|stream| ends_after(stream, bytes)))
    });
    let outcomes = clients.map(std::thread::JoinHandle::join);
    assert!(outcomes.iter().all(Result::is_ok));
    silent.join().unwrap();
    for handshake in handshakes {
        handshake.join().unwrap();
    }
    let reasons = ["head", "body", "write", "handshake"];
    for reason in &reasons[..if transport.is_tls() { 4 } else { 3 }] {
        let closed = server
            .metric(
                "oauth2_server_connections_closed_total",
                &[("listener", "public"), ("reason", reason)],
            )
            .await;
        assert!(closed.unwrap() >= 1.0, "{reason}");
    }
}

/// Sends bytes, and waits until the server closes without a response.
fn ends_after(mut stream: Stream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "still open: {error}");
    }
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

/// Sends requests and reads no response, until the server closes.
fn read_nothing(mut stream: Stream) {
    stream.socket().set_write_timeout(Some(TRICKLE)).unwrap();
    let requests = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    // Since the server last took bytes.
    let mut stalled = Instant::now();
    loop {
        match stream.write(requests.as_bytes()) {
            Ok(_) => stalled = Instant::now(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        assert!(stalled.elapsed() < Duration::from_secs(20), "still open");
    }
}

async fn idle_connections_are_closed((setup, transport): (Setup, Transport)) {
    let server = DedicatedServer::start(setup.with("OAUTH2_SERVER_KEEP_ALIVE", "1")).await;
    for port in [server.setup.public, server.setup.management] {
        let mut stream = transport.connect(port);
        for _ in 0..3 {
            let (head, _) = exchange(&mut stream, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "");
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
        let answered = Instant::now();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        let idle = answered.elapsed();
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(3)).contains(&idle),
            "closed after {idle:?}"
        );
    }
}

/// 150 connections on each listener that are stuck in a head, in a body, or before them, with descriptors for 160 files.
async fn stuck_connections_do_not_stop_the_listeners((setup, transport): (Setup, Transport)) {
    let mut command = setup.script(r#"ulimit -n 160; exec "$0""#);
    let process = Process::start(&mut command, &setup.directory().join("stderr.log"));
    let mut server = DedicatedServer::from_process(setup, process).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let mut stuck = Vec::new();
    for at in 0..150 {
        for port in [server.setup.public, server.setup.management] {
            let mut stream = transport.connect(port);
            let begin = match at % 3 {
                0 => "GET /health HTTP/1.1\r\nHost: ".to_owned(),
                1 => endless("/nothing", "Transfer-Encoding: chunked\r\n"),
                _ => String::new(),
            };
            // The server may have closed it already.
            let _ = stream.write_all(begin.as_bytes());
            stuck.push(stream);
        }
    }
    let began = Instant::now();
    for _ in 0..20 {
        // A new connection each time.
        server.reconnect();
        server.token(&client).await;
        let response = server.http.get(server.management_url("/health")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    // The deadlines alone would free them in batches, in more than a minute.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    for listener in ["public", "management"] {
        let evicted = server
            .metric(
                "oauth2_server_connections_closed_total",
                &[("listener", listener), ("reason", "evicted")],
            )
            .await;
        assert!(evicted.unwrap() > 0.0, "{listener}");
    }
    drop(stuck);
}

/// A server that could run out of descriptors does not start; one with just enough answers probes, however many connections there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_of_descriptors_is_checked_at_the_start() {
    for (limit, workers) in [(64, 1), (128, 2), (159, 2), (200, 24), (455, 64)] {
        let setup = setup(Kind::Sqlite)
            .await
            .with("OAUTH2_SERVER_WORKERS", workers.to_string());
        let script = format!(r#"ulimit -n {limit}; exec "$0" serve"#);
        let output = Output::of(&mut setup.script(&script));
        rejected(
            &output,
            3,
            &["the limit of open files", &limit.to_string(), "OAUTH2_SERVER_WORKERS"],
        );
        assert!(!setup.directory().join("data").exists());
    }
    for (limit, workers) in [(160, 2), (456, 64)] {
        let setup = setup(Kind::Sqlite)
            .await
            .with("OAUTH2_SERVER_WORKERS", workers.to_string());
        let mut command = setup.script(&format!(r#"ulimit -n {limit}; exec "$0""#));
        let process = Process::start(&mut command, &setup.directory().join("stderr.log"));
        let server = DedicatedServer::from_process(setup, process).await;
        let connect = |port| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut silent: Vec<_> = (0..350).map(|_| connect(server.setup.public)).collect();
        silent.extend((0..80).map(|_| connect(server.setup.management)));
        for _ in 0..5 {
            let response = reqwest::get(server.management_url("/ready")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{limit} {workers}");
        }
        drop(silent);
    }
}

/// Sends a request, its body in a write of its own, and reads the response: its head and its body.
fn exchange(stream: &mut Stream, head: &str, body: &str) -> (String, String) {
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(b"\r\n\r\n") {
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "closed within a head: {:?}",
            String::from_utf8_lossy(&response)
        );
        response.push(byte[0]);
    }
    let head = String::from_utf8(response).unwrap().to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head.replace("http/1.1", "HTTP/1.1"), String::from_utf8(body).unwrap())
}

/// The head that the JDK's `HttpClient` sends by default without TLS, and other offers.
async fn offers_to_upgrade_are_ignored((setup, transport): (Setup, Transport)) {
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read"})).await;
    let jdk = "Connection: Upgrade, HTTP2-Settings\r\nHost: localhost\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n\
               Upgrade: h2c\r\nUser-Agent: Java-http-client/21.0.4\r\n";
    let websocket = "Host: localhost\r\nupgrade: websocket\r\nconnection: keep-alive, UPGRADE\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let body = "grant_type=client_credentials";
    let form = format!(
        "Content-Length: {}\r\nAuthorization: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
        body.len(),
        client.basic()
    );
    let mut stream = transport.connect(server.setup.public);
    for offer in [jdk, websocket, jdk] {
        for _ in 0..20 {
            let requests = [
                ("GET /.well-known/jwks.json", "", "", "\"keys\""),
                ("POST /oauth/token", form.as_str(), body, "access_token"),
            ];
            for (request, more, body, expected) in requests {
                let (head, answer) = exchange(&mut stream, &format!("{request} HTTP/1.1\r\n{offer}{more}\r\n"), body);
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}{answer}");
                assert!(
                    !head.contains("\r\nconnection:") && !head.contains("\r\nupgrade:"),
                    "{head}"
                );
                assert!(answer.contains(expected), "{answer}");
            }
        }
    }
    let mut stream = transport.connect(server.setup.management);
    for _ in 0..3 {
        let (head, _) = exchange(&mut stream, &format!("GET /metrics HTTP/1.1\r\n{jdk}\r\n"), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

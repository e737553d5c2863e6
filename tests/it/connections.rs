//! Connections: each phase of one ends, too many of them stop nobody, and offers to upgrade are ignored.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use oauth2_testkit::{DedicatedServer, Kind, Process, Server};
use reqwest::StatusCode;
use serde_json::json;

use crate::{setup, shared, unique};

/// How often a slow client sends a byte.
const TRICKLE: Duration = Duration::from_millis(200);

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends `first`, then `more` again and again, until the server closes. Returns what it answered.
fn trickle(port: u16, first: &str, more: &str, limit: Duration) -> String {
    let mut stream = connect(port);
    stream.set_read_timeout(Some(TRICKLE)).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_end_are_ended() {
    let server = shared(Kind::Sqlite).await;
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
        std::thread::spawn(move || {
            let answer = trickle(port, &begin, more, Duration::from_secs(20));
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{begin:?}: {answer}");
        })
    });
    let silent = std::thread::spawn(move || read_nothing(public));
    let outcomes = clients.map(std::thread::JoinHandle::join);
    assert!(outcomes.iter().all(Result::is_ok));
    silent.join().unwrap();
    for reason in ["head", "body", "write"] {
        let closed = server
            .metric(
                "oauth2_server_connections_closed_total",
                &[("listener", "public"), ("reason", reason)],
            )
            .await;
        assert!(closed.unwrap() >= 1.0, "{reason}");
    }
}

/// Sends requests and reads no response, until the server closes.
fn read_nothing(port: u16) {
    let mut stream = connect(port);
    stream.set_write_timeout(Some(TRICKLE)).unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed() {
    let setup = setup(Kind::Sqlite).await.with("OAUTH2_SERVER_KEEP_ALIVE", "1");
    let server = DedicatedServer::start(setup).await;
    for port in [server.setup.public, server.setup.management] {
        let mut stream = connect(port);
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

/// 150 connections on each listener that are stuck in a head or in a body, with descriptors for 160 files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_connections_do_not_stop_the_listeners() {
    let setup = setup(Kind::Sqlite).await;
    let mut command = setup.script(r#"ulimit -n 160; exec "$0""#);
    let process = Process::start(&mut command, &setup.directory().join("stderr.log"));
    let mut server = DedicatedServer::from_process(setup, process).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let mut stuck = Vec::new();
    for at in 0..150 {
        for port in [server.setup.public, server.setup.management] {
            let mut stream = connect(port);
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

/// Sends a request, its body in a write of its own, and reads the response: its head and its body.
fn exchange(stream: &mut TcpStream, head: &str, body: &str) -> (String, String) {
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
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_to_upgrade_are_ignored() {
    let server: Server = shared(Kind::Sqlite).await;
    let client = server
        .register(json!({"client_id": unique("jdk"), "scope": "read"}))
        .await;
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
    let mut stream = connect(server.setup.public);
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
    let mut stream = connect(server.setup.management);
    for _ in 0..3 {
        let (head, _) = exchange(&mut stream, &format!("GET /metrics HTTP/1.1\r\n{jdk}\r\n"), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

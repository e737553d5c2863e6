//! Requests that are sent before earlier ones are answered (RFC 9112 section 9.3.2): all of them are answered, in order. A client that reads
//! no responses keeps no worker busy.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use oauth2_testkit::{DedicatedServer, Kind, Postgres, Setup};
use serde_json::json;

use crate::{BINARY, setup, shared, unique};

const JWKS: &str = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends requests until the server takes no more, and reads no response.
fn flood(port: u16, first: &str, request: &str) -> TcpStream {
    let mut stream = connect(port);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
    let requests = request.repeat(100);
    loop {
        match stream.write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return stream,
            Err(error) => panic!("the server closed: {error}"),
        }
    }
}

/// The processor time of a process so far.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may have spaces. Of the fields after it, the 12th and 13th are user and system time, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let hundredths: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(hundredths * 10)
}

/// The share of a processor that a process uses in a while.
fn load(process: u32, within: Duration) -> f64 {
    let (began, before) = (Instant::now(), processor_time(process));
    std::thread::sleep(within);
    processor_time(process).saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_responses_keep_no_worker_busy() {
    let server = DedicatedServer::start(setup(Kind::Sqlite).await).await;
    let long = format!(
        "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
        "a".repeat(6000)
    );
    // Where requests end is not followed: a line that matters is too long.
    let unknown = format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: {}\r\n\r\n",
        "a,".repeat(400)
    );
    for (first, request) in [("", JWKS), ("", long.as_str()), (unknown.as_str(), JWKS)] {
        let silent: Vec<TcpStream> = (0..4).map(|_| flood(server.setup.public, first, request)).collect();
        let load = load(server.process.id(), Duration::from_secs(2));
        assert!(load < 0.25, "{load:.2} processors: {} bytes each", request.len());
        drop(silent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_behind_a_slow_one_keep_no_worker_busy() {
    let postgres = Postgres::start(false);
    let server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = json!({"client_id": "slow", "scope": "read"}).to_string();
    let slow = format!(
        "POST /admin/v1/clients HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{client}",
        server.admin_token(),
        client.len()
    );
    postgres.freeze();
    let waiting = flood(
        server.setup.management,
        &slow,
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    // The slow request is in progress for longer.
    let load = load(server.process.id(), Duration::from_millis(500));
    postgres.thaw();
    assert!(load < 0.25, "{load:.2} processors");
    drop(waiting);
}

/// Sends requests from another thread; returns the statuses of their responses in order.
fn pipeline(port: u16, requests: Vec<String>) -> Vec<u16> {
    let stream = connect(port);
    let (mut sender, count) = (stream.try_clone().unwrap(), requests.len());
    let sent = std::thread::spawn(move || sender.write_all(requests.concat().as_bytes()).unwrap());
    let statuses = statuses(stream, count);
    sent.join().unwrap();
    statuses
}

/// Reads this many responses.
fn statuses(mut stream: TcpStream, count: usize) -> Vec<u16> {
    let (mut statuses, mut rest, mut buffer) = (Vec::new(), Vec::new(), vec![0; 64 << 10]);
    while statuses.len() < count {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {} responses", statuses.len());
        rest.extend_from_slice(&buffer[..read]);
        while let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if rest.len() < end + 4 + length {
                break;
            }
            statuses.push(head[9..12].parse().unwrap());
            rest.drain(..end + 4 + length);
        }
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pipelined_request_is_answered_in_order() {
    let server = shared(Kind::Sqlite).await;
    let client = server
        .register(json!({"client_id": unique("pipelined"), "scope": "read"}))
        .await;
    let form = |more: usize| {
        let body = format!("grant_type=client_credentials&x={}", "a".repeat(more));
        format!(
            "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            client.basic(),
            body.len()
        )
    };
    let missing = "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for round in 0..300 {
        requests.extend([JWKS.to_owned(), form(round * 10), missing.clone()]);
        expected.extend([200, 200, 404]);
    }
    let port = server.setup.public;
    let statuses = tokio::task::spawn_blocking(move || pipeline(port, requests))
        .await
        .unwrap();
    assert_eq!(statuses, expected);
}

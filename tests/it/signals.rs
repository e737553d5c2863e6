//! Signals of service managers, terminals and log rotation: none ends the process without a drain.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Output, Process, Server, until};
use reqwest::StatusCode;
use serde_json::json;

use crate::{setup, start};

const PATIENCE: Duration = Duration::from_secs(30);

/// A token request of which half was sent.
struct Half {
    stream: TcpStream,
    rest: &'static str,
}

impl Half {
    async fn begin(server: &Server, client: &Credentials) -> Half {
        let body = "grant_type=client_credentials";
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n",
            client.basic(),
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", server.setup.public)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body.as_bytes()[..10]).unwrap();
        // Answered by workers that have read it before.
        for _ in 0..4 {
            server.token(client).await;
        }
        Half {
            stream,
            rest: &body[10..],
        }
    }

    /// Sends the rest and reads the response, to the end of the connection.
    fn finish(mut self) {
        self.stream.write_all(self.rest.as_bytes()).unwrap();
        let mut response = String::new();
        self.stream
            .read_to_string(&mut response)
            .expect("a response, then the end");
        assert!(
            response.starts_with("HTTP/1.1 200 OK") && response.contains("access_token"),
            "{response}"
        );
    }
}

/// Waits until the public listener is closed.
async fn closed(server: &Server) {
    until(PATIENCE, "the listener closes", async || {
        TcpStream::connect(("127.0.0.1", server.setup.public)).is_err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_without_meaning_are_ignored() {
    let mut server = start(Kind::Sqlite).await;
    let client = server.register(json!({"scope": "read"})).await;
    let names = [
        "HUP", "USR1", "USR2", "PIPE", "ALRM", "VTALRM", "PROF", "XCPU", "STKFLT", "RTMIN+1", "XFSZ",
    ];
    for name in names {
        server.process.signal(name);
        server.token(&client).await;
    }
    let log = server.process.complete_log().await;
    // A line about a write that failed would fail itself, and so on.
    for name in names.into_iter().filter(|name| !["PIPE", "XFSZ"].contains(name)) {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"signal\":\"SIG{name}\"")));
        assert!(line.is_some_and(|line| line.contains("ignored")), "{name}: {log}");
    }
    assert_eq!(server.process.exit_status().and_then(|status| status.code()), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_to_stop_drain() {
    for name in ["TERM", "INT", "QUIT", "PWR", "RTMIN+3"] {
        let mut server = start(Kind::Sqlite).await;
        let client = server.register(json!({"scope": "read"})).await;
        let half = Half::begin(&server, &client).await;
        server.process.signal(name);
        closed(&server).await;
        half.finish();
        assert_eq!(server.process.wait(PATIENCE).await.code(), Some(0), "{name}");
    }
}

/// Supervisors that signal a whole group, and impatient people, send a second signal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_wait_and_not_the_requests() {
    let setup = setup(Kind::Sqlite).await.with("OAUTH2_SERVER_DRAIN_DELAY", "60");
    let mut server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read"})).await;
    let half = Half::begin(&server, &client).await;
    let began = Instant::now();
    server.process.signal("TERM");
    let not_ready =
        async { while server.http.get(server.url("/ready")).send().await.unwrap().status() == StatusCode::OK {} };
    tokio::time::timeout(PATIENCE, not_ready).await.unwrap();
    for _ in 0..3 {
        server.process.signal("TERM");
    }
    closed(&server).await;
    half.finish();
    assert_eq!(server.process.wait(PATIENCE).await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// `script` runs the server on a terminal, which closes when `script` ends. The tests may themselves have been started with `nohup`, and what
/// ignores SIGHUP passes that on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_terminal_drains() {
    let setup = setup(Kind::Sqlite).await;
    let mut command = setup.script(r#"exec env --default-signal=HUP script -qec "$0" /dev/null"#);
    let process = Process::start(&mut command, &setup.directory().join("stderr.log"));
    let mut server = DedicatedServer::from_process(setup, process).await;
    let client = server.register(json!({"scope": "read"})).await;
    let half = Half::begin(&server, &client).await;
    server.process.kill();
    closed(&server).await;
    half.finish();
}

/// A reader that has read enough ends no subcommand with a panic or a signal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subcommands_survive_a_closed_pipe() {
    let setup = setup(Kind::Sqlite).await;
    assert_eq!(setup.run(&["migrate"]).code, 0);
    for at in 0..20 {
        let id = format!("client-{at}");
        assert_eq!(setup.run(&["client", "create", "--id", &id]).code, 0);
    }
    for arguments in [
        "client list",
        "client list --json",
        "client export",
        "audit list --json",
        "key list",
        "config print",
        "completions bash",
        "openapi",
        "--help",
    ] {
        let script = format!(r#"exec 3>&1; {{ "$0" {arguments} 2>stderr; echo "$?" >&3; }} | exec true"#);
        let output = Output::of(&mut setup.script(&script));
        let stderr = std::fs::read_to_string(setup.directory().join("stderr")).unwrap();
        assert!(!stderr.contains("panicked"), "{arguments}: {stderr}");
        let code: i32 = output.stdout.trim().parse().unwrap();
        assert!(code < 128 && code != 101, "{arguments}: {code} {stderr}");
    }
}

//! The database's host is a name, and the name server loses queries or does not respond at all.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use oauth2_testkit::postgres::connect;
use oauth2_testkit::{DedicatedServer, Postgres, Setup, until};
use serde_json::json;

use crate::BINARY;

const HOST: &str = "db.test";

/// The value of [`NameServer::lose`] that no number of queries exceeds.
const ALL: i64 = i64::MAX;

/// The queries of the lookups that begin at once: each is one for addresses of IPv4 and one for IPv6.
const FIRST: i64 = 6;

/// A name server that knows this machine as [`HOST`].
struct NameServer {
    address: Ipv4Addr,
    /// Queries that are not answered from now on.
    to_lose: Arc<AtomicI64>,
}

impl NameServer {
    /// On an address of the loopback interface, with the port that a resolver asks. `None` without the privilege for that.
    fn start() -> Option<NameServer> {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high.max(1), low, 53);
        let socket = UdpSocket::bind((address, 53)).ok()?;
        let to_lose = Arc::new(AtomicI64::new(0));
        let lose = Arc::clone(&to_lose);
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let one_less = |queries: i64| (queries > 0).then(|| queries - 1);
                let is_lost = lose
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                    .is_ok();
                if !is_lost {
                    let _ = socket.send_to(&response(&query[..length]), from);
                }
            }
        });
        Some(NameServer { address, to_lose })
    }

    fn lose(&self, queries: i64) {
        self.to_lose.store(queries, Ordering::Relaxed);
    }
}

/// The response to a query with one question (RFC 1035 section 4): 127.0.0.1 for type A, nothing for other types.
fn response(query: &[u8]) -> Vec<u8> {
    const A: [u8; 2] = [0, 1];
    let name_ends = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[12..name_ends + 4];
    let is_a = question[question.len() - 4..][..2] == A;
    let mut response = query[..2].to_vec();
    // A response without an error to a recursive query; one question, and up to one answer.
    response.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    response.extend(question);
    if is_a {
        // The name of the question, type A, class IN, a lifetime of 0 s, 4 bytes.
        response.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    response
}

/// A program that runs the server with this name server, and changes nothing for other processes.
fn program(directory: &Path, name_server: &NameServer) -> String {
    let configuration = directory.join("resolv.conf");
    std::fs::write(&configuration, format!("nameserver {}\n", name_server.address)).unwrap();
    let program = directory.join("with-name-server");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {configuration} /etc/resolv.conf && exec {BINARY} \"$@\"' sh \"$@\"\n",
        configuration = configuration.display(),
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program.display().to_string()
}

/// A lookup whose query is lost is repeated before a subcommand or a start gives up. While no query is answered, connections are opened
/// to the address of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_reached_whatever_the_name_server_loses() {
    let may_mount = Command::new("unshare").args(["--mount", "true"]).output();
    let Some(name_server) = NameServer::start().filter(|_| may_mount.is_ok_and(|output| output.status.success()))
    else {
        eprintln!("not run: it needs the privilege to open port 53 and to mount a file");
        return;
    };
    let postgres = Postgres::start(false);
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::on_postgres(&program(directory.path(), &name_server), &postgres).await;
    let url = setup
        .database_url()
        .unwrap()
        .replace("@127.0.0.1:", &format!("@{HOST}:"));
    assert!(url.contains(HOST), "{url}");
    setup.set("OAUTH2_DATABASE_URL", url);
    name_server.lose(FIRST);
    let server = DedicatedServer::start(setup).await;
    name_server.lose(FIRST);
    let listed = server.setup.run(&["client", "list"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let client = server.register(json!({"scope": "read"})).await;
    server.token(&client).await;
    let stale = async || server.metric("oauth2_server_db_dns_stale_total", &[]).await.unwrap();
    let before = stale().await;
    name_server.lose(ALL);
    let admin = connect(&postgres.url("postgres")).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oauth2_server'";
    admin.batch_execute(end).await.unwrap();
    until(Duration::from_secs(30), "connections are opened again", async || {
        server.request_token(&client, &[]).await.status() == 200
    })
    .await;
    assert!(stale().await > before);
    let listed = server.setup.run(&["client", "list"]);
    assert_eq!(listed.code, 3, "it has no earlier address");
    let error = format!("no name server responds for {HOST}");
    assert!(listed.stderr.contains(&error), "{}", listed.stderr);
}

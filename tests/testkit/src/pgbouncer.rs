//! A private pgbouncer in front of a private Postgres. It stops with the test process.

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::{Postgres, ports};

/// The path on Debian.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

#[derive(Debug)]
pub struct Pgbouncer {
    port: u16,
    /// A shell that stops pgbouncer when its own stdin closes, at the latest when the test process ends.
    shell: Child,
    postgres_port: u16,
}

impl Pgbouncer {
    /// The pgbouncer in front of [`Postgres::shared`]: mode `transaction`, 3 connections per database.
    pub fn shared() -> &'static Pgbouncer {
        static SHARED: OnceLock<Pgbouncer> = OnceLock::new();
        SHARED.get_or_init(|| Pgbouncer::start(Postgres::shared(), "transaction", 3))
    }

    /// Starts a pgbouncer in front of a Postgres. `mode`: `transaction` or `session`; `pool_size`: connections per database.
    pub fn start(postgres: &Postgres, mode: &str, pool_size: u32) -> Pgbouncer {
        let (port, postgres_port) = (ports::free(), postgres.port());
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={postgres_port} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {pool_size}\nmax_client_conn = 1000\n"
        );
        let file = postgres.write_file(&format!("pgbouncer-{port}.ini"), &settings);
        let script = format!(
            "exec 3<&0; '{PROGRAM}' -q '{file}' </dev/null 2>'{file}.log' & pooler=$!; read -r _ <&3; \
             kill -TERM $pooler 2>/dev/null; wait $pooler",
            file = file.display(),
        );
        let shell = postgres
            .command("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = format!("{}.log", file.display());
            assert!(
                Instant::now() < deadline,
                "pgbouncer must be installed (make setup) and start: {}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Pgbouncer {
            port,
            shell,
            postgres_port,
        }
    }

    /// The port that pgbouncer listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database through pgbouncer. `direct`: its URL on the Postgres.
    pub fn url(&self, direct: &str) -> String {
        direct.replace(&format!(":{}/", self.postgres_port), &format!(":{}/", self.port))
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

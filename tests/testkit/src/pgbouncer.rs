//! A private pgbouncer before a Postgres of the tests, gone with the test process.

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::{Postgres, ports};

/// Where Debian has it.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

#[derive(Debug)]
pub struct Pgbouncer {
    port: u16,
    /// A shell that ends it when its own standard input closes: at the latest when this process is gone.
    keeper: Child,
    behind: u16,
}

impl Pgbouncer {
    /// The one before the Postgres that all tests of this process share.
    pub fn shared() -> &'static Pgbouncer {
        static SHARED: OnceLock<Pgbouncer> = OnceLock::new();
        SHARED.get_or_init(|| Pgbouncer::before(Postgres::shared(), "transaction", 3))
    }

    /// One before this Postgres, in `transaction` or `session` mode, with so many connections to each database.
    pub fn before(postgres: &Postgres, mode: &str, pool_size: u32) -> Pgbouncer {
        let (port, behind) = (ports::free(), postgres.port());
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={behind} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {pool_size}\nmax_client_conn = 1000\n"
        );
        let file = postgres.install(&format!("pgbouncer-{port}.ini"), &settings);
        let script = format!(
            "exec 3<&0; '{PROGRAM}' -q '{file}' </dev/null 2>'{file}.log' & pooler=$!; read -r _ <&3; \
             kill -TERM $pooler 2>/dev/null; wait $pooler",
            file = file.display(),
        );
        let keeper = postgres
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
        Pgbouncer { port, keeper, behind }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The way through it to the same database.
    pub fn url(&self, direct: &str) -> String {
        direct.replace(&format!(":{}/", self.behind), &format!(":{}/", self.port))
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

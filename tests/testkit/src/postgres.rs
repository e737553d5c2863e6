//! A private Postgres with its own data directory and port. It stops with the test process.
//!
//! It is the newest of Debian's packages, or the one whose programs are in the directory `PG_BINARIES`. Packages that have only the server lack
//! `psql`, `pg_dump` and the like: those come from the directory `PG_TOOLS`, or from Debian's packages.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use tokio_postgres::Client;

use crate::process::{Output, signal};

/// The path on Debian, with a directory per major version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The only role that must authenticate with a password. Tests that need it create it.
pub const PASSWORD_ROLE: &str = "scram_role";

#[derive(Debug)]
pub struct Postgres {
    /// Of `initdb` and `postgres`.
    binaries: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
    owner: Option<(u32, u32)>,
    /// A shell that stops the server when its own stdin closes, at the latest when the test process ends.
    shell: Option<Child>,
    /// The environment of its programs, in addition to that of the test.
    environment: Vec<(String, String)>,
    /// Whether the shell removes the directory, because a static is never dropped.
    is_shared: bool,
}

impl Postgres {
    /// The server that all tests of this process share. Each test creates its own database.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::launch(false, true))
    }

    /// Starts another server. `durable`: with fsync, for measurements.
    pub fn start(durable: bool) -> Postgres {
        Self::launch(durable, false)
    }

    /// Starts a standby that follows this server.
    pub fn standby(&self) -> Postgres {
        let mut standby = Self::without_data(false);
        let copied = standby
            .command(tool("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-c", "fast", "-p"])
            .arg(self.port.to_string())
            .arg("-D")
            .arg(standby.data())
            .status();
        assert!(copied.expect("pg_basebackup").success(), "pg_basebackup failed");
        let (port, directory) = (standby.port, standby.directory.path().display().to_string());
        standby.configure(&format!("port = {port}\nunix_socket_directories = '{directory}'"));
        standby.resume();
        standby
    }

    fn launch(durable: bool, is_shared: bool) -> Postgres {
        let mut server = Self::without_data(is_shared);
        let (port, directory) = (server.port, server.directory.path().display().to_string());
        let data = server.data();
        let status = server
            .command(server.binaries.join("initdb"))
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("initdb must be installed").success(), "initdb failed");
        server.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{directory}'\nmax_connections = 200\n\
             fsync = {}\nlog_min_messages = fatal",
            if durable { "on" } else { "off" },
        ));
        // The first line that matches applies; the lines of initdb trust every role.
        let access = data.join("pg_hba.conf");
        let rest = std::fs::read_to_string(&access).unwrap();
        std::fs::write(
            &access,
            format!("host all {PASSWORD_ROLE} 127.0.0.1/32 scram-sha-256\n{rest}"),
        )
        .unwrap();
        server.resume();
        server
    }

    /// A server with a directory and a port, without data.
    fn without_data(is_shared: bool) -> Postgres {
        let directory = tempfile::Builder::new()
            .prefix("oauth2-pg-")
            .tempdir()
            .expect("a temporary directory");
        // initdb does not run as root.
        let owner = (id("-u", None) == 0).then(|| (id("-u", Some("postgres")), id("-g", Some("postgres"))));
        if let Some((uid, gid)) = owner {
            chown(directory.path(), Some(uid), Some(gid)).expect("chown of the data directory");
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("a free port")
            .port();
        Postgres {
            binaries: binaries(),
            directory,
            port,
            owner,
            shell: None,
            environment: Vec::new(),
            is_shared,
        }
    }

    /// Appends to `postgresql.conf`, where the last line of a setting applies.
    fn configure(&self, settings: &str) {
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(format!("{settings}\n").as_bytes()).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A command with the user and the directory of the server.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Writes a file that only the server can read, such as a key, into its data directory, and returns the path.
    pub fn write_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.data().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
        if let Some((uid, gid)) = self.owner {
            chown(&path, Some(uid), Some(gid)).expect("chown of a file");
        }
        path
    }

    /// Appends to `postgresql.conf`, prepends to `pg_hba.conf`, and restarts the server.
    pub fn reconfigure(&mut self, settings: &str, access_rules: &str) {
        self.stop();
        self.configure(settings);
        let rules = self.data().join("pg_hba.conf");
        let rest = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("{access_rules}\n{rest}")).unwrap();
        self.resume();
    }

    /// Restarts the server with these variables in its environment.
    pub fn restart_with(&mut self, environment: &[(&str, String)]) {
        self.stop();
        let owned = |(key, value): &(&str, String)| ((*key).to_owned(), value.clone());
        self.environment = environment.iter().map(owned).collect();
        self.resume();
    }

    /// A dump of a database of this server by `pg_dump`, as SQL.
    pub fn dump(&self, url: &str) -> String {
        let dumped = Output::of(self.command(tool("pg_dump")).arg(url));
        assert_eq!(dumped.code, 0, "{}", dumped.stderr);
        // Set by pg_dump of Postgres 17 and newer, and unknown to older servers.
        dumped.stdout.replace("SET transaction_timeout = 0;\n", "")
    }

    /// Restores a dump into a new database of this server by `psql`, and returns its URL.
    pub async fn restore(&self, dump: &str) -> String {
        let url = self.database().await;
        self.restore_into(&url, dump);
        url
    }

    /// Restores a dump into an empty database of this server.
    pub fn restore_into(&self, url: &str, dump: &str) {
        let mut psql = self.command(tool("psql"));
        psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", url]);
        let restored = Output::with_input(&mut psql, dump);
        assert_eq!(restored.code, 0, "{}", restored.stderr);
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the stopped server again, with the same data and port.
    pub fn resume(&mut self) {
        let script = format!(
            "exec 3<&0; '{0}/postgres' -D '{1}/data' </dev/null 2>>'{1}/log' & server=$!; read -r _ <&3; \
             kill -INT $server 2>/dev/null; wait $server{2}",
            self.binaries.display(),
            self.directory.path().display(),
            if self.is_shared { "; rm -rf \"$PWD\"" } else { "" },
        );
        let shell = self
            .command("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        self.shell = Some(shell);
        let socket = self.directory.path().display().to_string();
        let ready = self
            .command("sh")
            .args([
                "-c",
                "for i in $(seq 200); do \"$0\" -q -h \"$1\" -p \"$2\" && exit 0; sleep 0.05; done; exit 1",
            ])
            .arg(tool("pg_isready"))
            .args([&socket, &self.port.to_string()])
            .status();
        assert!(ready.expect("sh").success(), "Postgres did not start, see {socket}/log");
    }

    /// Stops the server (fast shutdown), also if it is frozen.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            self.thaw();
            drop(shell.stdin.take());
            shell.wait().expect("the server's shell");
        }
    }

    /// Suspends every process of the server (`SIGSTOP`) until [`Postgres::thaw`].
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Continues a frozen server (`SIGCONT`).
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Aborts every process without a checkpoint (`SIGQUIT`): what is not in the write-ahead log is lost.
    pub fn crash(&mut self) {
        signal(self.postmaster().expect("the server runs"), "QUIT");
        self.stop();
    }

    /// The server's first process; `None` if it does not run.
    fn postmaster(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    fn signal_all(&self, name: &str) {
        let Some(postmaster) = self.postmaster() else { return };
        // The postmaster comes first, so that it does not start new backends meanwhile.
        signal(postmaster, name);
        let _ = Command::new("pkill")
            .args([format!("-{name}"), "-P".to_owned(), postmaster.to_string()])
            .status();
    }

    /// The URL of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates an empty database and returns its URL.
    pub async fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        connect(&self.url("postgres"))
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        self.url(&name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A plain connection, independent of the server under test.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Where `initdb` and `postgres` are.
fn binaries() -> PathBuf {
    std::env::var_os("PG_BINARIES").map_or_else(newest_of_debian, PathBuf::from)
}

/// The programs of the newest major version of Debian's packages.
fn newest_of_debian() -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).expect("Postgres must be installed: make setup");
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max();
    let newest = newest.expect("Postgres must be installed: make setup");
    PathBuf::from(format!("{VERSIONS}/{newest}/bin"))
}

/// A program that talks to a server.
fn tool(name: &str) -> PathBuf {
    let given = ["PG_BINARIES", "PG_TOOLS"].into_iter().filter_map(std::env::var_os);
    let mut given = given.map(|directory| PathBuf::from(directory).join(name));
    given
        .find(|program| program.exists())
        .unwrap_or_else(|| newest_of_debian().join(name))
}

fn id(flag: &str, user: Option<&str>) -> u32 {
    let output = Command::new("id").arg(flag).args(user).output().expect("id");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("the user postgres must exist")
}

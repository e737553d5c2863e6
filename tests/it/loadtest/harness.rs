//! Runs `loadtest/run.sh` in a temporary directory, reads its results, and starts the fake servers of `tests/outside`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oauth2_testkit::{Output, Process, Server};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::BINARY;

/// Timeout of a wait, far longer than a correct run takes.
pub(super) const TIMEOUT: Duration = Duration::from_secs(50);

/// A temporary directory for one load test, with exclusive use of the machine: concurrent load tests would distort each other.
pub(super) struct LoadtestHarness {
    directory: TempDir,
    _exclusive: MutexGuard<'static, ()>,
}

impl LoadtestHarness {
    /// Waits until no other load test runs.
    pub(super) async fn acquire() -> LoadtestHarness {
        static EXCLUSIVE: Mutex<()> = Mutex::const_new(());
        let exclusive = EXCLUSIVE.lock().await;
        let directory = tempfile::Builder::new().prefix("oauth2-lt-").tempdir().unwrap();
        // Postgres runs as another user and must be able to enter the directory.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        LoadtestHarness {
            directory,
            _exclusive: exclusive,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn results(&self) -> PathBuf {
        self.path("results")
    }

    /// `run.sh` with exactly these environment variables and the ones that it always needs.
    pub(super) fn command(&self, environment: &[(&str, &str)]) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("loadtest/run.sh"));
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.path("tmp"))
            .env("K6", k6())
            .env("SERVER_BINARY", BINARY)
            .env("RESULTS_DIR", self.results())
            .envs(environment.iter().copied());
        command
    }

    /// Runs `run.sh` and checks that it removes its temporary files.
    pub(super) fn run(&self, environment: &[(&str, &str)]) -> Output {
        let output = Output::of(&mut self.command(environment));
        let remaining: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().collect();
        assert!(remaining.is_empty(), "{remaining:?} was not removed; {}", output.stderr);
        output
    }

    pub(super) fn summary(&self) -> Value {
        let text = std::fs::read_to_string(self.results().join("summary.json")).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Checks the result files with `tests/outside/results.py`, independently of the code that wrote them. Returns its output.
    pub(super) fn check_results(&self, arguments: &[&str]) -> String {
        let output = Output::of(python("results.py").arg(self.results()).args(arguments));
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.stdout
    }
}

/// A program of `tests/outside` that uses only Python's standard library.
fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/outside")
            .join(program),
    );
    command
}

/// A fake server of `tests/outside` with a fault that a load test must detect. It stops when dropped.
pub(super) struct FaultyServer {
    process: Child,
    port: u16,
}

impl FaultyServer {
    /// Reports every token active and accepts every secret, once the load begins.
    pub(super) fn start() -> FaultyServer {
        Self::spawn("faulty_server.py", &[])
    }

    /// Locks a client out after failed authentications in its name.
    pub(super) fn locking_out() -> FaultyServer {
        Self::spawn("faulty_server.py", &["lock"])
    }

    /// A proxy that removes `Retry-After` and the `RateLimit` fields from 429 responses.
    pub(super) fn stripping_headers(server: &Server) -> FaultyServer {
        let issuer = server.issuer();
        Self::spawn("header_stripping_proxy.py", &[issuer.trim_start_matches("http://")])
    }

    fn spawn(program: &str, arguments: &[&str]) -> FaultyServer {
        let mut process = python(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the program prints its port");
        FaultyServer { process, port }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The k6 that `make setup` found or installed.
pub(super) fn k6() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/k6");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("k6"))
        .chain([installed])
        .find(|file| file.is_file())
        .expect("k6 must be installed: make setup")
}

/// The environment variables for a run against a server.
pub(super) fn target_of(server: &Server, token: &str) -> [(&'static str, String); 4] {
    [
        ("BASE_URL", server.issuer()),
        ("ADMIN_URL", server.management_url("")),
        ("ADMIN_TOKEN", token.to_owned()),
        ("SETTLE", "0".to_owned()),
    ]
}

/// `target` and `more` in one list.
pub(super) fn with<'a>(target: &'a [(&'static str, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<_> = target.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend(more);
    all
}

/// The ids of the clients that load tests have registered.
pub(super) async fn loadtest_clients(server: &Server) -> Vec<String> {
    let response = server.admin(Method::GET, "/clients?limit=1000").send().await.unwrap();
    let page: Value = response.json().await.unwrap();
    let items = page["items"].as_array().unwrap();
    let ids = items.iter().map(|client| client["client_id"].as_str().unwrap());
    ids.filter(|id| id.starts_with("lt-")).map(ToOwned::to_owned).collect()
}

/// Waits until a run generates load.
pub(super) async fn wait_for_load(server: &Server, run: &mut Process) {
    let busy = async {
        while server
            .metric("oauth2_server_oauth_token_issued_total", &[])
            .await
            .unwrap()
            < 150.0
        {
            assert!(
                run.exit_status().is_none(),
                "the run ended before the load began: {}",
                run.stderr()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, busy).await.expect("the load begins");
    assert!(!loadtest_clients(server).await.is_empty(), "the run has clients");
}

//! What the tests of the load test stand on: a place for results, `run.sh` as a command, and what is left behind.

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

/// Generous: reached only when something is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(50);

/// A place for results, while no other load test runs: two at a time would measure each other.
pub(super) struct Desk {
    directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Desk {
    pub(super) async fn take() -> Desk {
        static ONE: Mutex<()> = Mutex::const_new(());
        let alone = ONE.lock().await;
        let directory = tempfile::Builder::new().prefix("oauth2-lt-").tempdir().unwrap();
        // The user that Postgres runs as must get through.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        Desk {
            directory,
            _alone: alone,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn results(&self) -> PathBuf {
        self.path("results")
    }

    /// `run.sh` in this environment and no other.
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

    pub(super) fn run(&self, environment: &[(&str, &str)]) -> Output {
        let output = Output::of(&mut self.command(environment));
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?} is left; {}", output.stderr);
        output
    }

    pub(super) fn summary(&self) -> Value {
        let text = std::fs::read_to_string(self.results().join("summary.json")).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Has the results read by other means than they were written by; answers what is said of them.
    pub(super) fn read_results(&self, more: &[&str]) -> String {
        let output = Output::of(python("results.py").arg(self.results()).args(more));
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.stdout
    }
}

/// A program of `tests/outside` that needs nothing but Python.
fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/outside")
            .join(program),
    );
    command
}

/// A server that does not keep its word, a program of `tests/outside`. It ends with its handle.
pub(super) struct Liar {
    process: Child,
    port: u16,
}

impl Liar {
    /// Honest while it is being looked over.
    pub(super) fn start() -> Liar {
        Self::of("liar.py", &[])
    }

    /// Locks a client out for the failures of others.
    pub(super) fn that_locks() -> Liar {
        Self::of("liar.py", &["lock"])
    }

    /// Passes on what a server answers, but not what its refusals say in their headers.
    pub(super) fn before(server: &Server) -> Liar {
        let issuer = server.issuer();
        Self::of("mute.py", &[issuer.trim_start_matches("http://")])
    }

    fn of(program: &str, arguments: &[&str]) -> Liar {
        let mut process = python(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("it prints its port");
        Liar { process, port }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The k6 that `make setup` found or installed.
pub(super) fn k6() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/k6");
    let searched = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&searched)
        .map(|directory| directory.join("k6"))
        .chain([installed])
        .find(|file| file.is_file())
        .expect("k6 is installed by `make setup`")
}

/// The environment for a run against this server.
pub(super) fn pointed_at(server: &Server, token: &str) -> [(&'static str, String); 4] {
    [
        ("BASE_URL", server.issuer()),
        ("ADMIN_URL", server.management_url("")),
        ("ADMIN_TOKEN", token.to_owned()),
        ("SETTLE", "0".to_owned()),
    ]
}

pub(super) fn with<'a>(place: &'a [(&'static str, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<_> = place.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend(more);
    all
}

/// The ids of clients that a load test made.
pub(super) async fn clients(server: &Server) -> Vec<String> {
    let answer = server.admin(Method::GET, "/clients?limit=1000").send().await.unwrap();
    let page: Value = answer.json().await.unwrap();
    let items = page["items"].as_array().unwrap();
    let ids = items.iter().map(|client| client["client_id"].as_str().unwrap());
    ids.filter(|id| id.starts_with("lt-")).map(ToOwned::to_owned).collect()
}

/// Waits until a run has begun to make load.
pub(super) async fn under_load(server: &Server, run: &mut Process) {
    let busy = async {
        while server
            .metric("oauth2_server_oauth_token_issued_total", &[])
            .await
            .unwrap()
            < 150.0
        {
            assert!(
                run.ended().is_none(),
                "it ended before there was load: {}",
                run.stderr()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, busy).await.expect("there is load");
    assert!(!clients(server).await.is_empty(), "a run has clients");
}

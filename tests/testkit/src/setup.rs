//! The directory, ports, store and environment of a server under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::postgres::connect;
use crate::{ClientTls, Kind, Output, Postgres, Process, ports, until};

/// The static admin token on Postgres. On `SQLite` the server generates one.
const ADMIN_TOKEN: &str = "oas_ad_of-the-tests-0123456789abcdefghijk";

/// Standard base64 of 32 bytes.
const KEY_ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The directory, ports, store and environment of a server. It outlives the process, so that another one can be started with the
/// same data. A clone has its own environment, and shares the rest.
#[derive(Debug, Clone)]
pub struct Setup {
    binary: PathBuf,
    directory: Arc<TempDir>,
    pub public: u16,
    pub management: u16,
    pub kind: Kind,
    environment: Vec<(String, String)>,
    /// TLS of the HTTP clients of this server.
    pub client_tls: ClientTls,
}

impl Setup {
    /// A setup with an empty store. On Postgres: a new database on [`Postgres::shared`].
    pub async fn new(binary: &str, kind: Kind) -> Setup {
        let url = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Postgres::shared().database().await),
        };
        Self::on(binary, kind, url)
    }

    /// A setup with a new database on this Postgres.
    pub async fn on_postgres(binary: &str, postgres: &Postgres) -> Setup {
        Self::on(binary, Kind::Postgres, Some(postgres.database().await))
    }

    /// Another node on the same Postgres database, with the same environment and its own ports.
    #[must_use]
    pub fn second_node(&self) -> Setup {
        let url = self.database_url().expect("nodes share a Postgres database").to_owned();
        let mut setup = Self::on(&self.binary.to_string_lossy(), self.kind, Some(url));
        for (key, value) in &self.environment {
            if !key.ends_with("_PORT") {
                setup.set(key, value.clone());
            }
        }
        setup
    }

    fn on(binary: &str, kind: Kind, url: Option<String>) -> Setup {
        let directory = tempfile::Builder::new()
            .prefix("oauth2-it-")
            .tempdir()
            .expect("a directory");
        let mut setup = Setup {
            binary: binary.into(),
            directory: Arc::new(directory),
            public: ports::free(),
            management: ports::free(),
            kind,
            environment: Vec::new(),
            client_tls: ClientTls::default(),
        };
        for (key, value) in [
            ("OAUTH2_SERVER_PORT", setup.public.to_string()),
            ("OAUTH2_MANAGEMENT_PORT", setup.management.to_string()),
            ("OAUTH2_SERVER_DRAIN_DELAY", "0".to_owned()),
            ("OAUTH2_SERVER_WORKERS", "2".to_owned()),
        ] {
            setup.set(key, value);
        }
        if let Some(url) = url {
            setup.set("OAUTH2_DATABASE_URL", url);
            setup.set("OAUTH2_ADMIN_TOKEN", ADMIN_TOKEN);
            setup.set("OAUTH2_KEY_ENCRYPTION_KEY", KEY_ENCRYPTION_KEY);
        }
        setup
    }

    /// Sets a variable of the server's environment.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.unset(key);
        self.environment.push((key.to_owned(), value.into()));
    }

    /// Removes a variable from the server's environment.
    pub fn unset(&mut self, key: &str) {
        self.environment.retain(|(k, _)| k != key);
    }

    /// Like [`Self::set`], for method chaining.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Setup {
        self.set(key, value);
        self
    }

    /// The working directory. On `SQLite` it contains `data/`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The `SQLite` file.
    pub fn database_file(&self) -> PathBuf {
        self.directory().join("data/oauth2.db")
    }

    /// The value of a variable, if it is set.
    pub fn variable(&self, key: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The URL of the Postgres database.
    pub fn database_url(&self) -> Option<&str> {
        self.variable("OAUTH2_DATABASE_URL")
    }

    /// A command that runs the binary with this environment only (and `PATH`).
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&self.binary);
        command.args(arguments);
        command
    }

    /// A command that runs another program with the server's environment and directory.
    fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.directory())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// A shell script that gets the path of the binary as `$0`, with the server's environment and directory.
    pub fn script(&self, script: &str) -> Command {
        let mut command = self.program("sh");
        command.args(["-c", script]).arg(&self.binary);
        command
    }

    /// Runs a subcommand to completion.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// Runs a subcommand to completion with `input` on its stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        Output::with_input(&mut self.command(arguments), input)
    }

    /// A connection to the `SQLite` file, independent of the server. The file is created if it is missing.
    pub fn sqlite(&self) -> rusqlite::Connection {
        let file = self.database_file();
        std::fs::create_dir_all(file.parent().expect("the file is in data/")).expect("a directory");
        rusqlite::Connection::open(file).expect("an SQLite file")
    }

    /// Runs statements directly in the store, without the server.
    pub async fn sql(&self, statements: &str) {
        match self.kind {
            Kind::Sqlite => self.sqlite().execute_batch(statements).expect("the statements"),
            Kind::Postgres => connect(self.database_url().expect("the URL is set on Postgres"))
                .await
                .batch_execute(statements)
                .await
                .expect("the statements"),
        }
    }

    /// Runs a subcommand that must succeed, and returns its JSON output.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
    }

    /// A named pipe at a path.
    pub fn fifo(path: &Path) {
        let made = Command::new("mkfifo").arg(path).status();
        assert!(made.expect("mkfifo must start").success(), "{}", path.display());
    }

    /// The output of `audit list --json` with further arguments. On Postgres the list leaves out rows that are newer than a running
    /// transaction, also of the databases of other tests: it is asked for when those transactions have ended.
    pub async fn audit(&self, arguments: &[&str]) -> Value {
        if self.kind == Kind::Postgres {
            let client = connect(self.database_url().expect("the URL is set on Postgres")).await;
            let ask = async |sql| client.query_one(sql, &[]).await.expect("a snapshot").get::<_, i64>(0);
            let begun = ask("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").await;
            until(Duration::from_secs(30), "earlier transactions have ended", async || {
                ask("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").await >= begun
            })
            .await;
        }
        self.json(&[&["audit", "list", "--json"], arguments].concat())
    }

    /// Starts the server without waiting until it is ready.
    pub fn spawn(&self) -> Process {
        Process::start(&mut self.command(&[]), &self.directory().join("stderr.log"))
    }

    /// The static admin token: set, or generated by the server. Empty before the first start on `SQLite`.
    pub fn admin_token(&self) -> String {
        match self.variable("OAUTH2_ADMIN_TOKEN") {
            Some(token) => token.to_owned(),
            None => std::fs::read_to_string(self.directory().join("data/admin_token"))
                .map(|token| token.trim().to_owned())
                .unwrap_or_default(),
        }
    }
}

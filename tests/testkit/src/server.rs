//! The server as its users meet it: a binary, two ports, a store.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::postgres::connect;
use crate::{Credentials, Kind, Output, Postgres, Process, ports};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// The static admin token on Postgres; on `SQLite` the server makes its own.
const ADMIN_TOKEN: &str = "oas_ad_of-the-tests-0123456789abcdefghijk";

/// Standard base64 of 32 bytes.
const KEY_ENCRYPTION_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Where and how a server runs: its directory, ports, store and environment. Outlives the process, so that another can
/// be started on the same data.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    directory: TempDir,
    pub public: u16,
    pub management: u16,
    pub kind: Kind,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// An empty store of this kind; on Postgres a database of the server that the tests of this process share.
    pub async fn new(binary: &str, kind: Kind) -> Setup {
        let url = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Postgres::shared().database().await),
        };
        Self::on(binary, kind, url)
    }

    /// A Postgres of the test's own.
    pub async fn on_postgres(binary: &str, postgres: &Postgres) -> Setup {
        Self::on(binary, Kind::Postgres, Some(postgres.database().await))
    }

    /// Another node before the same Postgres database, with the same environment and ports of its own.
    #[must_use]
    pub fn beside(&self) -> Setup {
        let url = self.database_url().expect("a database that nodes can share").to_owned();
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
            directory,
            public: ports::free(),
            management: ports::free(),
            kind,
            environment: Vec::new(),
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

    /// Takes a variable away again.
    pub fn unset(&mut self, key: &str) {
        self.environment.retain(|(k, _)| k != key);
    }

    /// The same, in passing.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Setup {
        self.set(key, value);
        self
    }

    /// The working directory: `data/` is in it on `SQLite`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The `SQLite` file.
    pub fn database_file(&self) -> PathBuf {
        self.directory().join("data/oauth2.db")
    }

    /// The value of a variable, where it is given.
    pub fn variable(&self, key: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Where Postgres is.
    pub fn database_url(&self) -> Option<&str> {
        self.variable("OAUTH2_DATABASE_URL")
    }

    /// The binary in this environment and no other.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(self.directory())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Runs a subcommand to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// Runs a subcommand to its end, with this on its stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        Output::with_input(&mut self.command(arguments), input)
    }

    /// The `SQLite` file, opened beside the server; made where it is missing.
    pub fn sqlite(&self) -> rusqlite::Connection {
        let file = self.database_file();
        std::fs::create_dir_all(file.parent().expect("it lies in data/")).expect("a directory");
        rusqlite::Connection::open(file).expect("an SQLite file")
    }

    /// Runs statements in the store, behind the server's back.
    pub async fn sql(&self, statements: &str) {
        match self.kind {
            Kind::Sqlite => self.sqlite().execute_batch(statements).expect("the statements"),
            Kind::Postgres => connect(self.database_url().expect("it is given on Postgres"))
                .await
                .batch_execute(statements)
                .await
                .expect("the statements"),
        }
    }

    /// Runs a subcommand that must end well and answer JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
    }

    /// Starts `serve`, without waiting for anything.
    pub fn spawn(&self) -> Process {
        Process::start(&mut self.command(&[]), &self.directory().join("stderr.log"))
    }

    fn admin_token(&self) -> String {
        match self.variable("OAUTH2_ADMIN_TOKEN") {
            Some(token) => token.to_owned(),
            None => std::fs::read_to_string(self.directory().join("data/admin_token"))
                .map(|token| token.trim().to_owned())
                .unwrap_or_default(),
        }
    }
}

/// A server that has been ready at least once.
#[derive(Debug)]
pub struct Server {
    pub setup: Setup,
    pub process: Process,
    pub http: reqwest::Client,
    admin_token: String,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(setup: Setup) -> Server {
        let process = setup.spawn();
        Self::adopt(setup, process).await
    }

    /// Takes over a process that was spawned, and waits until it is ready.
    pub async fn adopt(setup: Setup, process: Process) -> Server {
        let mut server = Server {
            setup,
            process,
            http: client(),
            admin_token: String::new(),
        };
        server.ready().await;
        server.admin_token = server.setup.admin_token();
        server
    }

    /// Starts the server again on the same data, after `kill` or an end of its own.
    pub async fn start_again(&mut self) {
        self.process = self.setup.spawn();
        self.reconnect();
        self.ready().await;
    }

    /// Forgets every open connection.
    pub fn reconnect(&mut self) {
        self.http = client();
    }

    /// Waits until `/ready` is 200.
    pub async fn ready(&mut self) {
        let url = self.url("/ready");
        let ready = tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = self.http.get(&url).send().await;
                if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                    return;
                }
                if let Some(status) = self.process.ended() {
                    panic!("ended with {status}; stderr: {}", self.process.stderr());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if ready.await.is_err() {
            panic!("not ready after {PATIENCE:?}; stderr: {}", self.process.stderr());
        }
    }

    /// A URL of the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.setup.public)
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> String {
        self.url("")
    }

    /// A URL of the management listener.
    pub fn management_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.setup.management)
    }

    /// The static admin token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// A request of the admin API, in the operator's name.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.management_url(&format!("/admin/v1{path}"));
        self.http.request(method, url).bearer_auth(&self.admin_token)
    }

    /// Registers a client through the admin API.
    pub async fn register(&self, metadata: Value) -> Credentials {
        let answer = self.admin(Method::POST, "/clients").json(&metadata).send().await;
        let answer = answer.expect("the admin API answers");
        let (status, body) = (answer.status(), json(answer).await);
        assert_eq!(status, StatusCode::CREATED, "{body}");
        Credentials::of(&body)
    }

    /// A form request as this client, by `client_secret_basic`.
    pub async fn post(&self, client: &Credentials, path: &str, form: &[(&str, &str)]) -> Response {
        let request = self.http.post(self.url(path)).header("authorization", client.basic());
        request.form(form).send().await.expect("the server answers")
    }

    /// Asks for a token, with more parameters or none.
    pub async fn ask_token(&self, client: &Credentials, more: &[(&str, &str)]) -> Response {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(more);
        self.post(client, "/oauth/token", &form).await
    }

    /// Gets a token.
    pub async fn token(&self, client: &Credentials) -> String {
        let answer = self.ask_token(client, &[]).await;
        let (status, body) = (answer.status(), json(answer).await);
        assert_eq!(status, StatusCode::OK, "{body} {}", self.sheds().await);
        body["access_token"].as_str().expect("a token").to_owned()
    }

    /// Why requests were turned away so far, for the text of a failure.
    async fn sheds(&self) -> String {
        let text = self.metrics().await;
        let told = |line: &&str| line.starts_with("oauth2_server_shed_total") && !line.ends_with(" 0");
        text.lines().filter(told).collect::<Vec<_>>().join(" ")
    }

    /// Introspects; the answer must be 200.
    pub async fn introspect(&self, client: &Credentials, token: &str) -> Value {
        let answer = self.post(client, "/oauth/introspect", &[("token", token)]).await;
        let (status, body) = (answer.status(), json(answer).await);
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Whether introspection calls the token active.
    pub async fn is_active(&self, client: &Credentials, token: &str) -> bool {
        self.introspect(client, token).await["active"]
            .as_bool()
            .expect("active is a boolean")
    }

    /// Revokes; the answer must be 200.
    pub async fn revoke(&self, client: &Credentials, token: &str) {
        let answer = self.post(client, "/oauth/revoke", &[("token", token)]).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// A document by GET; the answer must be 200.
    pub async fn get_json(&self, url: String) -> Value {
        let answer = self.http.get(url).send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::OK);
        json(answer).await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let answer = self
            .http
            .get(self.management_url("/metrics"))
            .send()
            .await
            .expect("metrics");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.expect("metrics are text")
    }

    /// The sum of a metric's samples that carry all these labels; `None` if there is no such sample.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let text = self.metrics().await;
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
            let fits = found == name && wanted.iter().all(|label| labels.contains(&label.as_str()));
            fits.then(|| value.parse::<f64>().expect("a number"))
        });
        samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}

/// A client with its own connections, that never waits for long.
fn client() -> reqwest::Client {
    let built = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
    built.expect("an HTTP client")
}

/// The body as JSON.
pub async fn json(answer: Response) -> Value {
    let text = answer.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

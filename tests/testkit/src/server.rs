//! The server under test: requests to its two listeners, and subcommands on its store.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::client_tls::TIMEOUT;
use crate::{Credentials, Process, Setup};

/// A running server. It sends requests with an HTTP client of its own, whose connections end with the test.
#[derive(Debug)]
pub struct Server {
    /// For subcommands on the server's store.
    pub setup: Setup,
    pub http: reqwest::Client,
    admin_token: String,
}

/// A server that only one test uses, with its process.
#[derive(Debug)]
pub struct DedicatedServer {
    server: Server,
    pub process: Process,
}

impl Deref for DedicatedServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for DedicatedServer {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl DedicatedServer {
    /// Starts a server and waits until it is ready.
    pub async fn start(setup: Setup) -> DedicatedServer {
        let process = setup.spawn();
        Self::from_process(setup, process).await
    }

    /// A server from a process of [`Setup::spawn`]. Waits until it is ready.
    pub async fn from_process(setup: Setup, process: Process) -> DedicatedServer {
        let server = Server::new(setup);
        let mut dedicated = DedicatedServer { server, process };
        dedicated.ready().await;
        dedicated.admin_token = dedicated.setup.admin_token();
        dedicated
    }

    /// Starts the server again with the same data, after it was killed or exited.
    pub async fn start_again(&mut self) {
        self.process = self.setup.spawn();
        self.reconnect();
        self.ready().await;
    }

    /// Waits until `/ready` returns 200.
    pub async fn ready(&mut self) {
        let process = &mut self.process;
        let is_running = || match process.exit_status() {
            None => Ok(()),
            Some(status) => Err(format!("exited with {status}")),
        };
        if let Err(error) = self.server.ready(is_running).await {
            panic!("{error}; stderr: {}", self.process.stderr());
        }
    }
}

impl Server {
    /// A server that has not been ready yet, and on `SQLite` may have no admin token yet.
    pub(crate) fn new(setup: Setup) -> Server {
        Server {
            admin_token: setup.admin_token(),
            http: setup.client_tls.client(),
            setup,
        }
    }

    /// Waits until `/ready` returns 200. An error if that takes too long, or from `is_running`, which is called between requests.
    pub(crate) async fn ready(&self, mut is_running: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        let url = self.url("/ready");
        let ready = tokio::time::timeout(TIMEOUT, async {
            loop {
                let response = self.http.get(&url).send().await;
                if response.is_ok_and(|response| response.status() == StatusCode::OK) {
                    return Ok(());
                }
                is_running()?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let timeout = |_| Err(format!("not ready after {TIMEOUT:?}"));
        ready.await.unwrap_or_else(timeout)
    }

    /// Closes all connections.
    pub fn reconnect(&mut self) {
        self.http = self.setup.client_tls.client();
    }

    /// A URL of the public listener.
    pub fn url(&self, path: &str) -> String {
        format!(
            "{}://127.0.0.1:{}{path}",
            self.setup.scheme("SERVER"),
            self.setup.public
        )
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> String {
        self.url("")
    }

    /// A URL of the management listener.
    pub fn management_url(&self, path: &str) -> String {
        format!(
            "{}://127.0.0.1:{}{path}",
            self.setup.scheme("MANAGEMENT"),
            self.setup.management
        )
    }

    /// The static admin token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// A request to the admin API with the static admin token.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.management_url(&format!("/admin/v1{path}"));
        self.http.request(method, url).bearer_auth(&self.admin_token)
    }

    /// Registers a client through the admin API.
    pub async fn register(&self, metadata: Value) -> Credentials {
        let response = self.admin(Method::POST, "/clients").json(&metadata).send().await;
        let response = response.expect("a response of the admin API");
        let (status, body) = (response.status(), json(response).await);
        assert_eq!(status, StatusCode::CREATED, "{body}");
        Credentials::of(&body)
    }

    /// Sends a form, authenticated with `client_secret_basic`.
    pub async fn post(&self, client: &Credentials, path: &str, form: &[(&str, &str)]) -> Response {
        let request = self.http.post(self.url(path)).header("authorization", client.basic());
        request.form(form).send().await.expect("a response")
    }

    /// Requests a token by client credentials. `parameters`: added to `grant_type`.
    pub async fn request_token(&self, client: &Credentials, parameters: &[(&str, &str)]) -> Response {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(parameters);
        self.post(client, "/oauth/token", &form).await
    }

    /// A new access token. A request that an overloaded machine sheds is repeated as the response asks, as clients do.
    pub async fn token(&self, client: &Credentials) -> String {
        let mut attempts = 0;
        let (status, body) = loop {
            let response = self.request_token(client, &[]).await;
            let (status, retry_after) = (response.status(), response.headers().get("retry-after").cloned());
            let body = json(response).await;
            attempts += 1;
            let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            match seconds {
                Some(seconds) if status == StatusCode::SERVICE_UNAVAILABLE && attempts < 4 => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                _ => break (status, body),
            }
        };
        assert_eq!(status, StatusCode::OK, "{body} {}", self.shed_counts().await);
        body["access_token"].as_str().expect("an access token").to_owned()
    }

    /// The counters of shed requests that are not 0, for the message of a failed test.
    async fn shed_counts(&self) -> String {
        let text = self.metrics().await;
        let is_counted = |line: &&str| line.starts_with("oauth2_server_shed_total") && !line.ends_with(" 0");
        text.lines().filter(is_counted).collect::<Vec<_>>().join(" ")
    }

    /// Introspects a token. The status must be 200.
    pub async fn introspect(&self, client: &Credentials, token: &str) -> Value {
        let response = self.post(client, "/oauth/introspect", &[("token", token)]).await;
        let (status, body) = (response.status(), json(response).await);
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Whether a token is active, by introspection.
    /// The response of the batch introspection endpoint.
    pub async fn introspect_batch(&self, client: &Credentials, tokens: &[impl AsRef<str>]) -> Value {
        let tokens: Vec<_> = tokens.iter().map(AsRef::as_ref).collect();
        let request = self.http.post(self.url("/oauth/introspect/batch"));
        let request = request.header("authorization", client.basic());
        let response = request
            .json(&serde_json::json!({ "tokens": tokens }))
            .send()
            .await
            .expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        json(response).await
    }

    pub async fn is_active(&self, client: &Credentials, token: &str) -> bool {
        self.introspect(client, token).await["active"]
            .as_bool()
            .expect("active is a boolean")
    }

    /// Revokes a token. The status must be 200.
    pub async fn revoke(&self, client: &Credentials, token: &str) {
        let response = self.post(client, "/oauth/revoke", &[("token", token)]).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    /// Gets a JSON document. The status must be 200.
    pub async fn get_json(&self, url: String) -> Value {
        let response = self.http.get(url).send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        json(response).await
    }

    /// The content of `/metrics`.
    pub async fn metrics(&self) -> String {
        let response = self
            .http
            .get(self.management_url("/metrics"))
            .send()
            .await
            .expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.expect("metrics are text")
    }

    /// The sum of the samples of a metric that have all these labels; `None` if there is no such sample.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let text = self.metrics().await;
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
            let is_match = found == name && wanted.iter().all(|label| labels.contains(&label.as_str()));
            is_match.then(|| value.parse::<f64>().expect("a number"))
        });
        samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }
}

/// An HTTP client with a timeout and without a proxy.
/// The body of a response as JSON.
pub async fn json(response: Response) -> Value {
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

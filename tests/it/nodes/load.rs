//! A load of requests on several nodes at the same time, and the history that it leaves.
//!
//! On each node tokens are issued, introspected and revoked, requested for a client with a rate, for one with a quota, and for one whose
//! secret is rotated again and again. A token is revoked on any node, and introspected on any other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use oauth2_testkit::{Credentials, DedicatedServer};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Nodes;

mod record;

pub(super) use record::{Answer, History, Rotated, Token};

/// Pauses between requests of a kind on a node.
const ISSUE: Duration = Duration::from_millis(50);
const INTROSPECT: Duration = Duration::from_millis(25);
const REVOKE: Duration = Duration::from_millis(90);
const LIMITED: Duration = Duration::from_millis(60);
const ROTATED: Duration = Duration::from_millis(120);

/// Pause between two rotations of a secret.
const ROTATE: Duration = Duration::from_millis(1500);

/// A request waits for a paused node.
const PATIENCE: Duration = Duration::from_mins(2);

/// The client's limits while a load runs: hardly anything is refilled.
pub(super) const BURST: usize = 60;
pub(super) const QUOTA: usize = 400;

/// The clients of a load.
#[derive(Debug)]
pub(super) struct Clients {
    /// Issues, introspects and revokes.
    pub(super) ordinary: Credentials,
    limited: Credentials,
    metered: Credentials,
    /// The current credentials of the client whose secret is rotated, and the number of its secret.
    pub(super) rotated: Mutex<(Credentials, usize)>,
}

/// Shared by the tasks of a load.
#[derive(Debug)]
struct Shared {
    history: Mutex<History>,
    is_over: AtomicBool,
    clients: Clients,
}

/// A running load.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    nodes: usize,
    tasks: Vec<JoinHandle<()>>,
}

/// A node as the tasks see it: the test may kill its process meanwhile.
#[derive(Debug, Clone)]
struct Target {
    node: usize,
    http: reqwest::Client,
    public: String,
    management: String,
    admin_token: String,
}

impl Target {
    fn of(node: usize, server: &DedicatedServer) -> Target {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
        Target {
            node,
            http: http.unwrap(),
            public: server.url(""),
            management: server.management_url("/admin/v1"),
            admin_token: server.admin_token().to_owned(),
        }
    }
}

impl Load {
    /// Registers the clients, and begins. The requests of operators go to the first node.
    pub(super) async fn start(nodes: &Nodes) -> Load {
        let clients = Clients {
            ordinary: nodes.register(json!({"scope": "read"})).await,
            limited: nodes
                .register(json!({"scope": "read", "rate_limits": {"token": format!("{BURST}/h:{BURST}")}}))
                .await,
            metered: nodes
                .register(json!({"scope": "read", "quotas": {"month": QUOTA}}))
                .await,
            rotated: Mutex::new((nodes.register(json!({"scope": "read"})).await, 0)),
        };
        let shared = Arc::new(Shared {
            history: Mutex::default(),
            is_over: AtomicBool::new(false),
            clients,
        });
        let targets: Vec<_> = (0..)
            .zip(&nodes.0)
            .map(|(node, server)| Target::of(node, server))
            .collect();
        let mut tasks = Vec::new();
        for target in &targets {
            let (load, at) = (Arc::clone(&shared), target.clone());
            tasks.push(tokio::spawn(async move {
                tokio::join!(
                    load.repeat(ISSUE, || load.issue(&at)),
                    load.repeat(INTROSPECT, || load.introspect(&at)),
                    load.repeat(REVOKE, || load.revoke(&at)),
                    load.repeat(LIMITED, || load.ask_for_limited(&at)),
                    async {
                        // As a caller that learns of a new secret only when the old one is rejected.
                        let mut held = load.current();
                        while !load.is_over() {
                            load.request_by_rotated(&at, &mut held).await;
                            tokio::time::sleep(ROTATED).await;
                        }
                    }
                );
            }));
        }
        let (operator, first) = (Arc::clone(&shared), targets[0].clone());
        tasks.push(tokio::spawn(async move {
            operator.repeat(ROTATE, || operator.rotate(&first)).await;
        }));
        Load {
            shared,
            nodes: targets.len(),
            tasks,
        }
    }

    /// Waits until each node has served this many requests more of each kind.
    pub(super) async fn goes_on(&self, count: usize) {
        let before = self.shared.history().answers.len();
        oauth2_testkit::until(PATIENCE, "each node serves requests of each kind", async || {
            self.shared.history().least_served(before, self.nodes) >= count
        })
        .await;
    }

    /// Ends the load when enough requests were served to judge it, and returns what happened.
    pub(super) async fn stop(self) -> (History, Clients) {
        let is_one = async || self.shared.history().is_of_a_load(self.nodes);
        oauth2_testkit::until(PATIENCE, "each kind of request was served", is_one).await;
        self.shared.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let shared = Arc::into_inner(self.shared).unwrap();
        (shared.history.into_inner().unwrap(), shared.clients)
    }
}

impl Shared {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn current(&self) -> (Credentials, usize) {
        self.clients.rotated.lock().unwrap().clone()
    }

    async fn repeat<F: Future<Output = ()>>(&self, pause: Duration, work: impl Fn() -> F) {
        while !self.is_over() {
            work().await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request and records its answer. The position of the answer, and the body of a 200.
    async fn send(
        &self,
        at: &Target,
        client: &Credentials,
        what: &'static str,
        form: &[(&str, &str)],
    ) -> (usize, Option<Value>) {
        let request = at.http.post(format!("{}/oauth/{what}", at.public));
        let request = request.header("authorization", client.basic()).form(form);
        let began = Instant::now();
        let response = request.send().await;
        let (mut status, mut has_retry_after, mut body) = (None, false, None);
        if let Ok(response) = response {
            has_retry_after = response.headers().contains_key("retry-after");
            status = Some(response.status());
            body = read(response).await;
        }
        let answer = Answer {
            what,
            node: at.node,
            began,
            ended: Instant::now(),
            status,
            has_retry_after,
            verdict: None,
        };
        let mut history = self.history();
        history.answers.push(answer);
        (history.answers.len() - 1, body)
    }

    async fn request_token(&self, at: &Target, client: &Credentials) -> Option<String> {
        let form = [("grant_type", "client_credentials")];
        let (_, body) = self.send(at, client, "token", &form).await;
        Some(body?["access_token"].as_str()?.to_owned())
    }

    async fn issue(&self, at: &Target) {
        let Some(value) = self.request_token(at, &self.clients.ordinary).await else {
            return;
        };
        self.history().tokens.push(Token {
            value,
            revoking: None,
            revoked: None,
        });
    }

    /// One of the tokens, of two calls once one of the newest.
    fn choose(history: &History) -> Option<usize> {
        let (count, random) = (history.tokens.len(), uuid::Uuid::now_v7().as_u128() as usize);
        let from = if random % 2 == 0 { count.saturating_sub(20) } else { 0 };
        let chosen = from + (random / 2) % (count - from).max(1);
        (chosen < count).then_some(chosen)
    }

    async fn introspect(&self, at: &Target) {
        let chosen = {
            let history = self.history();
            Self::choose(&history).map(|token| (token, history.tokens[token].value.clone()))
        };
        let Some((token, value)) = chosen else { return };
        let (answer, body) = self
            .send(at, &self.clients.ordinary, "introspect", &[("token", &value)])
            .await;
        let active = body.and_then(|body| body["active"].as_bool());
        self.history().answers[answer].verdict = active.map(|active| (token, active));
    }

    async fn revoke(&self, at: &Target) {
        let chosen = {
            let mut history = self.history();
            let token = Self::choose(&history).filter(|token| history.tokens[*token].revoking.is_none());
            token.map(|token| {
                history.tokens[token].revoking = Some(Instant::now());
                (token, history.tokens[token].value.clone())
            })
        };
        let Some((token, value)) = chosen else { return };
        let (answer, _) = self
            .send(at, &self.clients.ordinary, "revoke", &[("token", &value)])
            .await;
        let mut history = self.history();
        let answer = history.answers[answer].clone();
        if answer.status == Some(StatusCode::OK) {
            history.tokens[token].revoked = Some((answer.ended, at.node));
        }
    }

    async fn ask_for_limited(&self, at: &Target) {
        if self.request_token(at, &self.clients.limited).await.is_some() {
            self.history().by_rate += 1;
        }
        if self.request_token(at, &self.clients.metered).await.is_some() {
            self.history().by_quota += 1;
        }
    }

    async fn request_by_rotated(&self, at: &Target, held: &mut (Credentials, usize)) {
        let began = Instant::now();
        let form = [("grant_type", "client_credentials")];
        let (answer, body) = self.send(at, &held.0, "token", &form).await;
        let mut history = self.history();
        let value = body.and_then(|body| Some(body["access_token"].as_str()?.to_owned()));
        match value {
            Some(value) => history.rotated.push(Rotated {
                value,
                secret: held.1,
                began,
            }),
            None if history.answers[answer].status == Some(StatusCode::UNAUTHORIZED) => {
                // Expected of this caller: it is not an answer that fails.
                history.answers[answer].status = Some(StatusCode::OK);
                drop(history);
                *held = self.current();
            }
            None => {}
        }
    }

    /// Rotates the secret without overlap, then revokes the tokens issued so far. The order counts once both are acknowledged.
    async fn rotate(&self, at: &Target) {
        let id = self.current().0.id;
        let post = |path: String| {
            let request = at.http.request(Method::POST, format!("{}{path}", at.management));
            request.bearer_auth(&at.admin_token)
        };
        let rotate = post(format!("/clients/{id}/rotate-secret")).json(&json!({"overlap_seconds": 0}));
        let Ok(rotated) = rotate.send().await else { return };
        let Some(secret) = read(rotated)
            .await
            .and_then(|body| Some(body["client_secret"].as_str()?.to_owned()))
        else {
            return;
        };
        let number = {
            let mut current = self.clients.rotated.lock().unwrap();
            *current = (Credentials::new(&id, secret), current.1 + 1);
            current.1
        };
        while !self.is_over() || number > self.history().replaced.len() {
            let revoked = post(format!("/clients/{id}/tokens:revoke-all")).send().await;
            if revoked.is_ok_and(|response| response.status() == StatusCode::OK) {
                let now = Instant::now();
                self.history().replaced.resize(number, now);
                return;
            }
            tokio::time::sleep(ROTATED).await;
        }
    }
}

/// The body of a 200; all of it is read in any case.
async fn read(response: Response) -> Option<Value> {
    let is_ok = response.status() == StatusCode::OK;
    let text = response.text().await.ok()?;
    is_ok.then(|| serde_json::from_str(&text).unwrap_or_default())
}

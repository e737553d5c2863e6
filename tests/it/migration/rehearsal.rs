//! The switch from a real issuer, node-oidc-provider: clients request tokens without a pause through a proxy, and none of their requests
//! fails while their issuer is imported, compared, switched and switched back.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, until};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::parsed;
use crate::loadtest::comparison_harness::{CLIENT, Peer, SECRET};
use crate::setup;

on_both_stores!(clients_of_a_real_issuer_notice_no_switch);

/// Far longer than a correct run takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Tokens between two steps.
const ENOUGH: usize = 20;

/// A proxy for one request per connection. It maps the path of the provider's token endpoint.
struct Proxy {
    port: u16,
    upstream: Arc<AtomicU16>,
}

impl Proxy {
    async fn start(old: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = Arc::new(AtomicU16::new(old));
        let current = Arc::clone(&upstream);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let to = current.load(Ordering::SeqCst);
                let path = if to == old { "/token" } else { "/oauth/token" };
                // A client sees a failure as a response that does not come.
                tokio::spawn(async move { forward(client, to, path).await });
            }
        });
        Proxy { port, upstream }
    }
}

async fn forward(mut client: TcpStream, to: u16, path: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_complete(&request) {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).replacen("POST /token ", &format!("POST {path} "), 1);
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    server.write_all(request.as_bytes()).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    client.shutdown().await
}

/// Whether a request has its head and the body of its length.
pub(super) fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}

/// The observations of the clients.
#[derive(Default)]
struct Seen {
    of_old: AtomicUsize,
    of_new: AtomicUsize,
    failures: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Seen {
    fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }
}

/// Requests tokens until the end, on a connection each.
async fn request_tokens(port: u16, old_issuer: String, seen: Arc<Seen>) {
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let basic = Credentials::new(CLIENT, SECRET).basic();
    let form = [("grant_type", "client_credentials"), ("scope", "read")];
    while !seen.ended.load(Ordering::SeqCst) {
        let request = http.post(format!("http://127.0.0.1:{port}/token")).form(&form);
        let request = request.header("authorization", &basic).header("connection", "close");
        let answer = async { request.send().await?.json::<Value>().await }.await;
        let token = answer.as_ref().ok().and_then(|body| body["access_token"].as_str());
        match token.map(issuer_of) {
            Some(issuer) if issuer == old_issuer => seen.of_old.fetch_add(1, Ordering::SeqCst),
            Some(_) => seen.of_new.fetch_add(1, Ordering::SeqCst),
            None => {
                seen.failures.lock().unwrap().push(format!("{answer:?}"));
                0
            }
        };
    }
}

fn issuer_of(token: &str) -> String {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["iss"].as_str().unwrap().to_owned()
}

async fn more(counter: &AtomicUsize, what: &str) {
    let before = counter.load(Ordering::SeqCst);
    until(TIMEOUT, what, async || {
        counter.load(Ordering::SeqCst) >= before + ENOUGH
    })
    .await;
}

async fn clients_of_a_real_issuer_notice_no_switch(kind: Kind) {
    let old = Peer::start("jwt");
    let old_port: u16 = old.url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(old_port).await;
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..3)
        .map(|_| tokio::spawn(request_tokens(proxy.port, old.url.clone(), Arc::clone(&seen))))
        .collect();
    more(&seen.of_old, "tokens of the old issuer").await;

    let new = DedicatedServer::start(setup(kind).await).await;
    let export = new.setup.directory().join("clients.json");
    let exported = json!({"clients": [{
        "client_id": CLIENT, "client_secret": SECRET, "grant_types": ["client_credentials"], "redirect_uris": [],
        "response_types": [], "scope": "read write", "id_token_signed_response_alg": "EdDSA",
    }]});
    std::fs::write(&export, exported.to_string()).unwrap();
    let settings = [
        "token_format=jwt",
        "signing_alg=EdDSA",
        "access_token_lifetime=1800",
        "audience=[\"https://api.invalid\"]",
    ];
    let mut command = vec![
        "client",
        "import",
        "--from",
        "oidc-provider",
        export.to_str().unwrap(),
        "--json",
    ];
    command.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    assert_eq!(parsed(&new.setup.run(&command))["created"], 1);
    let client = Credentials::new(CLIENT, SECRET);
    let is_known = async || new.request_token(&client, &[]).await.status() == StatusCode::OK;
    until(TIMEOUT, "the imported client", is_known).await;

    let sample = new.setup.directory().join("sample.csv");
    std::fs::write(
        &sample,
        format!("client_id,client_secret,scope\n{CLIENT},{SECRET},read\n"),
    )
    .unwrap();
    let new_url = new.url("");
    let mut command = vec![
        "migrate-check",
        "--old",
        &old.url,
        "--new",
        &new_url,
        "--clients",
        sample.to_str().unwrap(),
    ];
    for code in ["discovery", "jwks", "error", "introspection", "without_scope.scope"] {
        command.extend(["--accept", code]);
    }
    let output = new.setup.run(&command);
    assert_eq!(output.code, 0, "{}", output.stdout);

    proxy.upstream.store(new.setup.public, Ordering::SeqCst);
    more(&seen.of_new, "tokens of the new issuer").await;
    proxy.upstream.store(old_port, Ordering::SeqCst);
    more(&seen.of_old, "tokens of the old issuer again").await;
    seen.ended.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(seen.failures(), [""; 0]);
}

//! An issuer whose responses are changed on their way: a proxy in front of a server.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth2_testkit::Server;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::rehearsal::is_complete;

/// A response that may be changed.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

/// A change of the answers to requests for a path.
pub(super) type Change = Arc<dyn Fn(&str, &mut Answer) + Send + Sync>;

impl Answer {
    /// Replaces a header; an empty value removes it.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Changes the claims of the access token. Its signature is that of the original.
    pub(super) fn change_claims(&mut self, change: impl Fn(&mut Value)) {
        let Some(token) = self.body["access_token"].as_str() else {
            return;
        };
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        change(&mut claims);
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        self.body["access_token"] = format!("{}.{claims}.{}", parts[0], parts[2]).into();
    }
}

/// A proxy for one request per connection.
pub(super) struct Tampered {
    pub(super) url: String,
    change: Arc<Mutex<Change>>,
}

impl Tampered {
    pub(super) async fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let nothing: Change = Arc::new(|_: &str, _: &mut Answer| ());
        let change = Arc::new(Mutex::new(nothing));
        let (current, upstream) = (Arc::clone(&change), server.url(""));
        tokio::spawn(async move {
            let http = reqwest::Client::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let change = Arc::clone(&current.lock().unwrap());
                let (http, upstream) = (http.clone(), upstream.clone());
                tokio::spawn(async move { answer(client, &http, &upstream, &change).await });
            }
        });
        Self { url, change }
    }

    pub(super) fn change(&self, change: Change) {
        *self.change.lock().unwrap() = change;
    }
}

async fn answer(mut client: TcpStream, http: &reqwest::Client, upstream: &str, change: &Change) {
    let mut request = Vec::new();
    while !is_complete(&request) {
        if client.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    let text = String::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let method: Method = method.parse().unwrap();
    let mut forwarded = http.request(method, format!("{upstream}{path}")).body(body.to_owned());
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').unwrap();
        if ["authorization", "content-type"].contains(&&*name.to_ascii_lowercase()) {
            forwarded = forwarded.header(name, value.trim());
        }
    }
    let response = forwarded.send().await.unwrap();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let is_kept =
        |(name, _): &(String, String)| ["content-type", "cache-control", "www-authenticate"].contains(&&**name);
    let mut answer = Answer {
        status: response.status().as_u16(),
        headers: headers.filter(is_kept).collect(),
        body: response.json().await.unwrap_or(json!(null)),
    };
    change(path, &mut answer);
    let body = answer.body.to_string();
    let mut text = format!(
        "HTTP/1.1 {} -\r\ncontent-length: {}\r\nconnection: close\r\n",
        answer.status,
        body.len()
    );
    for (name, value) in answer.headers {
        text.extend([&name, ": ", &value, "\r\n"]);
    }
    client.write_all(format!("{text}\r\n{body}").as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
}

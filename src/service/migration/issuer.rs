//! The published documents of an issuer: its metadata (RFC 8414, `OpenID` Connect Discovery) and its keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::http::{Http, Request, Response};
use super::keys::Keys;

/// How an issuer is reached.
#[derive(Debug, Clone)]
pub struct IssuerOptions {
    /// Its URL.
    pub url: Url,
    /// Its token endpoint, if it publishes no metadata or another endpoint is to be asked.
    pub token_endpoint: Option<Url>,
    /// Its introspection endpoint, likewise.
    pub introspection_endpoint: Option<Url>,
    /// Its JWK set, likewise.
    pub jwks: Option<Url>,
}

/// An issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its metadata; empty if it publishes none.
    pub metadata: Map<String, Value>,
    /// Its token endpoint.
    pub token_endpoint: String,
    /// Its introspection endpoint.
    pub introspection_endpoint: Option<String>,
    /// Its keys.
    pub keys: Keys,
    /// Where metadata may be, and whether it is there. A place that did not answer is not listed.
    pub documents: BTreeMap<&'static str, bool>,
}

impl Issuer {
    /// Reads the metadata and the keys.
    pub async fn discover(http: &impl Http, options: &IssuerOptions) -> Result<Self, String> {
        let mut documents = BTreeMap::new();
        let metadata = match metadata(http, &options.url, &mut documents).await {
            Ok(metadata) => metadata,
            Err(_) if options.token_endpoint.is_some() => Map::new(),
            Err(error) => return Err(error),
        };
        let published = |name: &str| reached(metadata.get(name)?.as_str()?, &metadata, &options.url);
        let given = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        let token_endpoint = given(&options.token_endpoint)
            .or_else(|| published("token_endpoint"))
            .ok_or("its metadata has no token_endpoint; give the URL of the endpoint")?;
        let keys = match given(&options.jwks).or_else(|| published("jwks_uri")) {
            Some(url) => Keys::read(&http.send(Request::get(&url)).await?),
            None => Keys::Absent,
        };
        Ok(Self {
            token_endpoint,
            introspection_endpoint: given(&options.introspection_endpoint)
                .or_else(|| published("introspection_endpoint")),
            keys,
            metadata,
            documents,
        })
    }

    /// The issuer identifier, if it is published.
    pub fn identifier(&self) -> Option<&str> {
        self.metadata.get("issuer")?.as_str()
    }
}

/// The address of an endpoint: before a switch, an issuer has another address than its identifier and its endpoints name.
fn reached(endpoint: &str, metadata: &Map<String, Value>, url: &Url) -> Option<String> {
    let mut endpoint = Url::parse(endpoint).ok()?;
    let issuer = metadata.get("issuer").and_then(Value::as_str);
    let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
    if issuer.is_some_and(|issuer| issuer.origin() == endpoint.origin()) && endpoint.origin() != url.origin() {
        endpoint.set_scheme(url.scheme()).ok()?;
        endpoint.set_host(url.host_str()).ok()?;
        endpoint.set_port(url.port()).ok()?;
    }
    Some(endpoint.to_string())
}

/// The first document that answers as metadata. `documents`: which of them do.
async fn metadata(
    http: &impl Http,
    url: &Url,
    documents: &mut BTreeMap<&'static str, bool>,
) -> Result<Map<String, Value>, String> {
    let (mut first, mut problems) = (None, Vec::new());
    for (name, candidate) in candidates(url) {
        match http.send(Request::get(&candidate)).await {
            Ok(Response {
                status: 200,
                body: Some(body),
                ..
            }) if body.contains_key("token_endpoint") || body.contains_key("issuer") => {
                documents.insert(name, true);
                first = first.or(Some(body));
            }
            Ok(response) => {
                // An overloaded server says nothing about the document.
                if response.status < 500 && response.status != 429 {
                    documents.insert(name, false);
                }
                problems.push(format!("{candidate} answers {} without metadata", response.status));
            }
            Err(error) => problems.push(error),
        }
    }
    first.ok_or_else(|| problems.join("; "))
}

/// Where metadata may be: at the paths of RFC 8414 section 3.1 and of `OpenID` Connect Discovery, and where the path of the issuer comes first.
fn candidates(url: &Url) -> Vec<(&'static str, String)> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let at = |path: &str| {
        let mut url = url.clone();
        url.set_path(path);
        url.to_string()
    };
    let path = url.path().trim_end_matches('/');
    let mut found = vec![
        ("oauth-authorization-server", at(&format!("{OAUTH}{path}"))),
        ("openid-configuration", at(&format!("{path}{OPENID}"))),
    ];
    if !path.is_empty() {
        found.push((
            "oauth-authorization-server-below-the-issuer",
            at(&format!("{path}{OAUTH}")),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_the_issuer_are_reached_at_its_url() {
        let metadata = [("issuer".to_owned(), "https://id.example/a".into())]
            .into_iter()
            .collect();
        let url = "http://127.0.0.1:8080/a".parse().unwrap();
        let at = |endpoint: &str| reached(endpoint, &metadata, &url).unwrap();
        assert_eq!(at("https://id.example/a/token"), "http://127.0.0.1:8080/a/token");
        assert_eq!(at("https://keys.example/jwks"), "https://keys.example/jwks");
    }

    #[test]
    fn metadata_is_looked_for_at_the_paths_of_both_specifications() {
        let at = |url: &str| {
            let found = candidates(&url.parse().unwrap()).into_iter();
            found.map(|(_, url)| url).collect::<Vec<_>>()
        };
        assert_eq!(
            at("https://id.example"),
            [
                "https://id.example/.well-known/oauth-authorization-server",
                "https://id.example/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            at("https://id.example/realms/a/"),
            [
                "https://id.example/.well-known/oauth-authorization-server/realms/a",
                "https://id.example/realms/a/.well-known/openid-configuration",
                "https://id.example/realms/a/.well-known/oauth-authorization-server"
            ]
        );
    }
}

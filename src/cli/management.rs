//! Requests to the management listener of a server on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::http::header::AUTHORIZATION;
use ureq::tls::{TlsConfig, TlsProvider};

use crate::config::{Config, Listener};

/// Time limit of a request.
const LIMIT: Duration = Duration::from_secs(2);

/// Bytes of a response that are read at most.
const MAX_BYTES: u64 = 4 << 20;

/// A client of the management listener.
pub struct Management {
    agent: Agent,
    address: SocketAddr,
    base: String,
}

/// A response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Response {
    /// The body as JSON. `None` if it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.body).ok()
    }
}

impl Management {
    /// A client of the management listener of a configuration.
    pub fn of(config: &Config) -> Self {
        Self::new(&config.management, config.tls.management.is_some())
    }

    /// A client of this listener; of loopback, if the listener's address is unspecified.
    pub fn new(listener: &Listener, is_tls: bool) -> Self {
        // The address is this machine's, which its certificate need not name. A process that can listen there could read a request without TLS, too.
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .disable_verification(true);
        let config = Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls.build())
            .user_agent(concat!("oauth2_server/", env!("CARGO_PKG_VERSION")));
        let address = address(listener);
        let scheme = if is_tls { "https" } else { "http" };
        Self {
            agent: config.build().into(),
            address,
            base: format!("{scheme}://{address}"),
        }
    }

    /// Whether a process listens there.
    pub fn is_there(&self) -> bool {
        TcpStream::connect_timeout(&self.address, LIMIT).is_ok()
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The response to `GET path`. `token`: bearer token of an operator. Fails with a sentence that names the URL.
    pub fn get(&self, path: &str, token: Option<&str>) -> Result<Response, String> {
        let url = self.url(path);
        let mut request = self.agent.get(&url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let failed = |error: ureq::Error| format!("no response from {url}: {error}");
        let mut response = request.call().map_err(failed)?;
        let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_string();
        Ok(Response {
            status: response.status().as_u16(),
            body: body.map_err(failed)?,
        })
    }
}

fn address(listener: &Listener) -> SocketAddr {
    let ip = match listener.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Ok(ip) => ip,
        // The configuration allows no other name than localhost.
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listener.port)
}

//! `[server]` and `[management]`: the two listeners.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::key::Fallback::{Derived, Value};
use super::key::{Key, key};
use super::names;
use super::parse::{duration, number};
use super::values::Values;

const HOST: Key = key(
    "OAUTH2_SERVER_HOST",
    "server.host",
    Value("127.0.0.1"),
    "Address that the public listener binds to.",
);
const PORT: Key = key(
    "OAUTH2_SERVER_PORT",
    "server.port",
    Value("8080"),
    "Port of the public listener.",
);
const WORKERS: Key = key(
    "OAUTH2_SERVER_WORKERS",
    "server.workers",
    Derived("available parallelism"),
    "Number of worker threads that serve requests, 1 to 1024.",
);
const DRAIN_DELAY: Key = key(
    "OAUTH2_SERVER_DRAIN_DELAY",
    "server.drain_delay",
    Value("1"),
    "Seconds (or `500ms`, `2s`) from SIGTERM until the public listener closes, 0 to 3600. Meanwhile `/ready` answers 503, so \
     that load balancers stop sending requests.",
);
const KEEP_ALIVE: Key = key(
    "OAUTH2_SERVER_KEEP_ALIVE",
    "server.keep_alive",
    Value("75"),
    "Seconds (or `500ms`, `2s`) that an idle connection is kept, 1 to 3600. Set it above the idle timeout of a load balancer, so \
     that no request is sent on a connection that the server is closing.",
);
const TRUSTED_PROXIES: Key = key(
    "OAUTH2_SERVER_TRUSTED_PROXIES",
    "server.trusted_proxies",
    Derived("none"),
    "Networks of trusted proxies, separated by commas. Only their `X-Forwarded-For` or `Forwarded` header sets the address of \
     a client.",
);
const CORS_ORIGINS: Key = key(
    "OAUTH2_SERVER_CORS_ORIGINS",
    "server.cors_origins",
    Derived("none"),
    "Origins, separated by commas, whose scripts may request tokens from a browser (CORS), such as `https://app.example`. Metadata \
     and keys are readable by scripts of every origin.",
);
const PATH_PREFIX: Key = key(
    "OAUTH2_SERVER_PATH_PREFIX",
    "server.path_prefix",
    Derived("none"),
    "Path below which the public endpoints are served, such as `/auth`, for a proxy that does not remove it; the metadata then \
     names the endpoints below it. They are served without it as well.",
);
const MANAGEMENT_HOST: Key = key(
    "OAUTH2_MANAGEMENT_HOST",
    "management.host",
    Value("127.0.0.1"),
    "Address that the management listener binds to.",
);
const MANAGEMENT_PORT: Key = key(
    "OAUTH2_MANAGEMENT_PORT",
    "management.port",
    Value("8081"),
    "Port of the management listener.",
);

const MANAGEMENT_HOSTS: Key = key(
    "OAUTH2_MANAGEMENT_HOSTS",
    "management.hosts",
    Derived("none"),
    "Host names, separated by commas, by which the management listener is reached, such as `oauth2,*.svc.cluster.local`. Requests \
     for another name than these and `localhost` are rejected with 421; addresses always work. `*`: every name.",
);

pub(super) const KEYS: &[Key] = &[
    HOST,
    PORT,
    WORKERS,
    DRAIN_DELAY,
    KEEP_ALIVE,
    TRUSTED_PROXIES,
    CORS_ORIGINS,
    PATH_PREFIX,
    MANAGEMENT_HOST,
    MANAGEMENT_PORT,
    MANAGEMENT_HOSTS,
];

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// IP address, or `localhost`.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Listener {
    fn read(values: &mut Values, host: &'static Key, port: &'static Key) -> Option<Self> {
        let host = values.get(host, parse_host);
        let port = values.get(port, |text| number(text, 1, u16::MAX));
        Some(Self {
            host: host?,
            port: port?,
        })
    }

    /// Reads the management listener, which must differ from the public one.
    pub(super) fn read_management(values: &mut Values, public: Option<&Self>) -> Option<Self> {
        let management = Self::read(values, &MANAGEMENT_HOST, &MANAGEMENT_PORT)?;
        if public == Some(&management) {
            let problem = format!(
                "must differ from {}, because both listeners have the same address",
                PORT.env
            );
            values.fail(&MANAGEMENT_PORT, &problem);
        }
        Some(management)
    }

    /// Whether only this machine can reach the listener.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// Whether a host name or address is that of the loopback interface.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn parse_host(text: &str) -> Result<String, String> {
    let text = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if text != "localhost" && text.parse::<IpAddr>().is_err() {
        return Err("must be an IP address or localhost".to_owned());
    }
    Ok(text.to_owned())
}

/// The public listener and its workers.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address of the public listener.
    pub listener: Listener,
    /// Number of worker threads.
    pub workers: usize,
    /// Time from SIGTERM until the public listener closes; `/ready` answers 503 meanwhile.
    pub drain_delay: Duration,
    /// How long an idle connection is kept, on both listeners.
    pub keep_alive: Duration,
    /// Proxies whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose scripts may request tokens.
    pub cors_origins: Vec<String>,
    /// The path below which the public endpoints are served.
    pub path_prefix: Option<String>,
}

impl Server {
    pub(super) fn read(values: &mut Values, parallelism: usize) -> Option<Self> {
        values.set_derived(&WORKERS, parallelism.to_string());
        let listener = Listener::read(values, &HOST, &PORT);
        let workers = values.optional(&WORKERS, |text| number(text, 1, 1024));
        let trusted_proxies = values.optional(&TRUSTED_PROXIES, parse_networks);
        let cors_origins = values.optional(&CORS_ORIGINS, names::origins);
        let path_prefix = values.optional(&PATH_PREFIX, names::path_prefix);
        let drain_delay = values.get(&DRAIN_DELAY, |text| duration(text, 3600));
        let keep_alive = values.get(&KEEP_ALIVE, |text| {
            let parsed = duration(text, 3600)?;
            if parsed < Duration::from_secs(1) {
                return Err("must be at least one second".to_owned());
            }
            Ok(parsed)
        });
        Some(Self {
            listener: listener?,
            workers: workers?.unwrap_or(parallelism),
            drain_delay: drain_delay?,
            keep_alive: keep_alive?,
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
            cors_origins: cors_origins?.unwrap_or_default(),
            path_prefix: path_prefix?,
        })
    }
}

/// Reads the host names of the management listener.
pub(super) fn read_management_hosts(values: &mut Values) -> Option<Vec<String>> {
    values
        .optional(&MANAGEMENT_HOSTS, names::hosts)
        .map(Option::unwrap_or_default)
}

/// Networks and addresses, separated by commas.
fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |part: &str| {
        let part = part.trim();
        let single = || part.parse::<IpAddr>().ok().map(IpNet::from);
        part.parse::<IpNet>().ok().or_else(single).ok_or_else(|| {
            "must be networks or addresses separated by commas, such as 10.0.0.0/8, 2001:db8::/32".to_owned()
        })
    };
    text.split(',').map(network).collect()
}

//! `[server]` and `[management]`: the two listeners.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::values::{Values, duration, number};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// IP address, or `localhost`.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Listener {
    /// Reads the two keys of a listener.
    pub(super) fn read(values: &mut Values, host: &'static str, port: &'static str) -> Option<Self> {
        let host = values.get(host, parse_host);
        let port = values.get(port, |text| number(text, 1, u16::MAX));
        Some(Self {
            host: host?,
            port: port?,
        })
    }

    /// Whether only this machine can reach it.
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

/// Whether a host name or address means this machine.
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

/// The public listener and how it is served.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub listener: Listener,
    /// Worker threads.
    pub workers: usize,
    /// How long accepting goes on after SIGTERM while `/ready` answers 503.
    pub drain_delay: Duration,
    /// Proxies that are believed what they say of their callers.
    pub trusted_proxies: Vec<IpNet>,
}

impl Server {
    pub(super) fn read(values: &mut Values, parallelism: usize) -> Option<Self> {
        let listener = Listener::read(values, "server.host", "server.port");
        let workers = values.optional("server.workers", |text| number(text, 1, 1024));
        let trusted_proxies = values.optional("server.trusted_proxies", networks);
        let drain_delay = values.get("server.drain_delay", |text| duration(text, 3600));
        Some(Self {
            listener: listener?,
            workers: workers?.unwrap_or(parallelism),
            drain_delay: drain_delay?,
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
        })
    }
}

/// Networks and addresses, separated by commas.
fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |part: &str| {
        let part = part.trim();
        let alone = || part.parse::<IpAddr>().ok().map(IpNet::from);
        part.parse::<IpNet>().ok().or_else(alone).ok_or_else(|| {
            "must be networks or addresses separated by commas, like 10.0.0.0/8, 2001:db8::/32".to_owned()
        })
    };
    text.split(',').map(network).collect()
}

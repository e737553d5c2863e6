//! The hosts that the management listener answers for.
//!
//! A page that a browser loaded from `http://evil.example:8081/` may read what that origin answers. Once its owner lets the name
//! resolve to an address of this listener (DNS rebinding), that is this server. The browser still sends the name in `Host`, so a name
//! is answered only if an operator configured it. An address cannot be rebound.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::http::uri::Authority;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError};

use super::error::Failure;

/// Host names of the management listener, besides `localhost` and every IP address.
#[derive(Debug, Clone)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// These names, in lower case: `name`, `*.suffix`, or `*` for every name.
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Whether `host`, with or without a port, is allowed.
    fn allows(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if address.unwrap_or(name).parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let configured = |pattern: &String| match pattern.strip_prefix('*') {
            // `*`, or `.suffix` with something before it.
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            None => *pattern == name,
        };
        name == "localhost" || self.0.iter().any(configured)
    }
}

/// The name or address of `host[:port]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The middleware that rejects requests for other hosts. HTTP/1.0 requests without `Host` come from no browser.
pub async fn check(
    hosts: Data<AllowedHosts>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let header = request.headers().get(header::HOST);
    // A request target in absolute form takes precedence over the header (RFC 9112 section 3.2.2).
    let target = request.uri().authority().map(Authority::as_str);
    let allowed = header.is_none_or(|host| host.is_empty() || host.to_str().is_ok_and(|host| hosts.allows(host)))
        && target.is_none_or(|host| hosts.allows(host));
    if allowed {
        Ok(next.call(request).await?.map_into_left_body())
    } else {
        Ok(request
            .into_response(Failure::UnknownHost.error_response())
            .map_into_right_body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_configured() {
        let hosts = AllowedHosts::new(vec!["ops.example".to_owned(), "*.svc.cluster.local".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "localhost.",
            "127.0.0.1:8081",
            "10.2.3.4",
            "[::1]:8081",
            "[fd00::1]",
            "ops.example:443",
            "OPS.example",
            "oauth2.prod.svc.cluster.local:8081",
        ] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8081",
            "evil.example:127.0.0.1",
            "ops.example.evil",
            "xops.example",
            "svc.cluster.local",
            ".svc.cluster.local",
            "x.svc.cluster.local.evil",
            "localhost@evil.example",
            "evil@localhost",
            "",
            ":8081",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
        assert!(AllowedHosts::new(vec!["*".to_owned()]).allows("anything.example"));
    }
}

//! `[fallback_introspection]`: the introspection endpoint of the issuer that this server replaces, for its opaque tokens.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime};
use url::{Host, Url};

use super::key::Fallback::{Derived, Value};
use super::key::{Key, Secrecy, key, secret};
use super::parse::{duration, number};
use super::secret::Secret;
use super::server::Listener;
use super::values::Values;

const URL: Key = Key {
    secrecy: Secrecy::Url,
    ..key(
        "OAUTH2_FALLBACK_INTROSPECTION_URL",
        "fallback_introspection.url",
        Derived("none: opaque tokens of other issuers are inactive"),
        "Introspection endpoint (RFC 7662) of the issuer that this server replaces. It is asked about opaque tokens that are not of this \
         server, until `OAUTH2_FALLBACK_INTROSPECTION_UNTIL`.",
    )
};
const CLIENT_ID: Key = key(
    "OAUTH2_FALLBACK_INTROSPECTION_CLIENT_ID",
    "fallback_introspection.client_id",
    Derived("none: required with the URL"),
    "Client id by which this server authenticates at that endpoint (`client_secret_basic`).",
);
const CLIENT_SECRET: Key = secret(
    "OAUTH2_FALLBACK_INTROSPECTION_CLIENT_SECRET",
    "fallback_introspection.client_secret",
    "none: required with the URL",
    "Secret of that client.",
);
const UNTIL: Key = key(
    "OAUTH2_FALLBACK_INTROSPECTION_UNTIL",
    "fallback_introspection.until",
    Derived("none: required with the URL"),
    "When this server stops asking: a date (`2027-01-31`, the end of this day in UTC) or a time (RFC 3339).",
);
const TIMEOUT: Key = key(
    "OAUTH2_FALLBACK_INTROSPECTION_TIMEOUT",
    "fallback_introspection.timeout",
    Value("0.75"),
    "Seconds (or `500ms`) that one request to that endpoint may take, at most 0.9.",
);
const MAX_IN_FLIGHT: Key = key(
    "OAUTH2_FALLBACK_INTROSPECTION_MAX_IN_FLIGHT",
    "fallback_introspection.max_in_flight",
    Value("16"),
    "The most requests to that endpoint at the same time, 1 to 1000. Further ones wait.",
);
const CA_FILE: Key = key(
    "OAUTH2_FALLBACK_INTROSPECTION_CA_FILE",
    "fallback_introspection.ca_file",
    Derived("the system's trust store"),
    "PEM file with the certificate authorities that the certificate of that endpoint is verified with.",
);

pub(super) const KEYS: &[Key] = &[URL, CLIENT_ID, CLIENT_SECRET, UNTIL, TIMEOUT, MAX_IN_FLIGHT, CA_FILE];

/// The variable of the authorities, for errors.
pub const CA_FILE_VARIABLE: &str = CA_FILE.env;

/// The longest request: shorter than an introspection may take, 1 s.
const MAX_TIMEOUT: Duration = Duration::from_millis(900);

/// The introspection endpoint of the issuer that this server replaces.
#[derive(Debug, Clone)]
pub struct FallbackIntrospection {
    /// `http` or `https`, without credentials.
    pub url: Url,
    /// How this server authenticates.
    pub client_id: String,
    /// How this server authenticates.
    pub client_secret: Secret,
    /// From when it is not asked any more, Unix seconds.
    pub until: i64,
    /// How long a request may take.
    pub timeout: Duration,
    /// The most requests at a time.
    pub max_in_flight: usize,
    /// Authorities that verify it.
    pub ca_file: Option<PathBuf>,
}

/// `None`: invalid; `Some(None)`: none is configured.
#[expect(
    clippy::option_option,
    reason = "as the other sections: an outer `None` is an error that is recorded"
)]
pub(super) fn read(values: &mut Values, directory: &Path) -> Option<Option<FallbackIntrospection>> {
    let url = values.optional(&URL, parse_url);
    let client_id = values.optional(&CLIENT_ID, |text| Ok(text.to_owned()));
    let client_secret = values.optional(&CLIENT_SECRET, |text| Ok(Secret::new(text.to_owned())));
    let until = values.optional(&UNTIL, parse_until);
    let timeout = values.get(&TIMEOUT, parse_timeout);
    let max_in_flight = values.get(&MAX_IN_FLIGHT, |text| number::<usize>(text, 1, 1000));
    let ca_file = values.optional(&CA_FILE, |text| Ok(directory.join(text)));
    let (url, client_id, client_secret, until) = (url?, client_id?, client_secret?, until?);
    let (timeout, max_in_flight, ca_file) = (timeout?, max_in_flight?, ca_file?);
    let given = [
        (&CLIENT_ID, client_id.is_some()),
        (&CLIENT_SECRET, client_secret.is_some()),
        (&UNTIL, until.is_some()),
    ];
    let Some(url) = url else {
        for (key, _) in given.iter().filter(|(_, is_set)| *is_set) {
            values.warn(key, &format!("has no effect without {}", URL.env));
        }
        return Some(None);
    };
    let missing: Vec<&str> = given
        .iter()
        .filter(|(_, is_set)| !is_set)
        .map(|(key, _)| key.env)
        .collect();
    if !missing.is_empty() {
        values.fail(&URL, &format!("requires {}", missing.join(", ")));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        values.warn(&URL, "is not https: tokens and the client secret are sent in the clear");
    }
    let (Some(client_id), Some(client_secret), Some(until)) = (client_id, client_secret, until) else {
        return None;
    };
    Some(Some(FallbackIntrospection {
        url,
        client_id,
        client_secret,
        until,
        timeout,
        max_in_flight,
        ca_file,
    }))
}

/// Rejects a URL that leads to this server itself, which would ask itself about every unknown token.
pub(super) fn reject_own(
    values: &mut Values,
    fallback: Option<&FallbackIntrospection>,
    issuer: &str,
    own: &[&Listener],
) {
    let Some(url) = fallback.map(|fallback| &fallback.url) else {
        return;
    };
    let place = |url: &Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?));
    if Url::parse(issuer).is_ok_and(|issuer| place(&issuer) == place(url)) {
        values.fail(&URL, "has the host of OAUTH2_ISSUER: it must be another server");
    } else if own.iter().any(|listener| leads_to(url, listener)) {
        values.fail(&URL, "is a listener of this server: it must be another server");
    }
}

fn leads_to(url: &Url, listener: &Listener) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_every = listener
        .host
        .parse()
        .is_ok_and(|address: IpAddr| address.is_unspecified());
    url.port_or_known_default() == Some(listener.port)
        && (host == listener.host || (is_loopback(url) && (is_every || listener.is_loopback())))
}

fn parse_url(text: &str) -> Result<Url, String> {
    let is_usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text)
        .ok()
        .filter(is_usable)
        .ok_or_else(|| "must be an http or https URL without credentials and fragment".to_owned())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

fn parse_until(text: &str) -> Result<i64, String> {
    let end_of_day = || {
        let day = Date::parse(text, &Iso8601::DATE).ok()?.next_day()?;
        Some(day.midnight().assume_utc().unix_timestamp())
    };
    OffsetDateTime::parse(text, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .ok()
        .or_else(end_of_day)
        .ok_or_else(|| "must be a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text, 2)?;
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        return Err("must be more than 0 and at most 0.9 seconds: an introspection may take 1".to_owned());
    }
    Ok(timeout)
}

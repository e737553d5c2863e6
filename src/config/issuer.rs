//! `issuer`: the issuer identifier of this server (RFC 8414 section 2).

use url::{Host, Url};

use super::key::Fallback::Derived;
use super::key::{Key, key};
use super::server::{Listener, is_loopback};
use super::values::Values;

const ISSUER: Key = key(
    "OAUTH2_ISSUER",
    "issuer",
    Derived("the public listener's URL, on loopback only"),
    "Issuer identifier: an https URL without query or fragment (http on loopback only). Required when the public listener is \
     not on loopback.",
);

pub(super) const KEYS: &[Key] = &[ISSUER];

/// Reads the issuer, or derives it from a public listener on loopback.
pub(super) fn read(values: &mut Values, listener: Option<&Listener>, is_tls: bool) -> Option<String> {
    if let Some(issuer) = values.optional(&ISSUER, parse)? {
        return Some(issuer);
    }
    let listener = listener?;
    if !listener.is_loopback() {
        let problem = format!(
            "must be set to an https URL, because the public listener {} is not on loopback",
            listener.authority()
        );
        values.fail(&ISSUER, &problem);
        return None;
    }
    let scheme = if is_tls { "https" } else { "http" };
    let issuer = format!("{scheme}://{}", listener.authority());
    values.set_derived(&ISSUER, issuer.clone());
    Some(issuer)
}

/// The URL below which clients reach the public endpoints: the issuer without a slash at its end, or its host with the path prefix.
pub(super) fn endpoint_base(issuer: &str, path_prefix: Option<&str>) -> String {
    let base = issuer.trim_end_matches('/');
    let Some(prefix) = path_prefix else {
        return base.to_owned();
    };
    let host = base.find("://").map_or(0, |scheme| scheme + 3);
    let end = base[host..].find('/').map_or(base.len(), |path| host + path);
    format!("{}{prefix}", &base[..end])
}

fn parse(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "must be an https URL (http on loopback only) without user, query or fragment";
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'`'));
    let url = Url::parse(text)
        .ok()
        .filter(|url| plain && url.has_host())
        .ok_or(EXPECTED)?;
    let bare =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let local = match url.host() {
        Some(Host::Domain(name)) => is_loopback(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let secure = url.scheme() == "https" || (url.scheme() == "http" && local);
    // `https:/host` and `https:host` parse as well, but clients compare the issuer with a full URL.
    if !bare || !secure || !text.starts_with(&format!("{}://", url.scheme())) {
        return Err(EXPECTED.to_owned());
    }
    // Clients compare the issuer byte by byte (RFC 8414 section 3.3), so a trailing slash stays.
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_prefix_takes_the_place_of_the_path_of_the_issuer() {
        let base = |issuer, prefix| endpoint_base(issuer, prefix);
        assert_eq!(base("https://a.example/", None), "https://a.example");
        assert_eq!(base("https://a.example/t", None), "https://a.example/t");
        assert_eq!(base("https://a.example", Some("/t")), "https://a.example/t");
        assert_eq!(base("https://a.example/t/", Some("/t")), "https://a.example/t");
        assert_eq!(base("https://a.example:8/t/u", Some("/v")), "https://a.example:8/v");
    }
}

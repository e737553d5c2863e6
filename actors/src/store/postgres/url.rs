//! What a `postgres://` URL says, with the parameters that the driver does not know.
//!
//! The driver's `sslmode` has three values and no certificates. Here it has five, as in libpq, and `sslrootcert`, `sslcert` and
//! `sslkey` name files. They are taken out of the URL before the driver reads it.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::error::StoreError;

/// How far the server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Not at all: whoever answers is believed.
    Nothing,
    /// It must be from a known authority.
    Authority,
    /// And for the host that was asked for.
    Host,
}

/// How a connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protection {
    /// As it was spelled.
    pub(super) mode: &'static str,
    /// How far the server's certificate is looked at.
    pub(super) check: Check,
    /// Certificates of authorities.
    pub(super) root: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

/// A file of authorities that the system trusts, under the names that distributions give it.
const SYSTEM: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Reads a URL. No error repeats any of it but the value of `sslmode`.
pub(super) fn read(url: &str) -> Result<(Config, Protection), StoreError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut root, mut cert, mut key, mut others) = ("prefer".to_owned(), None, None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "sslmode" => {
                mode = decoded(name, value)?;
                continue;
            }
            "sslrootcert" => &mut root,
            "sslcert" => &mut cert,
            "sslkey" => &mut key,
            _ => {
                others.push(pair);
                continue;
            }
        };
        *place = Some(PathBuf::from(decoded(name, value)?));
    }
    if root.as_ref().is_some_and(|root| root.as_os_str() == "system") {
        let found = SYSTEM.iter().map(PathBuf::from).find(|path| path.exists());
        root = Some(found.ok_or_else(|| wrong("sslrootcert=system, and this machine has no file of authorities"))?);
    }
    let (driver, mode, check) = match mode.as_str() {
        "disable" => (SslMode::Disable, "disable", Check::Nothing),
        "prefer" => (SslMode::Prefer, "prefer", Check::Nothing),
        // As in libpq: with an authority at hand, its word is asked for.
        "require" if root.is_some() => (SslMode::Require, "require", Check::Authority),
        "require" => (SslMode::Require, "require", Check::Nothing),
        "verify-ca" => (SslMode::Require, "verify-ca", Check::Authority),
        "verify-full" => (SslMode::Require, "verify-full", Check::Host),
        other => {
            return Err(wrong(&format!(
                "sslmode {other:?}: it must be disable, prefer, require, verify-ca or verify-full"
            )));
        }
    };
    if check != Check::Nothing && root.is_none() {
        return Err(wrong(&format!(
            "sslmode={mode} without sslrootcert: name the file with the authority's certificate, or system"
        )));
    }
    let own = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(wrong("sslcert without sslkey: name both")),
        (None, Some(_)) => return Err(wrong("sslkey without sslcert: name both")),
    };
    let rest = if others.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", others.join("&"))
    };
    // The driver's words are left out: what follows a stray `@` may be part of the password.
    let mut config: Config = rest.parse().map_err(|_| {
        StoreError::Corrupt(
            "the database URL cannot be read: it must look like postgres://user:password@host:5432/name".into(),
        )
    })?;
    config.ssl_mode(driver);
    Ok((config, Protection { mode, check, root, own }))
}

fn wrong(what: &str) -> StoreError {
    StoreError::Corrupt(format!("the database URL has {what}"))
}

fn decoded(name: &str, value: &str) -> Result<String, StoreError> {
    let broken = || wrong(&format!("a {name} that is not percent-encoded UTF-8"));
    let (mut bytes, mut rest) = (Vec::new(), value.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16));
            let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
            (high * 16 + low) as u8
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_mode_is_understood_and_the_rest_left_to_the_driver() {
        let url = |parameters: &str| format!("postgres://u:p%40@a:1,b:2/name?{parameters}");
        for (parameters, driver, check) in [
            ("", SslMode::Prefer, Check::Nothing),
            ("sslmode=disable", SslMode::Disable, Check::Nothing),
            ("sslmode=require", SslMode::Require, Check::Nothing),
            (
                "sslmode=require&sslrootcert=/ca.pem",
                SslMode::Require,
                Check::Authority,
            ),
            (
                "sslmode=verify-ca&sslrootcert=/ca.pem",
                SslMode::Require,
                Check::Authority,
            ),
            (
                "target_session_attrs=read-write&sslrootcert=%2Fca.pem&sslmode=verify-full",
                SslMode::Require,
                Check::Host,
            ),
        ] {
            let (config, protection) = read(&url(parameters)).unwrap();
            assert_eq!(
                (config.get_ssl_mode(), protection.check),
                (driver, check),
                "{parameters}"
            );
            assert_eq!((config.get_hosts().len(), config.get_password()), (2, Some(&b"p@"[..])));
        }
        for (parameters, word) in [
            ("sslmode=full", "verify-full"),
            ("sslmode=verify-full", "sslrootcert"),
            ("sslmode=verify-ca", "sslrootcert"),
            ("sslmode=require&sslcert=c.pem", "sslkey"),
            ("sslkey=k.pem", "sslcert"),
            ("sslrootcert=%zz", "percent"),
            ("colour=red", "cannot be read"),
        ] {
            let refused = read(&url(parameters)).unwrap_err().to_string();
            assert!(refused.contains(word) && !refused.contains("p%40"), "{refused}");
        }
    }
}

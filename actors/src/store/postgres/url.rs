//! What a `postgres://` URL says, with the parameters that the driver does not know.
//!
//! The driver's `sslmode` has three values and no certificates. Here it has five, as in libpq, and `sslrootcert`, `sslcert` and
//! `sslkey` name files. They are taken out of the URL before the driver reads it.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

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
    /// Certificates of authorities; [`SYSTEM`] for those of the system.
    pub(super) root: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

/// What the driver knows beside the parameters above.
const DRIVER: [&str; 18] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// What stands for the authorities that the system trusts.
pub(super) const SYSTEM: &str = "system";

/// Reads a URL, without a look at any file. An error is what is wrong, after "the database URL"; it repeats nothing but names of
/// parameters and the value of `sslmode`.
pub(super) fn read(url: &str) -> Result<(Config, Protection), String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut root, mut cert, mut key) = (None, None, None, None);
    let (mut seen, mut others) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err("has a parameter without a value: it must be name=value".to_owned());
        };
        let name = decoded("parameter", name)?;
        let place = match name.as_str() {
            "sslmode" => &mut mode,
            "sslrootcert" => &mut root,
            "sslcert" => &mut cert,
            "sslkey" => &mut key,
            known if DRIVER.contains(&known) => {
                // By itself, so that the one that is wrong can be named.
                if format!("postgres://u@h?{pair}").parse::<Config>().is_err() {
                    return Err(format!("has a {name} that makes no sense"));
                }
                others.push(pair);
                &mut None
            }
            unknown => return Err(stranger(unknown, query)),
        };
        let value = decoded(&name, value)?;
        if value.is_empty() && name.starts_with("ssl") {
            return Err(format!("has an empty {name}: give it a value, or leave it out"));
        }
        *place = Some(value);
        // Of two values a reader would believe one, and the server the other.
        if seen.contains(&name) {
            return Err(format!("has {name} twice: keep one of them"));
        }
        seen.push(name);
    }
    let system = root.as_deref() == Some(SYSTEM);
    let mode = mode.as_deref().unwrap_or(if system { "verify-full" } else { "prefer" });
    let (driver, mode, check) = match mode {
        "disable" => (SslMode::Disable, "disable", Check::Nothing),
        "prefer" => (SslMode::Prefer, "prefer", Check::Nothing),
        // As in libpq: with an authority at hand, its word is asked for.
        "require" if root.is_some() => (SslMode::Require, "require", Check::Authority),
        "require" => (SslMode::Require, "require", Check::Nothing),
        "verify-ca" => (SslMode::Require, "verify-ca", Check::Authority),
        "verify-full" => (SslMode::Require, "verify-full", Check::Host),
        other => {
            return Err(format!(
                "has sslmode {other:?}: it must be disable, prefer, require, verify-ca or verify-full"
            ));
        }
    };
    // Public authorities vouch for anybody's host: without a look at the name their word says nothing.
    if system && check != Check::Host {
        return Err(format!(
            "has sslmode={mode} with sslrootcert=system: it must be verify-full, or left out"
        ));
    }
    if check != Check::Nothing && root.is_none() {
        return Err(format!(
            "has sslmode={mode} without sslrootcert: name the file with the authority's certificate, or system"
        ));
    }
    let own = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => return Err("has sslcert without sslkey: name both".to_owned()),
        (None, Some(_)) => return Err("has sslkey without sslcert: name both".to_owned()),
    };
    let rest = if others.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", others.join("&"))
    };
    // The driver takes whatever is before the first @ for user and password, a query too.
    if !base.contains('@') && query.contains('@') {
        return Err(UNREADABLE.to_owned());
    }
    // The driver's words are left out: what follows a stray `@` may be part of the password.
    let mut config: Config = rest.parse().map_err(|_| UNREADABLE.to_owned())?;
    let (hosts, ports) = (
        config.get_hosts().len().max(config.get_hostaddrs().len()),
        config.get_ports().len(),
    );
    if hosts == 0 || (ports > 1 && ports != hosts) {
        return Err("must name a host, and of several hosts each with its port".to_owned());
    }
    config.ssl_mode(driver);
    let root = root.map(PathBuf::from);
    Ok((config, Protection { mode, check, root, own }))
}

const UNREADABLE: &str = "cannot be read: it must look like postgres://user:password@host:5432/name, with @ / ? in a password \
    written %40 %2F %3F";

/// An unknown parameter by its name, unless it may be the end of a password with a `?` that nobody encoded.
fn stranger(name: &str, query: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if query.contains('@') || !plain || name.len() > 40 {
        return UNREADABLE.to_owned();
    }
    format!("has a parameter {name:?}, which means nothing here: take it out")
}

fn decoded(name: &str, value: &str) -> Result<String, String> {
    let broken = || format!("has a {name} that is not percent-encoded UTF-8");
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
            // Names are decoded, as libpq does.
            ("ssl%6Dode=require", SslMode::Require, Check::Nothing),
            // Public authorities are believed for the host that was asked for, or not at all.
            ("sslrootcert=system", SslMode::Require, Check::Host),
            (
                "sslmode=verify-full&sslrootcert=syste%6d",
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
            ("sslmode=disable&sslrootcert=system", "verify-full"),
            ("sslmode=prefer&sslrootcert=system", "verify-full"),
            ("sslmode=require&sslrootcert=system", "verify-full"),
            ("sslmode=verify-ca&sslrootcert=system", "verify-full"),
            ("ssl%6Dode=full", "verify-full"),
            ("sslmode=require&ssl%6Dode=disable", "twice"),
            ("connect_timeout=1&connect_timeout=2", "twice"),
            ("sslmode=", "empty sslmode"),
            ("sslmode=verify-full&sslrootcert=", "empty sslrootcert"),
            ("sslmode", "name=value"),
            ("%zz=1", "percent"),
            ("colour=red", "\"colour\""),
            ("sslcrl=x.pem", "\"sslcrl\""),
            ("SSLMODE=require", "\"SSLMODE\""),
            ("connect_timeout=soon", "connect_timeout"),
            ("port=3", "port"),
        ] {
            let refused = read(&url(parameters)).unwrap_err();
            assert!(refused.contains(word) && !refused.contains("p%40"), "{refused}");
        }
    }

    #[test]
    fn nothing_of_a_password_that_was_not_encoded_is_repeated() {
        for url in [
            "postgres://u:pa?secret@h/x",
            "postgres://u:pa?secret=1@h/x",
            "postgres://u:12?user=secret@h/x",
            "postgres://u:p@a?secret=1@h/x",
            "postgres://u:p@a?x=1&secret=y@h/x?sslmode=require",
            "postgres://h/x?user=secret@else",
            "postgres:///x?password=secret",
        ] {
            let refused = read(url).unwrap_err();
            assert!(!refused.contains("secret"), "{url}: {refused}");
        }
    }

    #[test]
    fn every_name_that_is_let_through_means_something_to_the_driver() {
        for name in DRIVER {
            let value = match name {
                "sslnegotiation" => "postgres",
                "hostaddr" => "127.0.0.1",
                "target_session_attrs" => "any",
                "channel_binding" | "load_balance_hosts" => "disable",
                _ => "1",
            };
            format!("postgres://u@h?{name}={value}").parse::<Config>().unwrap();
        }
    }
}

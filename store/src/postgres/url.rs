//! Parses a `postgres://` URL with libpq's TLS parameters, which the driver does not support.
//!
//! The driver's `sslmode` has three values and no certificates. Here it has libpq's five values, and `sslrootcert`, `sslcert`
//! and `sslkey` name files. These parameters are removed from the URL before the driver parses it.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// Verification of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// No verification.
    None,
    /// The certificate must be issued by a trusted authority.
    Authority,
    /// The certificate must also be issued for the host name in the URL.
    HostName,
}

/// TLS settings of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsOptions {
    /// Value of `sslmode`.
    pub(super) mode: &'static str,
    pub(super) verification: Verification,
    /// `sslrootcert`: file with the trusted authorities, or [`SYSTEM_STORE`].
    pub(super) root: Option<PathBuf>,
    /// `sslcert` and `sslkey`: files with the client certificate and its key.
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
}

/// The parameters that the driver supports, except `sslmode`.
const DRIVER_PARAMETERS: [&str; 18] = [
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

/// Value of `sslrootcert` for the trust store of the operating system.
pub(super) const SYSTEM_STORE: &str = "system";

/// Checks a URL without opening a file or a connection. The error is a clause that follows the name of the parameter.
pub(crate) fn check(url: &str) -> Result<(), String> {
    parse(url).map(drop)
}

/// The file with the client's private key that a URL names.
pub(crate) fn client_key_file(url: &str) -> Option<PathBuf> {
    let (_, tls) = parse(url).ok()?;
    tls.client_certificate.map(|(_, key)| key)
}

/// Parses a URL without opening the files that it names. The error is a clause that follows the name of the URL; of the URL it
/// repeats only names of parameters and the value of `sslmode`.
pub(super) fn parse(url: &str) -> Result<(Config, TlsOptions), String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut root, mut cert, mut key) = (None, None, None, None);
    let (mut seen, mut others) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err("has a parameter without a value: write name=value".to_owned());
        };
        let name = percent_decode("parameter", name)?;
        let slot = match name.as_str() {
            "sslmode" => &mut mode,
            "sslrootcert" => &mut root,
            "sslcert" => &mut cert,
            "sslkey" => &mut key,
            known if DRIVER_PARAMETERS.contains(&known) => {
                // Parsed alone, so that the error can name the parameter.
                if format!("postgres://u@h?{pair}").parse::<Config>().is_err() {
                    return Err(format!("has an invalid {name}"));
                }
                others.push(pair);
                &mut None
            }
            unknown => return Err(unknown_parameter(unknown, query)),
        };
        let value = percent_decode(&name, value)?;
        if value.is_empty() && name.starts_with("ssl") {
            return Err(format!("has an empty {name}: set a value, or remove it"));
        }
        *slot = Some(value);
        // Readers could disagree about which of two values applies.
        if seen.contains(&name) {
            return Err(format!("has {name} twice: keep one"));
        }
        seen.push(name);
    }
    let system = root.as_deref() == Some(SYSTEM_STORE);
    let mode = mode.as_deref().unwrap_or(if system { "verify-full" } else { "prefer" });
    let (driver_mode, mode, verification) = match mode {
        "disable" => (SslMode::Disable, "disable", Verification::None),
        "prefer" => (SslMode::Prefer, "prefer", Verification::None),
        // As in libpq: with `sslrootcert`, `require` is the same as `verify-ca`.
        "require" if root.is_some() => (SslMode::Require, "require", Verification::Authority),
        "require" => (SslMode::Require, "require", Verification::None),
        "verify-ca" => (SslMode::Require, "verify-ca", Verification::Authority),
        "verify-full" => (SslMode::Require, "verify-full", Verification::HostName),
        other => {
            return Err(format!(
                "has sslmode {other:?}: it must be disable, prefer, require, verify-ca or verify-full"
            ));
        }
    };
    // Public authorities issue certificates for any host: without the host name, verification proves nothing.
    if system && verification != Verification::HostName {
        return Err(format!(
            "has sslmode={mode} with sslrootcert=system: set verify-full, or remove sslmode"
        ));
    }
    if verification != Verification::None && root.is_none() {
        return Err(format!(
            "has sslmode={mode} without sslrootcert: set the file with the authority's certificate, or system"
        ));
    }
    let client_certificate = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => return Err("has sslcert without sslkey: set both".to_owned()),
        (None, Some(_)) => return Err("has sslkey without sslcert: set both".to_owned()),
    };
    let rest = if others.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", others.join("&"))
    };
    // The driver takes everything before the first `@` for user and password, even a query.
    if !base.contains('@') && query.contains('@') {
        return Err(UNREADABLE.to_owned());
    }
    // The driver's message is left out: it may quote a part of the password that follows an unencoded `@`.
    let mut config: Config = rest.parse().map_err(|_| UNREADABLE.to_owned())?;
    let (hosts, ports) = (
        config.get_hosts().len().max(config.get_hostaddrs().len()),
        config.get_ports().len(),
    );
    if hosts == 0 || (ports > 1 && ports != hosts) {
        return Err("must have a host, and with several hosts a port for each".to_owned());
    }
    config.ssl_mode(driver_mode);
    let root = root.map(PathBuf::from);
    let options = TlsOptions {
        mode,
        verification,
        root,
        client_certificate,
    };
    Ok((config, options))
}

/// Whether the password in the URL has a `%`, which is decoded: a password that has one itself must be encoded.
pub(super) fn has_percent_in_password(url: &str) -> bool {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let user = base.rsplit_once('@').map_or("", |(user, _)| user);
    let user = user.split_once("://").map_or(user, |(_, user)| user);
    let password = user.split_once(':').map_or("", |(_, password)| password);
    let in_query = query
        .split('&')
        .any(|pair| pair.starts_with("password=") && pair.contains('%'));
    password.contains('%') || in_query
}

/// The error of a URL that cannot be parsed.
const UNREADABLE: &str = "cannot be read: it must have the form postgres://user:password@host:5432/name, with @ / ? in a \
    password written as %40 %2F %3F";

/// The error of an unknown parameter. It names the parameter, unless that may be the end of a password with an unencoded `?`.
fn unknown_parameter(name: &str, query: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if query.contains('@') || !plain || name.len() > 40 {
        return UNREADABLE.to_owned();
    }
    format!("has the unknown parameter {name:?}: remove it")
}

fn percent_decode(name: &str, value: &str) -> Result<String, String> {
    let invalid = || format!("has a {name} that is not percent-encoded UTF-8");
    let (mut bytes, mut rest) = (Vec::new(), value.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16));
            let (high, low) = (digit().ok_or_else(invalid)?, digit().ok_or_else(invalid)?);
            (high * 16 + low) as u8
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn sslmodes_are_parsed_and_other_parameters_reach_the_driver() {
        let url = |parameters: &str| format!("postgres://u:p%40@a:1,b:2/name?{parameters}");
        for (parameters, driver_mode, verification) in [
            ("", SslMode::Prefer, Verification::None),
            ("sslmode=disable", SslMode::Disable, Verification::None),
            ("sslmode=require", SslMode::Require, Verification::None),
            (
                "sslmode=require&sslrootcert=/ca.pem",
                SslMode::Require,
                Verification::Authority,
            ),
            (
                "sslmode=verify-ca&sslrootcert=/ca.pem",
                SslMode::Require,
                Verification::Authority,
            ),
            (
                "target_session_attrs=read-write&sslrootcert=%2Fca.pem&sslmode=verify-full",
                SslMode::Require,
                Verification::HostName,
            ),
            // Names are decoded, as in libpq.
            ("ssl%6Dode=require", SslMode::Require, Verification::None),
            // The system's trust store implies verification of the host name.
            ("sslrootcert=system", SslMode::Require, Verification::HostName),
            (
                "sslmode=verify-full&sslrootcert=syste%6d",
                SslMode::Require,
                Verification::HostName,
            ),
        ] {
            let (config, options) = parse(&url(parameters)).unwrap();
            assert_eq!(
                (config.get_ssl_mode(), options.verification),
                (driver_mode, verification),
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
            let error = parse(&url(parameters)).unwrap_err();
            assert!(error.contains(word) && !error.contains("p%40"), "{error}");
        }
    }

    #[test]
    fn percent_signs_of_a_password_are_found() {
        for (url, found) in [
            ("postgres://u:a%41b@h/x", true),
            ("postgres://u@h/x?password=a%41b", true),
            ("postgres://u:ab@h/x%41?application_name=%41", false),
            ("postgres://u%41@h/x", false),
        ] {
            assert_eq!(has_percent_in_password(url), found, "{url}");
        }
    }

    #[test]
    fn errors_omit_unencoded_passwords() {
        for url in [
            "postgres://u:pa?secret@h/x",
            "postgres://u:pa?secret=1@h/x",
            "postgres://u:12?user=secret@h/x",
            "postgres://u:p@a?secret=1@h/x",
            "postgres://u:p@a?x=1&secret=y@h/x?sslmode=require",
            "postgres://h/x?user=secret@else",
            "postgres:///x?password=secret",
        ] {
            let error = parse(url).unwrap_err();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn driver_supports_all_its_parameters() {
        for name in DRIVER_PARAMETERS {
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

//! Configuration values as `config print` shows them.

use super::error::Origin;
use super::key::Key;

/// A key, its value, and where it was set.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: &'static Key,
    /// The value, with secrets redacted; `None` if there is none.
    pub value: Option<String>,
    /// Where it was set.
    pub origin: Origin,
}

/// A database URL with the passwords in its authority and its query redacted.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Not a URL: any part of it may be secret.
        return "<redacted>".to_owned();
    };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    let (before_query, query) = rest
        .split_once('?')
        .map_or((rest, None), |(before, query)| (before, Some(query)));
    // The last `@` ends the user information: a password may hold `/` or `@` that should have been percent-encoded.
    let authority = match before_query.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:<redacted>@{host}"),
            // Some write a password of Redis there.
            None if scheme.starts_with("redis") => format!("<redacted>@{host}"),
            None => before_query.to_owned(),
        },
        None => before_query.to_owned(),
    };
    let query = query.map_or_else(String::new, |query| {
        let parameters: Vec<_> = query.split('&').map(without_secret_value).collect();
        format!("?{}", parameters.join("&"))
    });
    format!("{scheme}://{authority}{query}")
}

/// A query parameter, with its value redacted unless the name is known to be harmless.
fn without_secret_value(parameter: &str) -> String {
    const HARMLESS: [&str; 10] = [
        "sslmode",
        "sslrootcert",
        "host",
        "hostaddr",
        "port",
        "user",
        "dbname",
        "application_name",
        "target_session_attrs",
        "connect_timeout",
    ];
    match parameter.split_once('=') {
        Some((name, _)) if !HARMLESS.contains(&name) => format!("{name}=<redacted>"),
        _ => parameter.to_owned(),
    }
}

//! The configuration as `config print` shows it.

use super::error::Origin;
use super::keys::Key;

/// One key, its value and where that came from.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: &'static Key,
    /// The value, secrets redacted; `None` when there is none.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// A database URL without the password, in the authority or in the query.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Not a URL; whatever it is, it may hold anything.
        return "<redacted>".to_owned();
    };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    let (before_query, query) = rest
        .split_once('?')
        .map_or((rest, None), |(before, query)| (before, Some(query)));
    // The last `@` ends the user information: a password may hold `/` or `@` where somebody forgot to encode it.
    let place = match before_query.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:<redacted>@{host}"),
            None => before_query.to_owned(),
        },
        None => before_query.to_owned(),
    };
    let query = query.map_or_else(String::new, |query| {
        let parameters: Vec<_> = query.split('&').map(without_secret_value).collect();
        format!("?{}", parameters.join("&"))
    });
    format!("{scheme}://{place}{query}")
}

/// A parameter with the value hidden unless its name is known to be harmless.
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

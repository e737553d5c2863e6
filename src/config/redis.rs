//! `[redis]`: the Redis that nodes share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oauth2_actors::shared_redis::{RedisAddress, RedisLogin, RedisOptions};

use super::database::{Database, LISTEN_URL};
use super::key::Fallback::{Derived, Value};
use super::key::{Key, Secrecy, key, secret};
use super::parse::number;
use super::values::Values;

const URL: Key = Key {
    secrecy: Secrecy::Url,
    ..key(
        "OAUTH2_REDIS_URL",
        "redis.url",
        Derived("none: nodes notify each other through Postgres"),
        "The Redis that nodes share, 7.0 or newer: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `redis+sentinel://HOST,HOST/NAME` or \
         `redis+cluster://HOST,HOST`; `rediss` for TLS. For stores on Postgres.",
    )
};
const PASSWORD: Key = secret(
    "OAUTH2_REDIS_PASSWORD",
    "redis.password",
    "the URL's password",
    "Password of Redis. A file is read each time a connection is opened, so the password may be changed without a restart.",
);
const SENTINEL_USER: Key = key(
    "OAUTH2_REDIS_SENTINEL_USER",
    "redis.sentinel_user",
    Derived("the default user"),
    "User of the Sentinels. The user of the URL is the one of the primary.",
);
const SENTINEL_PASSWORD: Key = secret(
    "OAUTH2_REDIS_SENTINEL_PASSWORD",
    "redis.sentinel_password",
    "none",
    "Password of the Sentinels. A file is read each time they are asked.",
);
const CA_FILE: Key = key(
    "OAUTH2_REDIS_CA_FILE",
    "redis.ca_file",
    Derived("the system's certificate authorities"),
    "PEM file with the certificate authorities that may sign the certificates of Redis and of the Sentinels.",
);
const PREFIX: Key = key(
    "OAUTH2_REDIS_PREFIX",
    "redis.prefix",
    Value("oauth2_server:"),
    "The beginning of the names of all keys and channels. Issuers that share a Redis need different ones.",
);
const LIMIT_TIMEOUT: Key = key(
    "OAUTH2_REDIS_LIMIT_TIMEOUT_MS",
    "redis.limit_timeout_ms",
    Value("20"),
    "Milliseconds that Redis may take to respond to a request of a client with a rate, 1 to 250. Later, the node decides by its share of the \
     rate; the request has waited up to twice that long.",
);
const REQUIRED: Key = key(
    "OAUTH2_REDIS_REQUIRED",
    "redis.required",
    Value("false"),
    "`true`: the server does not start with a Redis that cannot be used. `false`: it warns and starts.",
);

pub(super) const KEYS: &[Key] = &[
    URL,
    PASSWORD,
    SENTINEL_USER,
    SENTINEL_PASSWORD,
    CA_FILE,
    PREFIX,
    LIMIT_TIMEOUT,
    REQUIRED,
];

/// The Redis that nodes share.
#[derive(Debug, Clone)]
pub struct Redis {
    /// How it is reached.
    pub options: RedisOptions,
    /// Whether the server does not start without it.
    pub is_required: bool,
}

/// `None`: invalid; `Some(None)`: none is configured, or the store has one node only.
#[expect(
    clippy::option_option,
    reason = "as the other sections: an outer `None` is an error that is recorded"
)]
pub(super) fn read(values: &mut Values, database: Option<&Database>, directory: &Path) -> Option<Option<Redis>> {
    let address = values.optional(&URL, RedisAddress::parse);
    let password = values.optional(&PASSWORD, |text| Ok(text.to_owned()));
    let sentinel_user = values.optional(&SENTINEL_USER, |text| Ok(text.to_owned()));
    let sentinel_password = values.optional(&SENTINEL_PASSWORD, |text| Ok(text.to_owned()));
    let authority = values.optional(&CA_FILE, |text| read_authority(&directory.join(text)));
    let prefix = values.get(&PREFIX, parse_prefix);
    let limit_timeout = values.get(&LIMIT_TIMEOUT, |text| number::<u64>(text, 1, 250));
    let is_required = values.get(&REQUIRED, |text| {
        text.parse().map_err(|_| "must be true or false".to_owned())
    });
    let (address, password, authority) = (address?, password?, authority?);
    let (prefix, limit_timeout, is_required) = (prefix?, limit_timeout?, is_required?);
    let sentinel_login = RedisLogin {
        user: sentinel_user?,
        password: sentinel_password?,
        password_file: values.file_of(&SENTINEL_PASSWORD),
    };
    let Some(address) = address else {
        if is_required {
            values.fail(&REQUIRED, &format!("needs {}", URL.env));
            return None;
        }
        for (key, is_set) in [(&PASSWORD, password.is_some()), (&CA_FILE, authority.is_some())] {
            if is_set {
                values.warn(key, &format!("has no effect without {}", URL.env));
            }
        }
        return Some(None);
    };
    if database.is_some_and(|database| database.kind() == "sqlite") {
        values.warn(&URL, "has no effect: a store on SQLite has one node");
        return Some(None);
    }
    if database.is_some_and(Database::has_listen_url) {
        values.warn(&LISTEN_URL, &format!("has no effect with {}", URL.env));
    }
    for (key, is_set) in [
        (&SENTINEL_USER, sentinel_login.user.is_some()),
        (&SENTINEL_PASSWORD, sentinel_login.password.is_some()),
    ] {
        if is_set && !address.has_sentinels() {
            values.warn(key, &format!("has no effect: {} names no Sentinels", URL.env));
        }
    }
    let mut address = address
        .with_password(password, values.file_of(&PASSWORD))
        .with_sentinel_login(sentinel_login);
    if let Some(pem) = authority {
        address = match address.with_authority(pem) {
            Ok(address) => address,
            Err(problem) => {
                values.fail(&CA_FILE, &problem);
                return None;
            }
        };
    }
    Some(Some(Redis {
        options: RedisOptions {
            address,
            prefix,
            limit_timeout: Duration::from_millis(limit_timeout),
        },
        is_required,
    }))
}

fn read_authority(path: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot be read: {}: {error}", path.display()))
}

/// Names that are safe in a pattern of an access control list.
fn parse_prefix(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:{}".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
        return Err("must be 1 to 64 letters, digits and _-.:{}".to_owned());
    }
    Ok(text.to_owned())
}

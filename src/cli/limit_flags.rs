//! The flags of limits, of a client or of a group.

use std::collections::BTreeMap;

use clap::Args;

use crate::failure::Failure;
use crate::service::clients::field::{Field, Patch};

/// The flags.
#[derive(Debug, Args)]
pub struct LimitFlags {
    /// A rate limit of an endpoint (token, introspection, revocation), such as token=100/s or token=100/s:200; may repeat.
    #[arg(long, value_name = "ENDPOINT=RATE")]
    rate_limit: Vec<String>,
    /// Whether rate limits are enforced or only counted: enforce or observe.
    #[arg(long, value_name = "MODE")]
    pub rate_limit_mode: Option<String>,
    /// A quota of tokens per hour, day or month (UTC), such as day=100000; may repeat.
    #[arg(long, value_name = "WINDOW=TOKENS")]
    quota: Vec<String>,
    /// Whether quotas are enforced or only counted: enforce or observe.
    #[arg(long, value_name = "MODE")]
    pub quota_mode: Option<String>,
}

impl LimitFlags {
    /// The rate limits that are named.
    pub fn rate_limits(&self) -> Result<Patch<String>, Failure> {
        members("--rate-limit", &self.rate_limit, |text| Ok(text.to_owned()))
    }

    /// The quotas that are named.
    pub fn quotas(&self) -> Result<Patch<i64>, Failure> {
        members("--quota", &self.quota, |text| {
            text.parse().map_err(|_| "must be a number of tokens")
        })
    }
}

/// `NAME=VALUE` flags as a merge patch of an object.
pub fn members<T>(
    flag: &str,
    given: &[String],
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Patch<T>, Failure> {
    let mut members = BTreeMap::new();
    for pair in given {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Invalid(format!("{flag} {pair} must be NAME=VALUE")))?;
        let value = read(value).map_err(|reason| Failure::Invalid(format!("{flag} {name} {reason}")))?;
        if members.insert(name.to_owned(), Some(value)).is_some() {
            return Err(Failure::Invalid(format!("{flag} names {name} twice; keep one of them")));
        }
    }
    Ok(Field::from((!members.is_empty()).then_some(members)))
}

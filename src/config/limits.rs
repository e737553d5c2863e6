//! `[limits]`: rate limits of clients without limits of their own, and the limit on failed authentications.

use oauth2_store::model::{Mode, Rate, RateLimits};

use super::key::Fallback::{Derived, Value};
use super::key::{Key, key};
use super::parse::number;
use super::values::Values;

const TOKEN: Key = key(
    "OAUTH2_LIMITS_TOKEN",
    "limits.token",
    Derived("no limit"),
    "Rate limit on token requests, per client without a limit of its own: `100/s`, `6000/m`, `10/h`, or with a burst \
     `100/s:200`.",
);
const INTROSPECTION: Key = key(
    "OAUTH2_LIMITS_INTROSPECTION",
    "limits.introspection",
    Derived("no limit"),
    "Rate limit on introspected tokens, per client without a limit of its own; each token of a batch counts.",
);
const REVOCATION: Key = key(
    "OAUTH2_LIMITS_REVOCATION",
    "limits.revocation",
    Derived("no limit"),
    "Rate limit on revocation requests, per client without a limit of its own.",
);
const MODE: Key = key(
    "OAUTH2_LIMITS_MODE",
    "limits.mode",
    Value("enforce"),
    "`enforce`: requests over a client's rate limit are rejected with 429; `observe`: they are only counted.",
);
const AUTH_FAILURES: Key = key(
    "OAUTH2_LIMITS_AUTH_FAILURES",
    "limits.auth_failures",
    Value("100/m"),
    "Rate limit on failed authentications, per client and address (IPv6: per /64 network).",
);
const AUTH_FAILURES_MODE: Key = key(
    "OAUTH2_LIMITS_AUTH_FAILURES_MODE",
    "limits.auth_failures_mode",
    Value("enforce"),
    "`enforce`: failed authentications over the limit are answered with 429; `observe`: with 401, and counted. A request with \
     the right secret is never rejected.",
);
const AUTH_FAILURE_KEYS: Key = key(
    "OAUTH2_LIMITS_AUTH_FAILURE_KEYS",
    "limits.auth_failure_keys",
    Value("1048576"),
    "Maximum number of pairs of client and address whose failures are counted, 1024 to 4194304; 16 bytes each.",
);

pub(super) const KEYS: &[Key] = &[
    TOKEN,
    INTROSPECTION,
    REVOCATION,
    MODE,
    AUTH_FAILURES,
    AUTH_FAILURES_MODE,
    AUTH_FAILURE_KEYS,
];

/// Rate limits, and whether they are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rate limits of clients without limits of their own.
    pub rates: RateLimits,
    /// Whether rate limits are enforced.
    pub mode: Mode,
    /// Rate limit on failed authentications per client and address.
    pub failures: Rate,
    /// Whether the limit on failed authentications is enforced.
    pub failures_mode: Mode,
    /// Maximum number of pairs of client and address whose failures are counted.
    pub failure_keys: usize,
}

impl Limits {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let token = values.optional(&TOKEN, str::parse::<Rate>);
        let introspection = values.optional(&INTROSPECTION, str::parse::<Rate>);
        let revocation = values.optional(&REVOCATION, str::parse::<Rate>);
        let mode = values.get(&MODE, str::parse);
        let failures = values.get(&AUTH_FAILURES, str::parse);
        let failures_mode = values.get(&AUTH_FAILURES_MODE, str::parse);
        let failure_keys = values.get(&AUTH_FAILURE_KEYS, |text| number(text, 1024, 4_194_304));
        Some(Self {
            rates: RateLimits {
                token: token?,
                introspection: introspection?,
                revocation: revocation?,
            },
            mode: mode?,
            failures: failures?,
            failures_mode: failures_mode?,
            failure_keys: failure_keys?,
        })
    }
}

//! `[quotas]`: quotas of clients without quotas of their own.

use oauth2_store::model::{self, Mode};

use super::key::Fallback::{Derived, Value};
use super::key::{Key, key};
use super::parse::number;
use super::values::Values;

const HOUR: Key = key(
    "OAUTH2_QUOTAS_HOUR",
    "quotas.hour",
    Derived("no quota"),
    "Tokens issued in a clock hour (UTC), per client without a quota of its own.",
);
const DAY: Key = key(
    "OAUTH2_QUOTAS_DAY",
    "quotas.day",
    Derived("no quota"),
    "Tokens issued in a calendar day (UTC), per client without a quota of its own.",
);
const MONTH: Key = key(
    "OAUTH2_QUOTAS_MONTH",
    "quotas.month",
    Derived("no quota"),
    "Tokens issued in a calendar month (UTC), per client without a quota of its own.",
);
const MODE: Key = key(
    "OAUTH2_QUOTAS_MODE",
    "quotas.mode",
    Value("enforce"),
    "`enforce`: token requests over a client's quota are rejected with 429; `observe`: they are only counted.",
);
const STILL_VALID_TOKENS: Key = key(
    "OAUTH2_QUOTAS_STILL_VALID_TOKENS",
    "quotas.still_valid_tokens",
    Value("1000"),
    "Number of unexpired tokens above which a client is counted in the metric `clients_not_caching`.",
);

pub(super) const KEYS: &[Key] = &[HOUR, DAY, MONTH, MODE, STILL_VALID_TOKENS];

/// Quotas, and whether they are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Quotas of clients without quotas of their own.
    pub quotas: model::Quotas,
    /// Whether quotas are enforced.
    pub mode: Mode,
    /// Number of unexpired tokens above which a client is counted in the metric `clients_not_caching`.
    pub unexpired_threshold: u64,
}

impl Quotas {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let mut quota = |key| values.optional(key, |text| number::<u64>(text, 1, (1 << 53) - 1));
        let (hour, day, month) = (quota(&HOUR), quota(&DAY), quota(&MONTH));
        let mode = values.get(&MODE, str::parse);
        let unexpired_threshold = values.get(&STILL_VALID_TOKENS, |text| number(text, 1, u64::from(u32::MAX)));
        Some(Self {
            quotas: model::Quotas {
                hour: hour?,
                day: day?,
                month: month?,
            },
            mode: mode?,
            unexpired_threshold: unexpired_threshold?,
        })
    }
}

//! `[limits]`: how often clients may ask where they have no rate of their own, and how often they may fail.

use oauth2_actors::model::{Mode, Rate, RateLimits};

use super::values::{Values, number};

/// Rates, and whether they refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rates of clients that have none of their own.
    pub rates: RateLimits,
    /// Whether rates refuse.
    pub mode: Mode,
    /// Failed authentications that a client may have at one address.
    pub failures: Rate,
    /// Whether more of them are refused as such.
    pub failures_mode: Mode,
    /// Clients and addresses with failures that are kept count of.
    pub failure_keys: usize,
}

impl Limits {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let token = values.optional("limits.token", str::parse::<Rate>);
        let introspection = values.optional("limits.introspection", str::parse::<Rate>);
        let revocation = values.optional("limits.revocation", str::parse::<Rate>);
        let mode = values.get("limits.mode", str::parse);
        let failures = values.get("limits.auth_failures", str::parse);
        let failures_mode = values.get("limits.auth_failures_mode", str::parse);
        let failure_keys = values.get("limits.auth_failure_keys", |text| number(text, 1024, 4_194_304));
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

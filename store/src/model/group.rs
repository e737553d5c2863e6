//! Groups of clients, such as tenants or plans: limits that hold for all of a group's clients together, and what they used.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::policy::{Mode, Quotas, RateLimits};

/// Limits of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupLimits {
    /// Rate limits.
    pub rate_limits: RateLimits,
    /// Mode of the rate limits; `None` = the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_mode: Option<Mode>,
    /// Token quotas.
    pub quotas: Quotas,
    /// Mode of the quotas; `None` = the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_mode: Option<Mode>,
}

/// A group with limits. Clients may name a group that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, which clients have as `group`.
    pub name: Arc<str>,
    /// Its limits.
    pub limits: GroupLimits,
    /// When they were set, Unix seconds.
    pub updated_at: i64,
    /// What its limits are counted under, where clients are counted under their ids.
    pub key: Arc<str>,
}

impl Group {
    /// A group with these limits.
    pub fn new(name: impl Into<Arc<str>>, limits: GroupLimits, updated_at: i64) -> Self {
        let name = name.into();
        Self {
            key: Self::key_of(&name).into(),
            name,
            limits,
            updated_at,
        }
    }

    /// What the limits of a group are counted under. No client has such an id: a tab is not a printable character.
    pub fn key_of(name: &str) -> String {
        format!("\t{name}")
    }

    /// Whether something is counted under this key for a group, not for a client.
    pub fn is_key(key: &str) -> bool {
        key.starts_with('\t')
    }
}

/// How many days the usage of a group is kept: 13 months.
pub const GROUP_USAGE_DAYS: i64 = 397;

/// Tokens issued to the clients of a group on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupUsage {
    /// Beginning of the day (UTC), Unix seconds.
    pub day: i64,
    /// The group.
    pub group: Arc<str>,
    /// Number of tokens: the total when read, the increment when written.
    pub tokens: u64,
}

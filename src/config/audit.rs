//! `[audit]`: retention of the audit log, and rows of rejections.

use super::key::Fallback::Value;
use super::key::{Key, key};
use super::parse::number;
use super::values::Values;

const RETENTION_DAYS: Key = key(
    "OAUTH2_AUDIT_RETENTION_DAYS",
    "audit.retention_days",
    Value("400"),
    "Days that audit rows are kept, 0 to 36500; 0 = forever.",
);
const AUTH_FAILURES: Key = key(
    "OAUTH2_AUDIT_AUTH_FAILURES",
    "audit.auth_failures",
    Value("60"),
    "Failed authentications of clients, rejected callers of the admin API, and rejected changes per minute that get an audit row each, 0 to 10000 of each kind; further ones in that minute share one row per kind.",
);

pub(super) const KEYS: &[Key] = &[RETENTION_DAYS, AUTH_FAILURES];

/// Retention of the audit log, and its rows of rejections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Days that rows are kept; `None` = forever.
    pub retention_days: Option<u32>,
    /// Rejections of each kind per minute that get a row each.
    pub auth_failures: usize,
}

impl Audit {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let retention: Option<u32> = values.get(&RETENTION_DAYS, |text| number(text, 0, 36_500));
        let auth_failures = values.get(&AUTH_FAILURES, |text| number(text, 0, 10_000));
        Some(Self {
            retention_days: retention.map(|days| (days > 0).then_some(days))?,
            auth_failures: auth_failures?,
        })
    }
}

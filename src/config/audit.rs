//! `[audit]`: what the audit log keeps.

use super::values::{Values, number};

/// What the audit log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Days that rows are kept; `None` = for ever.
    pub retention_days: Option<u32>,
    /// Failed authentications of a minute that have rows of their own.
    pub auth_failures: usize,
}

impl Audit {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let retention: Option<u32> = values.get("audit.retention_days", |text| number(text, 0, 36_500));
        let auth_failures = values.get("audit.auth_failures", |text| number(text, 0, 10_000));
        Some(Self {
            retention_days: retention.map(|days| (days > 0).then_some(days))?,
            auth_failures: auth_failures?,
        })
    }
}

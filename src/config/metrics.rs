//! `[metrics]`: whether `/metrics` is served.

use super::key::Fallback::Value;
use super::key::{Key, key};
use super::values::Values;

const ENABLED: Key = key(
    "OAUTH2_METRICS_ENABLED",
    "metrics.enabled",
    Value("true"),
    "`false`: `/metrics` is empty, and without an export over OTLP nothing is counted.",
);

pub(super) const KEYS: &[Key] = &[ENABLED];

/// Whether `/metrics` has metrics.
pub(super) fn read(values: &mut Values) -> Option<bool> {
    values.get(&ENABLED, |text| {
        text.parse().map_err(|_| "must be true or false".to_owned())
    })
}

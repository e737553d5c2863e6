//! Whether the signing keys can sign, and whether their rotation is due.

use std::time::Duration;

use oauth2_actors::runtime::clock::{Clock, SystemClock};
use oauth2_store::StoreError;
use oauth2_store::model::StoredKey;

use super::check::{Check, Status};
use crate::keys::keyring::Keyring;
use crate::keys::lifecycle::{KeyTiming, Phase, key_states};
use crate::keys::wrapping::KeyWrapper;
use crate::service::error::{Result, ServiceError};

/// A rotation that is overdue by less is left to the server, milliseconds: as the alert.
const MAX_OVERDUE_MS: i64 = 3_600_000;

const DAY_MS: i64 = 86_400_000;

/// Inputs of the checks besides the stored keys.
pub(super) struct Expected<'a> {
    pub(super) wrapper: &'a Result<Option<KeyWrapper>>,
    pub(super) issuer: &'a str,
    pub(super) timing: &'a KeyTiming,
}

/// Checks the stored keys.
pub(super) fn check(stored: std::result::Result<Vec<StoredKey>, StoreError>, expected: &Expected<'_>) -> Vec<Check> {
    let failed = |error: ServiceError| Check::new("keys", Status::Failed, error.to_string());
    let checks = match stored {
        Ok(keys) if keys.is_empty() => {
            let detail = "there are none: the first start creates them";
            vec![Check::new("keys", Status::Skipped, detail)]
        }
        Ok(keys) => vec![
            use_of(&keys, expected).unwrap_or_else(failed),
            ages(&keys, expected.timing),
        ],
        Err(error) => vec![failed(error.into())],
    };
    let with_runbook = |check: Check| check.with_runbook("OAuth2KeyRotationOverdue");
    checks.into_iter().map(with_runbook).collect()
}

/// Whether the key encryption key unwraps them.
fn use_of(keys: &[StoredKey], expected: &Expected<'_>) -> Result<Check> {
    let wrapper = expected.wrapper.clone()?.ok_or_else(|| {
        ServiceError::Key("the key encryption key that unwraps the signing keys is missing".to_owned())
    })?;
    let (_, errors) = Keyring::open_lenient(expected.issuer, &wrapper, keys, None, Duration::ZERO);
    if !errors.is_empty() {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let detail = format!(
            "{} of {} signing keys cannot sign: {}",
            errors.len(),
            keys.len(),
            reasons.join("; ")
        );
        return Ok(Check::new("keys", Status::Failed, detail));
    }
    let stale = keys.iter().filter(|key| !wrapper.is_current(key)).count();
    if stale > 0 {
        let detail = format!(
            "{stale} of {} signing keys are wrapped under the previous key encryption key; run: oauth2_server key rewrap",
            keys.len()
        );
        return Ok(Check::new("keys", Status::Warning, detail));
    }
    let previous = if wrapper.previous.is_some() {
        "; OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS is not needed any more"
    } else {
        ""
    };
    let detail = format!("{} signing keys unwrap{previous}", keys.len());
    Ok(Check::new("keys", Status::Ok, detail))
}

/// How old the keys that sign are.
fn ages(keys: &[StoredKey], timing: &KeyTiming) -> Check {
    let now_ms = SystemClock.unix_ms() as i64;
    let mut status = Status::Ok;
    let mut ages = Vec::new();
    for state in key_states(keys, now_ms, timing) {
        if state.phase != Phase::Signing {
            continue;
        }
        let (algorithm, age_ms) = (state.key.algorithm.as_str(), now_ms - state.key.signs_from_ms);
        let due_ms = timing.rotation.map(|rotation| rotation.as_millis() as i64 - age_ms);
        let rotation = match due_ms {
            None => "by hand".to_owned(),
            Some(due_ms) if due_ms < -MAX_OVERDUE_MS => {
                status = Status::Warning;
                "overdue: a server rotates it once it runs".to_owned()
            }
            Some(due_ms) => format!("in {} days", due_ms.max(0) / DAY_MS),
        };
        ages.push(format!(
            "{algorithm} signs for {} days, rotation {rotation}",
            age_ms / DAY_MS
        ));
    }
    Check::new("key ages", status, ages.join("; "))
}

//! `[keys]`, without the key encryption key: rotation and publication of signing keys.

use std::time::Duration;

use oauth2_actors::freshness::STALENESS_BUDGET;
use oauth2_store::model::succession::MAX_KEYS_PER_ALGORITHM;

use super::key::Fallback::Value;
use super::key::{Key, key};
use super::parse::{duration, number};
use super::tokens::{ACCESS_TOKEN_EXPIRATION, Tokens};
use super::values::Values;
use crate::keys::lifecycle::KeyTiming;

const ROTATION_DAYS: Key = key(
    "OAUTH2_KEYS_ROTATION_DAYS",
    "keys.rotation_days",
    Value("90"),
    "Days until a signing key is rotated automatically, 0 to 3650; 0 = no automatic rotation.",
);
const JWKS_MAX_AGE: Key = key(
    "OAUTH2_KEYS_JWKS_MAX_AGE",
    "keys.jwks_max_age",
    Value("300"),
    "Seconds that verifiers may cache the published keys, 0 to 86400. A new key is published for this time plus the clock skew \
     before it signs.",
);
const CLOCK_SKEW: Key = key(
    "OAUTH2_KEYS_CLOCK_SKEW",
    "keys.clock_skew",
    Value("60"),
    "Seconds (or `500ms`) by which clocks may differ and nodes may lag during a key rotation, 0 to 3600.",
);

pub(super) const KEYS: &[Key] = &[ROTATION_DAYS, JWKS_MAX_AGE, CLOCK_SKEW];

/// `tokens`: the default lifetime of access tokens bounds how fast keys may be rotated.
pub(super) fn read(values: &mut Values, tokens: Option<&Tokens>) -> Option<KeyTiming> {
    let rotation = values.get(&ROTATION_DAYS, parse_days);
    let max_age = values.get(&JWKS_MAX_AGE, |text| number::<u64>(text, 0, 86_400));
    let skew = values.get(&CLOCK_SKEW, |text| duration(text, 3600));
    let timing = KeyTiming {
        max_age: Duration::from_secs(max_age?),
        skew: skew?,
        staleness: STALENESS_BUDGET,
        rotation: rotation?,
    };
    // Otherwise the next key would be due before this one has begun to sign.
    if timing.rotation.is_some_and(|rotation| rotation <= timing.publication()) {
        let problem = format!(
            "must be longer than {} plus {}, or 0 (no automatic rotation)",
            JWKS_MAX_AGE.env, CLOCK_SKEW.env
        );
        values.fail(&ROTATION_DAYS, &problem);
        return None;
    }
    // Clients may have longer lifetimes of their own, which are not known here.
    if tokens.is_some_and(|tokens| timing.exceeds_key_limit(Duration::from_secs(tokens.access_token_lifetime.into()))) {
        let problem = format!(
            "must be longer: keys are kept until their tokens have expired ({}), and an algorithm may have at most {MAX_KEYS_PER_ALGORITHM} \
             keys",
            ACCESS_TOKEN_EXPIRATION.env
        );
        values.fail(&ROTATION_DAYS, &problem);
        return None;
    }
    Some(timing)
}

/// A number of days; `None` for 0.
fn parse_days(text: &str) -> Result<Option<Duration>, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let days: Option<f64> = text.parse().ok().filter(|days| plain && (0.0..=3650.0).contains(days));
    let days = days.ok_or("must be a number of days from 0 (no automatic rotation) to 3650")?;
    Ok((days > 0.0).then(|| Duration::from_secs_f64(days * 86_400.0)))
}

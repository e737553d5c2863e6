//! `[keys]`: how long signing keys are published, sign, and are kept.

use std::time::Duration;

use oauth2_actors::model::succession::MOST_KEYS;

use super::tokens::Tokens;
use super::values::{Values, duration, number};
use crate::tokens::lifecycle::Timing;

/// `tokens`: what tokens are where the client does not say.
pub(super) fn read(values: &mut Values, tokens: Option<&Tokens>) -> Option<Timing> {
    let rotation = values.get("keys.rotation_days", days);
    let max_age = values.get("keys.jwks_max_age", |text| number::<u64>(text, 0, 86_400));
    let skew = values.get("keys.clock_skew", |text| duration(text, 3600));
    let timing = Timing {
        max_age: Duration::from_secs(max_age?),
        skew: skew?,
        rotation: rotation?,
    };
    // A key would be followed before it has begun to sign.
    if timing.rotation.is_some_and(|rotation| rotation <= timing.publication()) {
        values.fail_key(
            "keys.rotation_days",
            "must be longer than OAUTH2_KEYS_JWKS_MAX_AGE and OAUTH2_KEYS_CLOCK_SKEW together, or 0 for never",
        );
        return None;
    }
    // The longer lives that clients may have are not known here.
    if tokens.is_some_and(|tokens| timing.crowds(Duration::from_secs(tokens.access_token_lifetime.into()))) {
        values.fail_key(
            "keys.rotation_days",
            &format!(
                "is too short: keys are kept until their tokens have expired, and in OAUTH2_ACCESS_TOKEN_EXPIRATION more than \
                 the {MOST_KEYS} that an algorithm may have would come"
            ),
        );
        return None;
    }
    Some(timing)
}

/// A number of days, `None` for 0.
fn days(text: &str) -> Result<Option<Duration>, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let days: Option<f64> = text.parse().ok().filter(|days| plain && (0.0..=3650.0).contains(days));
    let days = days.ok_or("must be a number of days from 0 (never) to 3650")?;
    Ok((days > 0.0).then(|| Duration::from_secs_f64(days * 86_400.0)))
}

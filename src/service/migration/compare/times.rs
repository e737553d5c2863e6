//! Times of tokens and introspections: from when and until when a verifier accepts a token.

use serde_json::{Map, Value};

use super::side::{Naming, Side};
use crate::service::migration::report::Difference;

/// Seconds by which lifetimes may differ.
const LIFETIME_TOLERANCE: f64 = 1.0;

/// Seconds by which the clocks of an issuer and of this machine may differ.
const CLOCK_TOLERANCE: f64 = 5.0;

/// Compares the lifetimes, and whether a token is valid when it arrives.
pub(super) fn compare(naming: &Naming, old: &Side<'_>, new: &Side<'_>) -> Vec<Difference> {
    let Naming { prefix, noticed, .. } = naming;
    let mut found = Vec::new();
    for name in ["nbf", "iat"] {
        let (before, after) = (delay(old, name), delay(new, name));
        let is_delayed = after > before + LIFETIME_TOLERANCE;
        // Where this machine's clock is wrong, both issuers differ from it alike.
        let by_clock = ahead(old, name).or(ahead(old, "iat")).unwrap_or(0.0).max(0.0);
        let wait = ahead(new, name).unwrap_or(0.0).max(after);
        if is_delayed || wait > by_clock.max(before) + CLOCK_TOLERANCE {
            found.push(noticed(
                format!("{prefix}.{name}.future"),
                format!("{} s in the future", before.max(by_clock)),
                format!("{wait} s in the future"),
            ));
        }
    }
    if let (Some(before), Some(after)) = (ahead(old, "exp"), ahead(new, "exp"))
        && before > CLOCK_TOLERANCE
        && after <= 0.0
    {
        found.push(noticed(
            format!("{prefix}.exp.past"),
            format!("in {before} s"),
            format!("{} s ago", -after),
        ));
    }
    if let (Some(before), Some(after)) = (lifetime(old.claims), lifetime(new.claims))
        && (before - after).abs() > LIFETIME_TOLERANCE
    {
        found.push(noticed(
            naming.lifetime.to_owned(),
            format!("{before} s"),
            format!("{after} s"),
        ));
    }
    found
}

/// The seconds by which a time is later than the time of issue, both by the issuer's own clock.
fn delay(side: &Side<'_>, name: &str) -> f64 {
    let delay = seconds(side.claims, name).zip(seconds(side.claims, "iat"));
    delay.map_or(0.0, |(at, issued)| (at - issued).max(0.0))
}

/// The seconds by which a time is later than the arrival of the token, by the clock of this machine.
fn ahead(side: &Side<'_>, name: &str) -> Option<f64> {
    Some(seconds(side.claims, name)? - side.received_at as f64)
}

fn lifetime(claims: &Map<String, Value>) -> Option<f64> {
    Some(seconds(claims, "exp")? - seconds(claims, "iat")?)
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Option<f64> {
    claims.get(name)?.as_f64()
}

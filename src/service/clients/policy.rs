//! Rate limits, quotas and private claims of a client.
//!
//! Each of the three is an object that is merged member by member (RFC 7396): `null` removes a member, and `null` in place of the
//! object removes all of them.

use oauth2_store::model::{Endpoint, Mode, Quotas, Rate, RateLimits, StaticClaims};
use serde_json::{Map, Value};

use super::checks;
use super::field::{Field, Patch, set};
use crate::service::error::InvalidMetadata;
use crate::tokens::claims::RESERVED_CLAIMS;

/// The most claims of a client.
const MOST_CLAIMS: usize = 32;

/// The longest JSON of its claims, bytes.
const MAX_CLAIMS: usize = 1024;

/// The deepest nesting of a claim: verifiers have bounds of their own.
const MAX_DEPTH: usize = 4;

/// The longest name of a claim, bytes.
const MAX_CLAIM_NAME: usize = 64;

/// The largest quota: every store and every client of the API can represent it.
const MAX_QUOTA: u64 = (1 << 53) - 1;

const ENDPOINTS: [&str; 3] = [
    Endpoint::Token.as_str(),
    Endpoint::Introspection.as_str(),
    Endpoint::Revocation.as_str(),
];

/// Changes of the limits of a client or a group.
#[derive(Debug)]
pub(in crate::service) struct LimitPatches<'a> {
    /// Per endpoint.
    pub(in crate::service) rate_limits: &'a Patch<String>,
    /// `enforce` or `observe`.
    pub(in crate::service) rate_limit_mode: &'a Field<String>,
    /// Per window.
    pub(in crate::service) quotas: &'a Patch<i64>,
    /// `enforce` or `observe`.
    pub(in crate::service) quota_mode: &'a Field<String>,
}

impl LimitPatches<'_> {
    /// Applies them, each limit with its mode.
    pub(in crate::service) fn apply(
        &self,
        (rates, rate_mode): (&mut RateLimits, &mut Option<Mode>),
        (tokens, quota_mode): (&mut Quotas, &mut Option<Mode>),
    ) -> Result<(), InvalidMetadata> {
        rate_limits(self.rate_limits, rates)?;
        set(rate_mode, self.rate_limit_mode, |name| {
            checks::named("rate_limit_mode", name)
        })?;
        quotas(self.quotas, tokens)?;
        set(quota_mode, self.quota_mode, |name| checks::named("quota_mode", name))
    }
}

fn rate_limits(patch: &Patch<String>, limits: &mut RateLimits) -> Result<(), InvalidMetadata> {
    merge(
        "rate_limits",
        patch,
        limits,
        &ENDPOINTS,
        RateLimits::by_name_mut,
        |text| text.parse::<Rate>(),
    )
}

fn quotas(patch: &Patch<i64>, quotas: &mut Quotas) -> Result<(), InvalidMetadata> {
    merge("quotas", patch, quotas, &Quotas::NAMES, Quotas::by_name_mut, |count| {
        quota(*count)
    })
}

/// Merges a patch into settings with a closed set of names.
fn merge<S: Default, T, U>(
    field: &'static str,
    patch: &Patch<T>,
    settings: &mut S,
    names: &[&str],
    member: impl for<'a> Fn(&'a mut S, &str) -> Option<&'a mut Option<U>>,
    check: impl Fn(&T) -> Result<U, String>,
) -> Result<(), InvalidMetadata> {
    let members = match patch {
        Field::Absent => return Ok(()),
        Field::Null => {
            *settings = S::default();
            return Ok(());
        }
        Field::Value(members) => members,
    };
    for (name, value) in members {
        let place = member(settings, name)
            .ok_or_else(|| InvalidMetadata::new(field, format!("must have members of {} only", names.join(", "))))?;
        *place = value
            .as_ref()
            .map(&check)
            .transpose()
            .map_err(|reason| InvalidMetadata::new(field, format!("member {name} {reason}")))?;
    }
    Ok(())
}

fn quota(count: i64) -> Result<u64, String> {
    u64::try_from(count)
        .ok()
        .filter(|count| (1..=MAX_QUOTA).contains(count))
        .ok_or_else(|| format!("must be 1 to {MAX_QUOTA} tokens"))
}

pub(super) fn reuse(percent: i64) -> Result<u8, InvalidMetadata> {
    u8::try_from(percent)
        .ok()
        .filter(|percent| (1..=90).contains(percent))
        .ok_or_else(|| InvalidMetadata::new("reuse_percent", "must be 1 to 90 percent of a token's lifetime"))
}

pub(super) fn claims(patch: &Patch<Value>, claims: &mut StaticClaims) -> Result<(), InvalidMetadata> {
    let members = match patch {
        Field::Absent => return Ok(()),
        Field::Null => {
            *claims = StaticClaims::default();
            return Ok(());
        }
        Field::Value(members) => members,
    };
    let mut merged = claims.to_map();
    for (name, value) in members {
        check_name(name)?;
        match value {
            Some(value) => merged.insert(name.clone(), value.clone()),
            None => merged.remove(name),
        };
    }
    check_size(&merged)?;
    *claims = merged.into();
    Ok(())
}

fn check_name(name: &str) -> Result<(), InvalidMetadata> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte));
    if !plain || !(1..=MAX_CLAIM_NAME).contains(&name.len()) {
        let reason = format!("must have names of 1 to {MAX_CLAIM_NAME} characters of A-Z a-z 0-9 _ - . : /");
        return Err(InvalidMetadata::new("claims", reason));
    }
    if RESERVED_CLAIMS.contains(&name) {
        return Err(InvalidMetadata::new(
            "claims",
            format!("must not contain {name}: the server sets it"),
        ));
    }
    Ok(())
}

fn check_size(claims: &Map<String, Value>) -> Result<(), InvalidMetadata> {
    if let Some((name, _)) = claims.iter().find(|(_, value)| depth(value) > MAX_DEPTH) {
        return Err(InvalidMetadata::new(
            "claims",
            format!("must not nest {name} more than {MAX_DEPTH} deep"),
        ));
    }
    if claims.values().any(has_nul) {
        return Err(InvalidMetadata::new("claims", "must not contain the character U+0000"));
    }
    let length = Value::Object(claims.clone()).to_string().len();
    if claims.len() > MOST_CLAIMS || (!claims.is_empty() && length > MAX_CLAIMS) {
        let reason = format!("must be at most {MOST_CLAIMS}, of {MAX_CLAIMS} bytes of JSON together");
        return Err(InvalidMetadata::new("claims", reason));
    }
    Ok(())
}

/// Whether a text within the value has a NUL, which Postgres stores in no JSON.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

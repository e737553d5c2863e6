//! What a client is held to beyond its registration, and what is said of it in its tokens.
//!
//! Most clients have none of it, so a client carries one pointer to all of it. The store keeps it as one JSON document.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::names;

names! {
    /// Whether a limit refuses what passes it.
    Mode {
        /// Counted only.
        Observe = "observe",
        /// Refused with 429.
        Enforce = "enforce",
    }
}

names! {
    /// What a client may be limited at.
    Endpoint {
        /// `POST /oauth/token`.
        Token = "token",
        /// `POST /oauth/introspect` and its batch, each token of which counts.
        Introspection = "introspection",
        /// `POST /oauth/revoke`.
        Revocation = "revocation",
    }
}

names! {
    /// What a rate is counted by.
    Period {
        /// A second.
        Second = "s",
        /// A minute.
        Minute = "m",
        /// An hour.
        Hour = "h",
    }
}

impl Period {
    /// Its length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// So many requests a period, and how many may come at once. Spelled `100/s`, `6000/m`, `10/h`, with a burst of its own
/// `100/s:200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Requests a period.
    pub count: NonZeroU32,
    /// The period.
    pub per: Period,
    /// Requests that may come at once after a pause; `None` = as many as a period has.
    pub burst: Option<NonZeroU32>,
}

/// The longest that a bucket may take to be full again, in seconds.
const LONGEST_REFILL: u64 = 31 * 86_400;

impl Rate {
    /// Requests that may come at once after a pause.
    pub fn burst(self) -> NonZeroU32 {
        self.burst.unwrap_or(self.count)
    }

    /// Seconds until an empty bucket is full again, rounded up.
    pub fn refill_seconds(self) -> u64 {
        let (burst, count) = (u64::from(self.burst().get()), u64::from(self.count.get()));
        (burst * u64::from(self.per.seconds())).div_ceil(count)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per)?;
        self.burst.map_or(Ok(()), |burst| write!(f, ":{burst}"))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (rate, burst) = text
                .split_once(':')
                .map_or((text, None), |(rate, burst)| (rate, Some(burst)));
            let (count, per) = rate.split_once('/')?;
            Some(Self {
                count: number(count)?,
                per: per.parse().ok()?,
                burst: burst.map_or(Some(None), |burst| number(burst).map(Some))?,
            })
        };
        let rate = parse().ok_or(
            "must be a number (up to 1000000000) of requests a second, minute or hour, such as 100/s, 6000/m or 10/h, with a \
             burst of its own 100/s:200",
        )?;
        if rate.refill_seconds() > LONGEST_REFILL {
            return Err("has a burst that takes more than 31 days to come back".to_owned());
        }
        Ok(rate)
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<NonZeroU32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number: NonZeroU32 = text.parse().ok().filter(|_| plain)?;
    // A request more often than each nanosecond is not told from none at all.
    (number.get() <= 1_000_000_000).then_some(number)
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.description(Some(
            "So many requests a second, minute or hour, with or without a burst of its own.",
        ))
        .pattern(Some("^[0-9]{1,10}/[smh](:[0-9]{1,10})?$"))
        .examples(["100/s", "6000/m", "100/s:200"])
        .into()
    }
}

impl ToSchema for Rate {}

/// How often a client may ask each endpoint. What is left out is the server's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateLimits {
    /// `POST /oauth/token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Rate>,
    /// `POST /oauth/introspect` and its batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<Rate>,
    /// `POST /oauth/revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Rate>,
}

impl RateLimits {
    /// The limit at an endpoint.
    pub fn at(&self, endpoint: Endpoint) -> Option<Rate> {
        match endpoint {
            Endpoint::Token => self.token,
            Endpoint::Introspection => self.introspection,
            Endpoint::Revocation => self.revocation,
        }
    }

    /// The place of the limit of this name.
    pub fn named(&mut self, name: &str) -> Option<&mut Option<Rate>> {
        match name.parse().ok()? {
            Endpoint::Token => Some(&mut self.token),
            Endpoint::Introspection => Some(&mut self.introspection),
            Endpoint::Revocation => Some(&mut self.revocation),
        }
    }
}

/// How many tokens a client may be issued in each calendar window (UTC). What is left out is the server's
/// default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quotas {
    /// From one full hour to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<u64>,
    /// From midnight to midnight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<u64>,
    /// From the first of a month to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<u64>,
}

impl Quotas {
    /// The names of the windows, as they are spelled in JSON and on the command line.
    pub const NAMES: [&'static str; 3] = ["hour", "day", "month"];

    /// The place of the quota of this window.
    pub fn named(&mut self, name: &str) -> Option<&mut Option<u64>> {
        match name {
            "hour" => Some(&mut self.hour),
            "day" => Some(&mut self.day),
            "month" => Some(&mut self.month),
            _ => None,
        }
    }
}

/// Claims that every token of a client carries, such as `tenant` or `plan`. Names and size were checked at registration.
///
/// Kept as they are written into a token: the members of a JSON object, without its braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticClaims(Option<Arc<str>>);

impl StaticClaims {
    /// The members as text; `None` where there are none.
    pub fn members(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }

    /// The claims by their names.
    pub fn to_map(&self) -> Map<String, Value> {
        let text = self
            .0
            .as_ref()
            .map_or_else(|| "{}".to_owned(), |members| format!("{{{members}}}"));
        // It was printed from a map.
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for StaticClaims {
    fn from(map: Map<String, Value>) -> Self {
        let text = Value::Object(map).to_string();
        let members = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        Self(members.filter(|members| !members.is_empty()).map(Into::into))
    }
}

impl Serialize for StaticClaims {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StaticClaims {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

/// All that is said of a client beside its registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How often it may ask.
    pub rate_limits: RateLimits,
    /// Whether that refuses; `None` = the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_mode: Option<Mode>,
    /// How many tokens it may be issued.
    pub quotas: Quotas,
    /// Whether that refuses; `None` = the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_mode: Option<Mode>,
    /// In the first so many percent of a token's life the same request gets the same token again; `None` = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_percent: Option<u8>,
    /// What its tokens say beside the standard claims.
    pub claims: StaticClaims,
}

static NONE: LazyLock<Policy> = LazyLock::new(Policy::default);

impl Policy {
    /// The policy of a client of which nothing is said.
    pub fn none() -> &'static Self {
        &NONE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_rate_has_one_spelling() {
        for text in ["1/s", "6000/m", "10/h", "100/s:200", "100/s:1"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "0/s",
            "1/d",
            "+1/s",
            "1",
            "1/s:",
            "1/s:0",
            "1/s:2:3",
            "4294967296/s",
            "1000000001/s",
            "1/h:745",
            "1 /s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_said_is_an_empty_document() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), *Policy::none());
    }
}

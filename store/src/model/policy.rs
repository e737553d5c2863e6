//! Optional settings of a client: rate limits, quotas, token reuse and static claims.
//!
//! Most clients have none, so a client holds one pointer to all of them. The store keeps them as one JSON document.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names::names;

names! {
    /// Whether requests over a limit are rejected.
    Mode {
        /// They pass and are counted.
        Observe = "observe",
        /// They are rejected with 429.
        Enforce = "enforce",
    }
}

names! {
    /// Endpoint with a rate limit.
    Endpoint {
        /// `POST /oauth/token`.
        Token = "token",
        /// `POST /oauth/introspect` and its batch; each token of a batch counts.
        Introspection = "introspection",
        /// `POST /oauth/revoke`.
        Revocation = "revocation",
    }
}

names! {
    /// Period of a rate.
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
    /// Length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// Requests per period, with an optional burst. Text form: `100/s`, `6000/m`, `10/h`, with a burst `100/s:200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Requests per period.
    pub count: NonZeroU32,
    /// The period.
    pub per: Period,
    /// Burst; `None` = `count`. See [`Self::burst`].
    pub burst: Option<NonZeroU32>,
}

/// Maximum time in which an empty bucket refills, in seconds.
const MAX_REFILL_SECONDS: u64 = 31 * 86_400;

impl Rate {
    /// Size of the bucket: requests that may arrive at once when it is full.
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
            "must be requests per second, minute or hour (1 to 1000000000), such as 100/s, 6000/m or 10/h, or with a burst \
             100/s:200",
        )?;
        if rate.refill_seconds() > MAX_REFILL_SECONDS {
            return Err("has a burst that takes more than 31 days to refill".to_owned());
        }
        Ok(rate)
    }
}

/// Accepts digits only: `parse` alone would accept a sign.
fn number(text: &str) -> Option<NonZeroU32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number: NonZeroU32 = text.parse().ok().filter(|_| plain)?;
    // The rate limiter counts in nanoseconds: a shorter interval would be no limit.
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

/// Rate limits of a client per endpoint; `None` = the server's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The limit of an endpoint.
    pub fn at(&self, endpoint: Endpoint) -> Option<Rate> {
        match endpoint {
            Endpoint::Token => self.token,
            Endpoint::Introspection => self.introspection,
            Endpoint::Revocation => self.revocation,
        }
    }

    /// The limit of the endpoint with this name; `None`: there is no such endpoint.
    pub fn by_name_mut(&mut self, name: &str) -> Option<&mut Option<Rate>> {
        match name.parse().ok()? {
            Endpoint::Token => Some(&mut self.token),
            Endpoint::Introspection => Some(&mut self.introspection),
            Endpoint::Revocation => Some(&mut self.revocation),
        }
    }
}

/// Maximum number of tokens issued to a client per calendar window (UTC); `None` = the server's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Per hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<u64>,
    /// Per day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<u64>,
    /// Per month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<u64>,
}

impl Quotas {
    /// The names of the windows in JSON and on the command line.
    pub const NAMES: [&'static str; 3] = ["hour", "day", "month"];

    /// The quota of the window with this name; `None`: there is no such window.
    pub fn by_name_mut(&mut self, name: &str) -> Option<&mut Option<u64>> {
        match name {
            "hour" => Some(&mut self.hour),
            "day" => Some(&mut self.day),
            "month" => Some(&mut self.month),
            _ => None,
        }
    }
}

/// Private claims in every token of a client, such as `tenant` or `plan`. Registration checks their names and their size.
///
/// Kept in the form that is written into tokens: the members of a JSON object without its braces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticClaims(Option<Arc<str>>);

impl StaticClaims {
    /// The claims as JSON object members without braces; `None` if there are none.
    pub fn members(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }

    /// The claims by name.
    pub fn to_map(&self) -> Map<String, Value> {
        let text = self
            .0
            .as_ref()
            .map_or_else(|| "{}".to_owned(), |members| format!("{{{members}}}"));
        // The text was serialized from a map.
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Beyond the largest signed integer.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// Writes a number as every store returns it: Postgres has neither exponents nor a negative zero in JSON.
fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float == 0.0 {
                *value = 0.0.into();
            } else if float.abs() >= 1e16 && (-TWO_TO_63..TWO_TO_63).contains(&float) {
                // From 2^53 on, every such number is an integer.
                *value = (float as i64).into();
            } else if (TWO_TO_63..2.0 * TWO_TO_63).contains(&float) {
                *value = (float as u64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        _ => {}
    }
}

impl From<Map<String, Value>> for StaticClaims {
    fn from(map: Map<String, Value>) -> Self {
        let mut map = Value::Object(map);
        normalize(&mut map);
        let text = map.to_string();
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

/// Optional settings of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
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
    /// Percentage of a token's lifetime in which the same request gets the same token again; `None` = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_percent: Option<u8>,
    /// Static claims of its tokens.
    pub claims: StaticClaims,
}

static NONE: LazyLock<Policy> = LazyLock::new(Policy::default);

impl Policy {
    /// The policy of a client without settings.
    pub fn none() -> &'static Self {
        &NONE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rates_round_trip_and_invalid_rates_are_rejected() {
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
    fn numbers_of_claims_are_written_without_exponents() {
        let text = r#"{"a":[1e16,-1e17,9.3e18,1.8e19,-0.0,1.5,1e20,9007199254740993]}"#;
        let claims: StaticClaims = serde_json::from_str(text).unwrap();
        let expected = r#""a":[10000000000000000,-100000000000000000,9300000000000000000,18000000000000000000,0.0,1.5,1e+20,9007199254740993]"#;
        assert_eq!(claims.members().map(AsRef::as_ref), Some(expected));
    }

    #[test]
    fn empty_policy_is_an_empty_document() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), *Policy::none());
    }
}

//! What a client may still ask for, and what its answers say of that.
//!
//! Only requests that proved who they are spend from a client's bucket, so nobody else can empty it. A client without a rate
//! costs a branch. What is said of a rate are the fields `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-09.

use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use oauth2_actors::model::{Client, Decision, Endpoint, Mode, RateLimits, Window};

use super::State;
use super::error::Failure;

/// What holds where a client has nothing of its own.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Rates of clients that have none.
    pub rates: RateLimits,
    /// Whether rates refuse.
    pub mode: Mode,
    /// Whether the bucket of failed authentications refuses.
    pub failures: Mode,
}

/// Where a client stands with one of its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The limit's name.
    pub name: &'static str,
    /// So much it allows in a window.
    pub limit: u64,
    /// The window, seconds.
    pub window: u64,
    /// What is left now.
    pub remaining: u64,
    /// Seconds until all of it is there again.
    pub reset: u64,
}

/// A request that asks for more than the client may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The label under which it is counted, and the error code.
    pub reason: &'static str,
    /// For the developer of the client.
    pub description: &'static str,
    /// When it is worth asking again.
    pub retry_after: Duration,
    /// What the client may know of its limits.
    pub standings: Vec<Standing>,
}

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Adds the fields that say where a client stands; none where it has no limit.
pub fn tell(standings: &[Standing], headers: &mut HeaderMap) {
    if standings.is_empty() {
        return;
    }
    // Written without the formatter, since limited clients have them in every answer.
    let room = standings.len() * MEMBER;
    let (mut policy, mut state) = (String::with_capacity(room), String::with_capacity(room));
    for standing in standings {
        member(
            &mut policy,
            standing.name,
            (";q=", standing.limit),
            (";w=", standing.window),
        );
        member(
            &mut state,
            standing.name,
            (";r=", standing.remaining),
            (";t=", standing.reset),
        );
    }
    for (name, value) in [(&POLICY, policy), (&STATE, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name.clone(), value);
        }
    }
}

/// Bytes that a member of a field mostly has.
const MEMBER: usize = 48;

fn member(field: &mut String, name: &str, one: (&str, u64), other: (&str, u64)) {
    if !field.is_empty() {
        field.push_str(", ");
    }
    field.push('"');
    field.push_str(name);
    field.push('"');
    for (parameter, value) in [one, other] {
        field.push_str(parameter);
        field.push_str(itoa::Buffer::new().format(value));
    }
}

/// One standing, with room for those of quotas.
fn only(standing: Standing) -> Vec<Standing> {
    let mut standings = Vec::with_capacity(1 + Window::ALL.len());
    standings.push(standing);
    standings
}

impl State {
    /// Spends `cost` from the client's bucket at an endpoint. Answers where the client stands, if it has a rate there.
    pub fn spend(&self, client: &Client, endpoint: Endpoint, cost: u32) -> Result<Vec<Standing>, Failure> {
        let policy = client.policy.as_deref();
        let own = policy.and_then(|policy| policy.rate_limits.at(endpoint));
        let (Some(rate), Some(cost)) = (own.or(self.rules.rates.at(endpoint)), NonZeroU32::new(cost)) else {
            return Ok(Vec::new());
        };
        let spent = self.limits.load().spend(&client.client_id, endpoint, rate, cost);
        let (limit, window) = (u64::from(rate.burst().get()), rate.refill_seconds());
        let remaining = u64::from(spent.remaining);
        let standing = Standing {
            name: endpoint.as_str(),
            limit,
            window,
            remaining,
            reset: ((limit - remaining.min(limit)) * u64::from(rate.per.seconds()))
                .div_ceil(u64::from(rate.count.get())),
        };
        let mode = policy
            .and_then(|policy| policy.rate_limit_mode)
            .unwrap_or(self.rules.mode);
        let decision = match (spent.wait, mode) {
            (None, _) => Decision::Allowed,
            (Some(_), Mode::Observe) => Decision::Observed,
            (Some(_), Mode::Enforce) => Decision::Limited,
        };
        self.instruments.rate_limit(endpoint, decision);
        match spent.wait.filter(|_| decision == Decision::Limited) {
            None => Ok(only(standing)),
            Some(retry_after) => Err(Failure::Limited(Box::new(Refusal {
                reason: "rate_limited",
                description: "the client asks more often than it may",
                retry_after,
                standings: vec![standing],
            }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_name_each_limit() {
        let standing = |name, limit, window, remaining, reset| Standing {
            name,
            limit,
            window,
            remaining,
            reset,
        };
        let mut headers = HeaderMap::new();
        tell(&[], &mut headers);
        assert!(headers.is_empty());
        tell(
            &[standing("token", 200, 2, 150, 1), standing("day", 1000, 86_400, 7, 60)],
            &mut headers,
        );
        assert_eq!(
            headers.get("ratelimit-policy").unwrap(),
            r#""token";q=200;w=2, "day";q=1000;w=86400"#
        );
        assert_eq!(
            headers.get("ratelimit").unwrap(),
            r#""token";r=150;t=1, "day";r=7;t=60"#
        );
    }
}

//! Responses of the token endpoints.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::tokens::{is_integer_instead, kind};
use crate::service::migration::http::Response;
use crate::service::migration::probe::{Answer, Observed, Pair};
use crate::service::migration::report::{Difference, TOKEN_NOT_COMPARED, shown};

/// Seconds by which `expires_in` may differ: some servers count from a time before the response.
const LIFETIME_TOLERANCE: f64 = 5.0;

/// Members that RFC 6749 defines.
const STANDARD: [&str; 4] = ["access_token", "token_type", "expires_in", "scope"];

/// Both responses, if both issued a token.
pub(super) fn both_issued(pair: &Pair) -> Option<(&Response, &Response)> {
    let issued = |answer: &Answer| {
        answer
            .as_ref()
            .is_ok_and(|response| response.text("access_token").is_some())
    };
    match pair {
        Pair {
            old: Ok(old),
            new: Ok(new),
        } if issued(&pair.old) && issued(&pair.new) => Some((old, new)),
        _ => None,
    }
}

/// Whether each method of authentication works at the new issuer where it works at the old one.
pub(super) fn authentication(observed: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    for (method, pair) in [
        ("client_secret_basic", &observed.basic),
        ("client_secret_post", &observed.post),
    ] {
        let (old, new) = (outcome(&pair.old), outcome(&pair.new));
        if old == new {
            if !is_answered(&pair.old) {
                found.push(Difference::client(format!("not_compared.{method}"), old, new));
            }
            continue;
        }
        let code = format!("token_request.{method}");
        let is_issued = |answer: &Answer| answer.as_ref().is_ok_and(|response| response.status == 200);
        // A method that only the new issuer accepts breaks nothing.
        let is_gained = !is_issued(&pair.old) && is_issued(&pair.new) && is_answered(&pair.old);
        found.push(if is_gained {
            Difference::nobody(code, old, new)
        } else {
            Difference::client(code, old, new)
        });
    }
    found
}

/// A client that gets no token of the old issuer: then nothing is known about its tokens, also if both issuers reject it in the same way.
pub(super) fn not_issued(observed: &Observed) -> Option<Difference> {
    let is_issued = |pair: &Pair| pair.old.as_ref().is_ok_and(|old| old.text("access_token").is_some());
    let asked = [Some(&observed.basic), Some(&observed.post), observed.again.as_ref()];
    if asked.into_iter().flatten().any(is_issued) {
        return None;
    }
    let (old, new) = (outcome(&observed.basic.old), outcome(&observed.basic.new));
    Some(Difference::client(TOKEN_NOT_COMPARED, old, new))
}

/// Whether a server answered the request itself: not with an overload, a rate limit or a failure.
fn is_answered(answer: &Answer) -> bool {
    answer
        .as_ref()
        .is_ok_and(|response| response.status != 429 && response.status < 500)
}

/// Status and error of an answer.
fn outcome(answer: &Answer) -> String {
    match answer {
        Err(error) => error.clone(),
        Ok(response) => match response.text("error") {
            Some(error) => format!("{} {error}", response.status),
            None => response.status.to_string(),
        },
    }
}

/// Two responses with a token.
pub(super) fn issued(old: &Response, new: &Response) -> Vec<Difference> {
    let mut found = Vec::new();
    let (Some(before), Some(after)) = (&old.body, &new.body) else {
        return found;
    };
    for (name, value) in before {
        if !after.contains_key(name) {
            let code = format!("response.{name}.missing");
            // A value of another member may be a token.
            let value = if STANDARD.contains(&&**name) {
                shown(Some(value))
            } else {
                "present".to_owned()
            };
            found.push(Difference::client(code, value, "absent"));
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        found.push(Difference::nobody(
            format!("response.{name}.added"),
            "absent",
            "present",
        ));
    }
    if let (Some(before), Some(after)) = (old.text("token_type"), new.text("token_type"))
        && before != after
    {
        // RFC 6749 section 5.1: it is case-insensitive.
        found.push(if before.eq_ignore_ascii_case(after) {
            Difference::nobody("response.token_type.case", before, after)
        } else {
            Difference::client("response.token_type", before, after)
        });
    }
    if let (Some(before), Some(after)) = (before.get("expires_in"), after.get("expires_in"))
        && let (Some(old), Some(new)) = (before.as_f64(), after.as_f64())
        && (old - new).abs() > LIFETIME_TOLERANCE
    {
        found.push(Difference::client("response.expires_in", before, after));
    }
    found.extend(types("response", before, after));
    found.extend(scopes("response.scope", old.text("scope"), new.text("scope")));
    found.extend(headers("response", old, new));
    found
}

/// Members of another type. Their values may be tokens.
fn types(prefix: &str, old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Difference> {
    let pairs = old
        .iter()
        .filter_map(|(name, value)| Some((name, value, new.get(name)?)));
    let differ = pairs.filter(|(_, before, after)| kind(before) != kind(after));
    differ
        .map(|(name, before, after)| {
            let code = format!("{prefix}.{name}.type");
            if is_integer_instead(before, after) {
                Difference::nobody(code, kind(before), kind(after))
            } else {
                Difference::client(code, kind(before), kind(after))
            }
        })
        .collect()
}

/// Headers by which clients read an answer, and by which caches keep none.
pub(super) fn headers(prefix: &str, old: &Response, new: &Response) -> Vec<Difference> {
    const JSON: &str = "application/json";
    let mut found = Vec::new();
    let (before, after) = (&old.media_type, &new.media_type);
    if before != after {
        let code = format!("{prefix}.content_type");
        // A client parses JSON by this type, which the specifications require.
        let is_gained = after == JSON && !before.ends_with("json");
        found.push(if is_gained {
            Difference::nobody(code, before, after)
        } else {
            Difference::client(code, before, after)
        });
    }
    if old.is_uncached && !new.is_uncached {
        found.push(Difference::client(
            format!("{prefix}.cache_control"),
            "no-store",
            "absent",
        ));
    }
    found
}

fn scopes(code: &str, old: Option<&str>, new: Option<&str>) -> Option<Difference> {
    let (old, new) = (old?, new?);
    let set = |text| str::split_whitespace(text).collect::<BTreeSet<_>>();
    if set(old) != set(new) {
        return Some(Difference::client(code, old, new));
    }
    (old != new).then(|| Difference::nobody(format!("{code}.order"), old, new))
}

/// A request without a scope: some servers then grant none, others all scopes of the client.
pub(super) fn without_scope(pair: &Pair) -> Option<Difference> {
    let (before, after) = (outcome(&pair.old), outcome(&pair.new));
    if !is_answered(&pair.old) || !is_answered(&pair.new) {
        return Some(Difference::client("not_compared.without_scope", before, after));
    }
    if before != after {
        return Some(Difference::client("without_scope.status", before, after));
    }
    let scope = |answer: &Answer| answer.as_ref().ok()?.text("scope").map(str::to_owned);
    let (before, after) = (scope(&pair.old), scope(&pair.new));
    let set = |scope: &Option<String>| {
        let words = scope.as_deref().unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let shown = |scope: &Option<String>| scope.clone().unwrap_or_else(|| "none".to_owned());
    (set(&before) != set(&after)).then(|| Difference::client("without_scope.scope", shown(&before), shown(&after)))
}

/// Two answers to a request that must fail.
pub(super) fn errors(name: &str, pair: &Pair) -> Vec<Difference> {
    let code = |what: &str| format!("error.{name}.{what}");
    let (Ok(old), Ok(new)) = (&pair.old, &pair.new) else {
        return vec![Difference::client(
            format!("not_compared.{name}"),
            outcome(&pair.old),
            outcome(&pair.new),
        )];
    };
    if !is_answered(&pair.old) || !is_answered(&pair.new) {
        return vec![Difference::client(
            format!("not_compared.{name}"),
            outcome(&pair.old),
            outcome(&pair.new),
        )];
    }
    let mut found = Vec::new();
    if old.status != new.status {
        found.push(Difference::client(code("status"), old.status, new.status));
    }
    let error = |response: &Response| response.text("error").unwrap_or("absent").to_owned();
    if error(old) != error(new) {
        found.push(Difference::client(code("error"), error(old), error(new)));
    }
    if old.challenges != new.challenges {
        let shown = |response: &Response| {
            let schemes: Vec<&str> = response.challenges.iter().map(String::as_str).collect();
            if schemes.is_empty() {
                "absent".to_owned()
            } else {
                schemes.join(", ")
            }
        };
        let (before, after) = (shown(old), shown(new));
        // RFC 6749 section 5.2 requires it after an attempt with HTTP authentication. One more scheme takes nothing away.
        found.push(if old.challenges.is_subset(&new.challenges) {
            Difference::nobody(code("www_authenticate"), before, after)
        } else {
            Difference::client(code("www_authenticate"), before, after)
        });
    }
    found.extend(headers(&format!("error.{name}"), old, new));
    if let (Some(before), Some(after)) = (&old.body, &new.body) {
        found.extend(types(&format!("error.{name}"), before, after));
        for member in before.keys().filter(|member| !after.contains_key(*member)) {
            let standard = ["error", "error_description", "error_uri"].contains(&&**member);
            let difference = (code(&format!("{member}.missing")), "present", "absent");
            found.push(if standard {
                Difference::nobody(difference.0, difference.1, difference.2)
            } else {
                Difference::client(difference.0, difference.1, difference.2)
            });
        }
    } else if old.body.is_some() {
        found.push(Difference::client(code("body"), "JSON", "not JSON"));
    }
    let description = |response: &Response| response.text("error_description").map(str::to_owned);
    if let (Some(before), Some(after)) = (description(old), description(new))
        && before != after
    {
        found.push(Difference::nobody(code("error_description"), before, after));
    }
    found
}

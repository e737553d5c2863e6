//! Introspection of each issuer's own tokens, and of the other's.

use serde_json::Value;

use crate::service::migration::http::Response;
use crate::service::migration::probe::{Answer, Observed};
use crate::service::migration::report::Difference;

pub(super) fn compare(observed: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    let own = observed.introspection.as_ref();
    let old_own = own.and_then(|pair| state(&pair.old));
    if let Some(pair) = own {
        let (before, after) = (described(&pair.old), described(&pair.new));
        if before != after {
            // Where the old issuer lets the client introspect nothing, it cannot miss anything.
            found.push(if old_own == Some(true) {
                Difference::client("introspection.own_token", before, after)
            } else {
                Difference::nobody("introspection.own_token", before, after)
            });
        } else if let (Some(old), Some(new)) = (body(&pair.old), body(&pair.new)) {
            for member in old.keys().filter(|member| !new.contains_key(*member)) {
                let code = format!("introspection.{member}.missing");
                found.push(Difference::client(code, "present", "absent"));
            }
        }
    }
    if let Some(answer) = &observed.old_at_new
        && state(answer) != Some(true)
        && old_own == Some(true)
    {
        let after = described(answer);
        found.push(Difference::client("introspection.old_token_at_new", "active", after));
    }
    if let Some(answer) = &observed.new_at_old
        && state(answer) != Some(true)
    {
        let note = "new tokens are not active there: it matters on the way back";
        found.push(Difference::nobody(
            "introspection.new_token_at_old",
            described(answer),
            note,
        ));
    }
    found
}

fn body(answer: &Answer) -> Option<&serde_json::Map<String, Value>> {
    answer.as_ref().ok()?.body.as_ref()
}

/// Whether the token is active, if the issuer says.
fn state(answer: &Answer) -> Option<bool> {
    let response: &Response = answer.as_ref().ok()?;
    if response.status != 200 {
        return None;
    }
    response.body.as_ref()?.get("active")?.as_bool()
}

fn described(answer: &Answer) -> String {
    match (state(answer), answer) {
        (Some(true), _) => "active".to_owned(),
        (Some(false), _) => "inactive".to_owned(),
        (None, Ok(response)) => format!("status {}", response.status),
        (None, Err(error)) => error.clone(),
    }
}

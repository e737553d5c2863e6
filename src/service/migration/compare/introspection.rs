//! Introspection of each issuer's own tokens, and of the other's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::responses;
use super::side::{Naming, Side};
use super::tokens;
use crate::service::migration::http::Response;
use crate::service::migration::issuer::Issuer;
use crate::service::migration::probe::{Answer, Observed};
use crate::service::migration::report::Difference;

const NAMING: Naming = Naming {
    prefix: "introspection",
    lifetime: "introspection.lifetime",
    noticed: |code, old, new| Difference::client(code, old, new),
};

pub(super) fn compare(observed: &Observed, old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let mut found = Vec::new();
    let (old_own, new_own) = (observed.old_own.as_ref(), observed.new_own.as_ref());
    let old_state = old_own.and_then(state);
    if let (Some(of_old), Some(of_new)) = (old_own, new_own) {
        let (before, after) = (described(of_old), described(of_new));
        if before != after {
            // Where the old issuer lets the client introspect nothing, it cannot miss anything.
            found.push(if old_state == Some(true) {
                Difference::client("introspection.own_token", before, after)
            } else {
                Difference::nobody("introspection.own_token", before, after)
            });
        } else if let (Some(before), Some(after)) = (body(of_old), body(of_new)) {
            let again = observed.old_own_again.as_ref().and_then(body);
            let volatile = again.map_or_else(BTreeSet::new, |again| tokens::varying(before, again));
            let side = |claims, answer: &Answer, issuer| Side {
                claims,
                issuer,
                received_at: answer.as_ref().map_or(0, |response| response.received_at),
            };
            let sides = (side(before, of_old, old), side(after, of_new, new));
            found.extend(tokens::claims(&NAMING, &sides.0, &sides.1, &volatile));
        }
    }
    if let (Some(Ok(of_old)), Some(Ok(of_new))) = (old_own, new_own)
        && old_state.is_some()
    {
        found.extend(responses::headers("introspection", of_old, of_new));
    }
    if let Some(answer) = &observed.old_at_new
        && state(answer) != Some(true)
    {
        const CODE: &str = "introspection.old_token_at_new";
        let after = described(answer);
        if old_state == Some(true) {
            found.push(Difference::client(CODE, "active", after));
        } else if old_own.is_none() && new_own.and_then(state) == Some(true) {
            let before = "not asked: no introspection endpoint of the old issuer is known";
            found.push(Difference::client(CODE, before, after));
        }
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

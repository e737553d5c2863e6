//! Metadata and keys of both issuers.

use serde_json::Value;
use url::Url;

use crate::service::migration::issuer::Issuer;
use crate::service::migration::keys::{self, Keys};
use crate::service::migration::report::{Difference, shown};

/// Endpoints that clients and verifiers of access tokens use.
const ENDPOINTS: [&str; 4] = [
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "jwks_uri",
];

/// Lists of which clients use an entry.
const LISTS: [&str; 2] = [
    "token_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_methods_supported",
];

pub(super) fn compare(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let mut found = published(old, new);
    found.extend(keys(old, new));
    found
}

fn published(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let mut found = Vec::new();
    if old.metadata.is_empty() || new.metadata.is_empty() {
        let has = |issuer: &Issuer| {
            if issuer.metadata.is_empty() {
                "no metadata"
            } else {
                "metadata"
            }
        };
        if has(old) != has(new) {
            found.push(Difference::client("discovery", has(old), has(new)));
        }
        return found;
    }
    if old.identifier() != new.identifier() {
        let shown = |issuer: &Issuer| issuer.identifier().unwrap_or("absent").to_owned();
        found.push(Difference::verifier("discovery.issuer", shown(old), shown(new)));
    }
    for name in ENDPOINTS {
        let (before, after) = (path(old, name), path(new, name));
        if before != after && before.is_some() {
            let shown = |path: Option<String>| path.unwrap_or_else(|| "absent".to_owned());
            found.push(Difference::client(
                format!("discovery.{name}"),
                shown(before),
                shown(after),
            ));
        }
    }
    for name in LISTS {
        let (before, after) = (strings(old, name), strings(new, name));
        let missing: Vec<&str> = before.iter().copied().filter(|entry| !after.contains(entry)).collect();
        if !missing.is_empty() {
            let code = format!("discovery.{name}");
            found.push(Difference::nobody(
                code,
                missing.join(" "),
                "absent; it matters if clients use it",
            ));
        }
    }
    for (name, value) in &old.metadata {
        if name != "issuer"
            && !ENDPOINTS.contains(&&**name)
            && !LISTS.contains(&&**name)
            && !new.metadata.contains_key(name)
        {
            found.push(Difference::nobody(
                format!("discovery.{name}.missing"),
                shown(Some(value)),
                "absent",
            ));
        }
    }
    found
}

/// The path of an endpoint: hosts differ until the switch.
fn path(issuer: &Issuer, name: &str) -> Option<String> {
    let url = Url::parse(issuer.metadata.get(name)?.as_str()?).ok()?;
    Some(url.path().to_owned())
}

fn strings<'a>(issuer: &'a Issuer, name: &str) -> Vec<&'a str> {
    let list = issuer.metadata.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Keys of the old issuer that a verifier will not find at the new one, whose tokens it then rejects.
fn keys(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    if [&old.keys, &new.keys]
        .iter()
        .any(|keys| matches!(keys, Keys::Unreadable(_)))
    {
        let described = |keys: &Keys| match keys {
            Keys::Unreadable(reason) => reason.clone(),
            Keys::Absent => "no URL of a JWK set is known".to_owned(),
            Keys::Published(keys) => format!("{} keys", keys.len()),
        };
        return vec![Difference::verifier(
            "not_compared.jwks",
            described(&old.keys),
            described(&new.keys),
        )];
    }
    let Some(before) = old.keys.published() else {
        return Vec::new();
    };
    let after = new.keys.published().unwrap_or_default();
    before.iter().filter_map(|key| missing(key, after)).collect()
}

/// A code per key, so that a key for other tokens can be accepted by itself.
fn missing(key: &Value, after: &[Value]) -> Option<Difference> {
    let absent = "absent: import the key, or its public half";
    let Some(kid) = key["kid"].as_str() else {
        let is_there = after.iter().any(|other| keys::are_same(key, other));
        return (!is_there).then(|| Difference::verifier("jwks.missing_key", keys::described(key), absent));
    };
    let of_kid: Vec<&Value> = after.iter().filter(|other| other["kid"] == kid).collect();
    let Some(first) = of_kid.first() else {
        return Some(Difference::verifier(
            format!("jwks.missing_kid.{kid}"),
            "published",
            absent,
        ));
    };
    let is_there = of_kid.iter().any(|other| keys::are_same(key, other));
    (!is_there).then(|| {
        let code = format!("jwks.changed_key.{kid}");
        Difference::verifier(code, keys::described(key), keys::described(first))
    })
}

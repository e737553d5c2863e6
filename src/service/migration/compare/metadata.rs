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

/// Scopes that concern users (`OpenID` Connect Core sections 5.4 and 11).
const SCOPES_OF_USERS: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

pub(super) fn compare(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let mut found = documents(old, new);
    found.extend(published(old, new));
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
    found.extend(members(old, new));
    found
}

/// Documents of the old issuer that the new one does not publish: clients and verifiers read one of them.
fn documents(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let is_lost = |name: &&str| new.documents.get(*name) == Some(&false);
    let published = old.documents.iter().filter(|(_, is_published)| **is_published);
    let lost = published.map(|(name, _)| *name).filter(is_lost);
    lost.map(|name| Difference::client(format!("discovery.document.{name}"), "published", "not published"))
        .collect()
}

/// Members that the new issuer does not publish, and entries that their lists lack.
fn members(old: &Issuer, new: &Issuer) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, value) in &old.metadata {
        if name == "issuer" || ENDPOINTS.contains(&&**name) {
            continue;
        }
        let entries = strings(new, name);
        let missing: Vec<&str> = strings(old, name)
            .into_iter()
            .filter(|entry| !entries.contains(entry))
            .collect();
        let code = format!("discovery.{name}");
        if missing.iter().any(|entry| is_used(name, entry, new)) {
            found.push(Difference::client(code, missing.join(" "), "absent"));
        } else if !new.metadata.contains_key(name) {
            found.push(Difference::nobody(
                format!("{code}.missing"),
                shown(Some(value)),
                "absent",
            ));
        } else if !missing.is_empty() {
            let note = "absent; it matters if clients use it";
            found.push(Difference::nobody(code, missing.join(" "), note));
        }
    }
    found
}

/// Whether machine clients that read the metadata miss an entry. Whether they can authenticate is known by their requests.
fn is_used(name: &str, entry: &str, new: &Issuer) -> bool {
    match name {
        // RFC 8414 section 2: without the list, this grant is not supported.
        "grant_types_supported" => entry == "client_credentials",
        // The list is optional, and a client that finds none relies on its configuration.
        "scopes_supported" => new.metadata.contains_key(name) && !SCOPES_OF_USERS.contains(&entry),
        _ => false,
    }
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

//! The hashes of a client's secrets in an import and an export: those of a client in an overlap, with their expiry.
//!
//! `client_secret_sha256` is the newest secret; `previous_secrets` the ones before it, newest first.

use oauth2_store::model::{ClientSecret, SecretHash};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::checks;

/// The member with the hash of the newest secret.
pub(super) const NEWEST: &str = "client_secret_sha256";

/// The member with the secrets before it.
pub(super) const PREVIOUS: &str = "previous_secrets";

/// A previous secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousSecret {
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// Takes the hashes out of the members of a row: that of the newest secret, and the secrets before it.
pub(super) fn take(members: &mut Map<String, Value>) -> Result<(Option<SecretHash>, Vec<ClientSecret>), String> {
    let newest = match members.remove(NEWEST) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            Some(hash(&text).ok_or_else(|| format!("{NEWEST} must be 64 hexadecimal digits"))?)
        }
        Some(_) => return Err(format!("{NEWEST} must be a string")),
    };
    let previous = match members.remove(PREVIOUS) {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => {
            let listed: Option<Vec<PreviousSecret>> = serde_json::from_value(list).ok();
            let secrets = listed.and_then(|listed| listed.iter().map(previous_secret).collect());
            secrets.ok_or_else(|| {
                format!(
                    "{PREVIOUS} must be a list of objects with sha256, 64 hexadecimal digits, and expires_at, Unix seconds"
                )
            })?
        }
    };
    Ok((newest, previous))
}

fn previous_secret(secret: &PreviousSecret) -> Option<ClientSecret> {
    if secret.expires_at.is_some_and(|at| !checks::TIMES.contains(&at)) {
        return None;
    }
    Some(ClientSecret {
        hash: hash(&secret.sha256)?,
        expires_at: secret.expires_at,
    })
}

fn hash(text: &str) -> Option<SecretHash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

/// Adds the hashes to the members of a row.
pub(super) fn put(secrets: &[ClientSecret], members: &mut Map<String, Value>) {
    let Some((newest, previous)) = secrets.split_first() else {
        return;
    };
    members.insert(NEWEST.to_owned(), hex::encode(newest.hash).into());
    let listed = previous.iter().map(|secret| PreviousSecret {
        sha256: hex::encode(secret.hash),
        expires_at: secret.expires_at,
    });
    let listed: Vec<PreviousSecret> = listed.collect();
    // Strings and numbers always serialize.
    if let (false, Ok(list)) = (listed.is_empty(), serde_json::to_value(&listed)) {
        members.insert(PREVIOUS.to_owned(), list);
    }
}

/// Reads the field of CSV: `sha256:expires_at`, separated by white space.
pub(super) fn from_csv(field: &str) -> Result<Value, String> {
    let mut list = Vec::new();
    for entry in field.split_whitespace() {
        let (sha256, expires_at) = match entry.split_once(':') {
            None => (entry, None),
            Some((sha256, at)) => {
                let at = at.parse();
                (
                    sha256,
                    Some(at.map_err(|_| format!("{PREVIOUS} must have Unix seconds after ':'"))?),
                )
            }
        };
        let mut object = Map::new();
        object.insert("sha256".to_owned(), sha256.into());
        object.extend(expires_at.map(|at: i64| ("expires_at".to_owned(), at.into())));
        list.push(Value::Object(object));
    }
    Ok(Value::Array(list))
}

/// Writes the field of CSV.
pub(super) fn to_csv(list: &[Value]) -> String {
    let entry = |secret: &Value| {
        let sha256 = secret["sha256"].as_str().unwrap_or_default();
        match &secret["expires_at"] {
            Value::Number(at) => format!("{sha256}:{at}"),
            _ => sha256.to_owned(),
        }
    };
    list.iter().map(entry).collect::<Vec<_>>().join(" ")
}

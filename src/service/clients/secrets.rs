//! The hashes of a client's secrets in an import and an export: those of a client in an overlap, with their expiry.
//!
//! `client_secret_sha256` or `client_secret_hash` is the newest secret; `previous_secrets` are the secrets before it, newest first.

use oauth2_store::model::{Client, ClientSecret, ReplacedHash, SecretHash, SecretVerifier};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::checks;
use super::foreign_hashes::{self, HASH, SCHEME};
use crate::tokens::unique_json::Unique;

/// The member with the hash of the newest secret.
pub(super) const NEWEST: &str = "client_secret_sha256";

/// The member with the id of the hash of another product that the newest one replaced.
const IMPORTED_AS: &str = "client_secret_imported_as";

/// The member with the secrets before it.
pub(super) const PREVIOUS: &str = "previous_secrets";

/// Seconds for which a previous secret with a hash of another product remains valid, where the row does not say: some products have several
/// secrets that never expire.
pub(super) const DEFAULT_OVERLAP: i64 = 30 * 24 * 3600;

/// Hashes of other products that a row may give: a wrong secret is compared with each, and each is slow.
const MAX_FOREIGN: usize = 4;

/// A secret of a row.
#[derive(Debug, Clone)]
pub(super) struct RowSecret {
    pub(super) verifier: SecretVerifier,
    expiry: Expiry,
    /// Whether a long secret verifies by its beginning.
    pub(super) is_truncating: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Never,
    At(i64),
    /// As it is stored with an expiry, else after [`DEFAULT_OVERLAP`]: the secret may have been the newest one.
    Default,
}

impl RowSecret {
    /// A secret that does not expire.
    pub(super) fn newest(verifier: SecretVerifier) -> Self {
        Self {
            verifier,
            expiry: Expiry::Never,
            is_truncating: false,
        }
    }

    pub(super) fn has_default_expiry(&self) -> bool {
        self.expiry == Expiry::Default
    }

    /// Whether it is expired, as the row says.
    pub(super) fn is_expired(&self, now: i64) -> bool {
        matches!(self.expiry, Expiry::At(at) if at <= now)
    }

    /// As it is to be stored. A secret that the client has already keeps the hash that is stored: it may have replaced that of the row.
    pub(super) fn resolve(&self, current: Option<&Client>, now: i64) -> ClientSecret {
        let known = current.and_then(|client| find(client, &self.verifier));
        let expires_at = match (self.expiry, known) {
            (Expiry::Never, _) => None,
            (Expiry::At(at), _) => Some(at),
            (Expiry::Default, known) => known.and_then(|known| known.expires_at).or(Some(now + DEFAULT_OVERLAP)),
        };
        let known = known.map(|known| &known.verifier);
        // Only the row knows the hash that the secret was imported with.
        let adds_id = matches!(
            (&self.verifier, known),
            (SecretVerifier::Replaced(_), Some(SecretVerifier::Fast(_)))
        );
        let verifier = known.filter(|_| !adds_id).unwrap_or(&self.verifier);
        ClientSecret {
            verifier: verifier.clone(),
            expires_at,
        }
    }
}

/// The secret of a client that has this hash, or was imported with it.
pub(super) fn find<'a>(client: &'a Client, verifier: &SecretVerifier) -> Option<&'a ClientSecret> {
    client
        .secrets
        .iter()
        .find(|known| known.verifier.is_same_secret(verifier))
}

/// A previous secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousSecret {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    imported_as: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// Takes the hashes out of the members of a row: that of the newest secret, and the secrets before it.
pub(super) fn take(members: &mut Map<String, Value>) -> Result<(Option<RowSecret>, Vec<RowSecret>), String> {
    let (sha256, foreign, scheme) = (text(members, NEWEST)?, text(members, HASH)?, text(members, SCHEME)?);
    let imported_as = text(members, IMPORTED_AS)?;
    if scheme.is_some() && foreign.is_none() {
        return Err(format!("{SCHEME} requires {HASH}"));
    }
    if imported_as.is_some() && sha256.is_none() {
        return Err(format!("{IMPORTED_AS} requires {NEWEST}"));
    }
    let newest = match (sha256, foreign) {
        (Some(_), Some(_)) => return Err(format!("{NEWEST} and {HASH} are both given; keep one of them")),
        (Some(text), None) => {
            let digits =
                |name: &str, text: &str| hash(text).ok_or_else(|| format!("{name} must be 64 hexadecimal digits"));
            let id = imported_as.map(|id| digits(IMPORTED_AS, &id)).transpose()?;
            Some(RowSecret::newest(fast(digits(NEWEST, &text)?, id)))
        }
        (None, Some(text)) => {
            let read = foreign_hashes::read(&text, scheme.as_deref()).map_err(|error| error.to_string())?;
            Some(RowSecret {
                is_truncating: read.is_truncating,
                ..RowSecret::newest(read.verifier)
            })
        }
        (None, None) => None,
    };
    let previous = previous(members)?;
    let is_foreign = |secret: &&RowSecret| secret.verifier.foreign().is_some();
    let foreign = newest.iter().chain(&previous).filter(is_foreign).count();
    if foreign > MAX_FOREIGN {
        return Err(format!(
            "{HASH} and {PREVIOUS} have {foreign} hashes of other products; at most {MAX_FOREIGN} are allowed, since a secret is compared \
             with each: leave out the oldest"
        ));
    }
    Ok((newest, previous))
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} must be a string")),
    }
}

fn previous(members: &mut Map<String, Value>) -> Result<Vec<RowSecret>, String> {
    match members.remove(PREVIOUS) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => {
            let listed: Vec<PreviousSecret> = serde_json::from_value(list).map_err(|_| wrong_list())?;
            listed.iter().map(previous_secret).collect()
        }
    }
}

fn wrong_list() -> String {
    format!(
        "{PREVIOUS} must be a list of objects with sha256 and optionally imported_as (64 hexadecimal digits each), or hash and scheme; and \
         optionally expires_at, Unix seconds"
    )
}

fn previous_secret(secret: &PreviousSecret) -> Result<RowSecret, String> {
    if secret.expires_at.is_some_and(|at| !checks::TIMES.contains(&at)) {
        return Err(wrong_list());
    }
    let given = secret.expires_at.map(Expiry::At);
    let digits = |text: &String| hash(text).ok_or_else(wrong_list);
    match (&secret.sha256, &secret.hash) {
        (Some(text), None) if secret.scheme.is_none() => Ok(RowSecret {
            expiry: given.unwrap_or(Expiry::Never),
            ..RowSecret::newest(fast(
                digits(text)?,
                secret.imported_as.as_ref().map(digits).transpose()?,
            ))
        }),
        (None, Some(text)) if secret.imported_as.is_none() => {
            let scheme = secret.scheme.as_deref().map(str::parse).transpose();
            let scheme = scheme.map_err(|reason: String| format!("{PREVIOUS}: scheme {reason}"))?;
            let read = foreign_hashes::read_as(text, scheme).map_err(|reason| format!("{PREVIOUS}: hash {reason}"))?;
            Ok(RowSecret {
                verifier: read.verifier,
                expiry: given.unwrap_or(Expiry::Default),
                is_truncating: read.is_truncating,
            })
        }
        _ => Err(wrong_list()),
    }
}

/// The SHA-256 of a secret. `id`: that of the hash that it replaced.
fn fast(hash: SecretHash, id: Option<SecretHash>) -> SecretVerifier {
    match id {
        Some(id) => SecretVerifier::Replaced(Box::new(ReplacedHash { hash, id })),
        None => SecretVerifier::Fast(hash),
    }
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
    let newest = written(newest);
    for (name, text) in [
        (HASH, newest.hash),
        (NEWEST, newest.sha256),
        (IMPORTED_AS, newest.imported_as),
    ] {
        members.extend(text.map(|text| (name.to_owned(), text.into())));
    }
    let listed: Vec<PreviousSecret> = previous.iter().map(written).collect();
    // Strings and numbers always serialize.
    if let (false, Ok(list)) = (listed.is_empty(), serde_json::to_value(&listed)) {
        members.insert(PREVIOUS.to_owned(), list);
    }
}

/// A secret as an export has it. The hash of another product has its tag.
fn written(secret: &ClientSecret) -> PreviousSecret {
    let imported_as = match &secret.verifier {
        SecretVerifier::Replaced(replaced) => Some(hex::encode(replaced.id)),
        SecretVerifier::Foreign(_) | SecretVerifier::Fast(_) => None,
    };
    PreviousSecret {
        sha256: secret.verifier.fast().map(hex::encode),
        imported_as,
        hash: secret.verifier.foreign().map(|foreign| foreign.text.to_string()),
        scheme: None,
        expires_at: secret.expires_at,
    }
}

/// Reads the field of CSV: `sha256:expires_at` or `hash:expires_at`, separated by white space, or the list of JSON.
pub(super) fn from_csv(field: &str) -> Result<Value, String> {
    if field.starts_with('[') {
        return serde_json::from_str(field)
            .map(|Unique(list)| list)
            .map_err(|_| wrong_list());
    }
    let mut list = Vec::new();
    for entry in field.split_whitespace() {
        let is_foreign = entry.contains(['$', '{']);
        let split = entry.rsplit_once(':');
        let (text, expires_at) = match split {
            Some((text, at)) if !is_foreign || at.bytes().all(|byte| byte.is_ascii_digit()) => {
                let at = at.parse();
                (
                    text,
                    Some(at.map_err(|_| format!("{PREVIOUS} must have Unix seconds after ':'"))?),
                )
            }
            _ => (entry, None),
        };
        let mut object = Map::new();
        object.insert(if is_foreign { "hash" } else { "sha256" }.to_owned(), text.into());
        object.extend(expires_at.map(|at: i64| ("expires_at".to_owned(), at.into())));
        list.push(Value::Object(object));
    }
    Ok(Value::Array(list))
}

/// Writes the field of CSV.
pub(super) fn to_csv(list: &[Value]) -> String {
    if list.iter().any(|secret| secret.get("imported_as").is_some()) {
        return Value::from(list).to_string();
    }
    let entry = |secret: &Value| {
        let text = secret["sha256"]
            .as_str()
            .or(secret["hash"].as_str())
            .unwrap_or_default();
        match &secret["expires_at"] {
            Value::Number(at) => format!("{text}:{at}"),
            _ => text.to_owned(),
        }
    };
    list.iter().map(entry).collect::<Vec<_>>().join(" ")
}

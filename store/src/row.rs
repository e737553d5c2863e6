//! Conversions between model types and column values that both backends share.

use std::str::FromStr;

use serde_json::Value;
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::model::token::uuid_v7_ms;
use crate::model::{
    Change, ClientSecret, ForeignHash, Group, GroupLimits, LeaseGrant, LeaseRequest, MAX_TOKEN_LIFETIME, ReplacedHash,
    Revocation, RevocationTarget, SecretHash, SecretVerifier, TokenFormat, Usage, Window,
};

/// Seconds that a token or revocation row is kept after its expiry, to tolerate clocks that are off by less.
pub(super) const RETENTION_GRACE: i64 = 3600;

/// Exclusive upper bound of the ids that begin with a prefix: no id contains the last Unicode character.
pub(super) fn prefix_end(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

/// A client is not what it was when it was read.
pub(super) fn changed_meanwhile(client_id: &str) -> StoreError {
    StoreError::Conflict(format!(
        "the client {client_id} was changed by another request: read it again"
    ))
}

/// Another request changed the limits of a group after they were read.
pub(super) fn changed_limits(group: &str) -> StoreError {
    StoreError::Conflict(format!(
        "the limits of the group {group} were changed by another request: read them again"
    ))
}

/// Fails if the stored limits differ from `before`, from which a change was decided. `None`: there are no limits.
pub(super) fn check_limits(name: &str, found: Option<&Group>, before: Option<&Group>) -> Result<()> {
    let limits = |group: Option<&Group>| group.map(|group| group.limits);
    if limits(found) == limits(before) {
        Ok(())
    } else {
        Err(changed_limits(name))
    }
}

pub(super) fn format_code(format: TokenFormat) -> i16 {
    match format {
        TokenFormat::Paseto => 1,
        TokenFormat::Jwt => 2,
        TokenFormat::Opaque => 3,
    }
}

pub(super) fn format_from_code(code: i16) -> Result<TokenFormat> {
    match code {
        1 => Ok(TokenFormat::Paseto),
        2 => Ok(TokenFormat::Jwt),
        3 => Ok(TokenFormat::Opaque),
        other => Err(StoreError::Corrupt(format!(
            "a token row has the unknown format {other}"
        ))),
    }
}

/// Parses the stored name of an enum value; the error names `column`.
pub(super) fn parse<T: FromStr<Err = String>>(column: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|e| StoreError::Corrupt(format!("{column} {text:?} {e}")))
}

pub(super) fn hash(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt(format!("a hash has {} bytes instead of 32", bytes.len())))
}

/// A row of a client's secrets.
pub(super) struct SecretRow<'a> {
    pub(super) hash: &'a [u8],
    pub(super) foreign_hash: Option<&'a str>,
    pub(super) imported_as: Option<&'a [u8]>,
    pub(super) expires_at: Option<i64>,
}

impl SecretRow<'_> {
    pub(super) fn read(&self) -> Result<ClientSecret> {
        let hash = hash(self.hash)?;
        let verifier = match (self.foreign_hash, self.imported_as) {
            (Some(text), _) => SecretVerifier::Foreign(Box::new(ForeignHash {
                id: hash,
                text: text.into(),
            })),
            (None, Some(id)) => SecretVerifier::Replaced(Box::new(ReplacedHash {
                hash,
                id: self::hash(id)?,
            })),
            (None, None) => SecretVerifier::Fast(hash),
        };
        Ok(ClientSecret {
            verifier,
            expires_at: self.expires_at,
        })
    }
}

/// The columns `hash`, `foreign_hash` and `imported_as` of a secret.
pub(super) fn secret_columns(verifier: &SecretVerifier) -> (&SecretHash, Option<&str>, Option<&SecretHash>) {
    match verifier {
        SecretVerifier::Fast(hash) => (hash, None, None),
        SecretVerifier::Foreign(foreign) => (&foreign.id, Some(&foreign.text), None),
        SecretVerifier::Replaced(replaced) => (&replaced.hash, None, Some(&replaced.id)),
    }
}

/// The range of possible expiries (exclusive, inclusive) of a token with this id, given the maximum token lifetime. After the clock was
/// set back, ids are ahead of it: tokens that expire soon are then below the range.
pub(super) fn expiry_range(jti: &Uuid) -> (i64, i64) {
    let issued = (uuid_v7_ms(jti) / 1000) as i64;
    (issued - 60, issued + MAX_TOKEN_LIFETIME + 60)
}

/// Sorts and deduplicates token ids with their expiries; sorted ids are on fewer pages per lookup.
pub(super) fn distinct(wanted: &[(Uuid, i64)]) -> Vec<(Uuid, i64)> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// `target_kind` and `target_id` of a revocation.
pub(super) fn target(target: &RevocationTarget) -> (&'static str, String) {
    match target {
        RevocationTarget::Token { jti, .. } => ("token", jti.to_string()),
        RevocationTarget::Client(id) => ("client", id.clone()),
        RevocationTarget::User(id) => ("user", id.clone()),
        RevocationTarget::Key(kid) => ("key", kid.clone()),
        RevocationTarget::Issuer => ("issuer", String::new()),
    }
}

/// When every token that a revocation covers has expired.
pub(super) fn revocation_expiry(revocation: &Revocation) -> i64 {
    match revocation.target {
        RevocationTarget::Token { expires_at, .. } => expires_at,
        _ => cutoff_expiry(revocation.cutoff_ms),
    }
}

/// When every token issued up to a cut-off has expired, plus a day for clocks that disagree.
pub(super) fn cutoff_expiry(cutoff_ms: u64) -> i64 {
    (cutoff_ms / 1000) as i64 + MAX_TOKEN_LIFETIME + 24 * 3600
}

/// How long after a change of a client a node may still issue by the client as it was, seconds: the views of a node are at most
/// 5 s old, or it rejects the request.
pub(super) const CHANGE_SPREADS_IN: i64 = 10;

pub(super) fn revocation(
    kind: &str,
    id: String,
    cutoff_ms: i64,
    client_version: i64,
    expires_at: i64,
) -> Result<Revocation> {
    let target = match kind {
        "token" => {
            let jti = id
                .parse()
                .map_err(|_| StoreError::Corrupt(format!("a revocation has the invalid token id {id:?}")))?;
            RevocationTarget::Token { jti, expires_at }
        }
        "client" => RevocationTarget::Client(id),
        "user" => RevocationTarget::User(id),
        "key" => RevocationTarget::Key(id),
        "issuer" => RevocationTarget::Issuer,
        other => {
            return Err(StoreError::Corrupt(format!(
                "a revocation has the unknown target kind {other:?}"
            )));
        }
    };
    Ok(Revocation {
        target,
        cutoff_ms: cutoff_ms as u64,
        client_version,
    })
}

/// The change that an audit row reports to running servers, if any.
pub(super) fn change(action: &str, target_id: String) -> Option<Change> {
    match action.split_once('.')?.0 {
        "client" => Some(Change::Client(target_id)),
        "key" => Some(Change::Keys),
        "group" => Some(Change::Groups),
        _ => None,
    }
}

/// A group as it is stored.
pub(super) fn group(name: String, limits: &str, updated_at: i64) -> Result<Group> {
    let limits = serde_json::from_str(limits);
    let limits = limits.map_err(|error| StoreError::Corrupt(format!("client_groups.limits is invalid: {error}")))?;
    Ok(Group::new(name, limits, updated_at))
}

/// Limits as they are stored.
pub(super) fn limits(limits: &GroupLimits) -> Value {
    // A struct with string keys always serializes.
    serde_json::to_value(limits).unwrap_or_default()
}

/// A row of usage for each window of a client.
pub(super) fn usages(client_id: &str, starts: &[i64; 3], used: u64) -> Vec<Usage> {
    let windows = Window::ALL.iter().zip(starts);
    windows
        .map(|(window, start)| Usage {
            client_id: client_id.to_owned(),
            window: *window,
            start: *start,
            used,
        })
        .collect()
}

/// The grant for a request, given the rows of its client. Nothing is granted of a window that has ended.
pub(super) fn grant(request: &LeaseRequest, rows: &[Usage]) -> LeaseGrant {
    let (mut used, mut starts) = ([0; 3], request.starts);
    for ((window, start), used) in Window::ALL.iter().zip(&mut starts).zip(&mut used) {
        let row = rows
            .iter()
            .find(|row| row.client_id == request.client_id && row.window == *window);
        if let Some(row) = row {
            (*start, *used) = (row.start, row.used);
        }
    }
    let is_current = starts == request.starts;
    let granted = if is_current { request.granted(&used) } else { 0 };
    LeaseGrant {
        granted,
        used: used.map(|used| used + granted),
        starts,
    }
}

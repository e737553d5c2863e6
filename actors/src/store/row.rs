//! How the models' closed sets and targets are spelled in a row, on both stores alike.

use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::Result;
use crate::error::StoreError;
use crate::model::token::uuid_v7_ms;
use crate::model::{Change, Client, MAX_TOKEN_LIFETIME, Policy, Revocation, RevocationTarget, TokenFormat};

/// How long after its last possible use a row is kept, so that a clock that is wrong for a while loses nothing.
pub(super) const LOG_GRACE: i64 = 3600;

/// Where the ids that begin with a prefix end: none has the last of all characters.
pub(super) fn prefix_end(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
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

/// A value of a closed set as it was written; `what` names the column.
pub(super) fn parse<T: FromStr<Err = String>>(what: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|e| StoreError::Corrupt(format!("{what} {text:?} {e}")))
}

pub(super) fn hash(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt(format!("a hash has {} bytes instead of 32", bytes.len())))
}

/// Between which expiries (exclusive, inclusive) a token with this id can be: no token lives longer than allowed.
pub(super) fn expiry_range(jti: &Uuid) -> (i64, i64) {
    let born = (uuid_v7_ms(jti) / 1000) as i64;
    (born - 60, born + MAX_TOKEN_LIFETIME + 60)
}

/// Ids and expiries that are asked for, each once and in order: neighbours are on the same pages.
pub(super) fn distinct(wanted: &[(Uuid, i64)]) -> Vec<(Uuid, i64)> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// Kind and id of a target.
pub(super) fn target(target: &RevocationTarget) -> (&'static str, String) {
    match target {
        RevocationTarget::Token { jti, .. } => ("token", jti.to_string()),
        RevocationTarget::Client(id) => ("client", id.clone()),
        RevocationTarget::User(id) => ("user", id.clone()),
        RevocationTarget::Key(kid) => ("key", kid.clone()),
        RevocationTarget::Issuer => ("issuer", String::new()),
    }
}

/// When nothing that a revocation names can be valid any more.
pub(super) fn revocation_expiry(revocation: &Revocation) -> i64 {
    match revocation.target {
        RevocationTarget::Token { expires_at, .. } => expires_at,
        _ => cutoff_expiry(revocation.cutoff_ms),
    }
}

/// As [`revocation_expiry`], for a cut-off. A day on top for clocks that disagree.
pub(super) fn cutoff_expiry(cutoff_ms: u64) -> i64 {
    (cutoff_ms / 1000) as i64 + MAX_TOKEN_LIFETIME + 24 * 3600
}

pub(super) fn revocation(kind: &str, id: String, cutoff_ms: i64, expires_at: i64) -> Result<Revocation> {
    let target = match kind {
        "token" => {
            let jti = id
                .parse()
                .map_err(|_| StoreError::Corrupt(format!("a revocation names the token {id:?}")))?;
            RevocationTarget::Token { jti, expires_at }
        }
        "client" => RevocationTarget::Client(id),
        "user" => RevocationTarget::User(id),
        "key" => RevocationTarget::Key(id),
        "issuer" => RevocationTarget::Issuer,
        other => {
            return Err(StoreError::Corrupt(format!(
                "a revocation has the unknown target {other:?}"
            )));
        }
    };
    Ok(Revocation {
        target,
        cutoff_ms: cutoff_ms as u64,
    })
}

/// The change that an audit row stands for, if a running server cares.
pub(super) fn change(action: &str, target_id: String) -> Option<Change> {
    match action.split_once('.')?.0 {
        "client" => Some(Change::Client(target_id)),
        "key" => Some(Change::Keys),
        _ => None,
    }
}

/// A client's policy as its column holds it.
pub(super) fn policy(client: &Client) -> Option<serde_json::Value> {
    let policy = client.policy.as_deref()?;
    // Plain members under names that are strings: there is nothing that could fail.
    Some(serde_json::to_value(policy).unwrap_or_default())
}

/// A client's policy out of its column.
pub(super) fn read_policy(document: Option<serde_json::Value>) -> Result<Option<Arc<Policy>>> {
    document
        .map(|document| serde_json::from_value(document).map(Arc::new))
        .transpose()
        .map_err(|error| bad_policy(&error))
}

pub(super) fn bad_policy(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("a client's policy cannot be read: {error}"))
}

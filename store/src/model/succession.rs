//! Rules for adding and revoking signing keys, applied by both backends to the keys read in the same transaction.

use std::fmt::Write;

use super::key::{KeyRevocation, StoredKey};
use super::verify_only::{KeySet, MAX_VERIFY_ONLY_KEYS, VerifyOnlyKey};

/// Maximum number of keys per algorithm: verifiers read all of them.
pub const MAX_KEYS_PER_ALGORITHM: u32 = 64;

/// The change that keeps an algorithm with an active key when a key is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Succession {
    /// No change: another key is active.
    None,
    /// Activate the published key with this `kid` now.
    Activate(String),
    /// Add the replacement, which is active at once.
    Replace,
}

/// Rejects a key whose algorithm has the maximum number of keys already.
pub fn check_key_limit(known: &[StoredKey], key: &StoredKey) -> Result<(), String> {
    let same_algorithm = known.iter().filter(|other| other.algorithm == key.algorithm).count();
    if same_algorithm < MAX_KEYS_PER_ALGORITHM as usize {
        return Ok(());
    }
    Err(format!(
        "the maximum of {MAX_KEYS_PER_ALGORITHM} keys for {} is reached: wait until retired keys are removed, or revoke some",
        key.algorithm
    ))
}

/// The error of adding a revoked key. Its tokens are revoked, and a holder of the leaked private key could sign again.
pub fn revoked_key_error(kid: &str) -> String {
    format!("the key {kid} was revoked and cannot be added again: use another key")
}

/// Id of the second revocation row of a key, derived from the public key, so that a revoked key is recognised under
/// another `kid`. No `kid` has this form.
pub fn public_key_id(public_key: &[u8]) -> String {
    public_key.iter().fold(String::from("public:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether every key of the algorithm is activated at `after_ms` or earlier. `None`: always true.
pub fn is_newest(known: &[StoredKey], key: &StoredKey, after_ms: Option<i64>) -> bool {
    after_ms.is_none_or(|after| {
        known
            .iter()
            .filter(|other| other.algorithm == key.algorithm)
            .all(|other| other.signs_from_ms <= after)
    })
}

/// The change that the revocation of a key requires; `None`: there is no such key.
pub fn succession(known: &[StoredKey], revocation: &KeyRevocation) -> Option<Succession> {
    let revoked = known.iter().find(|key| key.kid == revocation.kid)?;
    let now = revocation.now_ms as i64;
    let others = || {
        known
            .iter()
            .filter(|key| key.algorithm == revoked.algorithm && key.kid != revoked.kid)
    };
    if revoked.signs_from_ms > now {
        // It was never active.
        return Some(Succession::None);
    }
    // A key that was retired before this one is not activated again.
    let newer = |key: &&StoredKey| (key.signs_from_ms, &key.kid) > (revoked.signs_from_ms, &revoked.kid);
    if others().filter(newer).any(|key| key.signs_from_ms <= now) {
        return Some(Succession::None);
    }
    let next = others().filter(newer).min_by_key(|key| key.signs_from_ms);
    Some(next.map_or(Succession::Replace, |key| Succession::Activate(key.kid.clone())))
}

/// What the import of a verify-only key changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyOnlyImport {
    /// It is stored already.
    Unchanged,
    /// It is stored already, and kept until another time or published otherwise.
    Changed,
    /// It is not stored yet.
    New,
}

/// What the import of a verify-only key changes. The error: another key has its id, or there are too many. A signing key may have the
/// same id if it is the same key: it signs for this server now, and still verifies what the other issuer signed with it.
pub fn verify_only_import(known: &KeySet, key: &VerifyOnlyKey) -> Result<VerifyOnlyImport, String> {
    let is_same = |algorithm, public_key: &[u8]| algorithm == key.algorithm && public_key == key.public_key;
    let mut signing = known.signing.iter();
    if let Some(other) = signing.find(|other| other.kid == key.kid && !is_same(other.algorithm, &other.public_key)) {
        return Err(taken(&key.kid, &format!("a signing key for {}", other.algorithm)));
    }
    let Some(stored) = known.verify_only.iter().find(|stored| stored.kid == key.kid) else {
        if known.verify_only.len() >= MAX_VERIFY_ONLY_KEYS {
            return Err(format!(
                "the maximum of {MAX_VERIFY_ONLY_KEYS} verify-only keys is reached: revoke some, or import only the keys that sign"
            ));
        }
        return Ok(VerifyOnlyImport::New);
    };
    if !is_same(stored.algorithm, &stored.public_key) {
        return Err(taken(&key.kid, &format!("a verify-only key for {}", stored.algorithm)));
    }
    if stored.issuer != key.issuer {
        return Err(format!(
            "the key {} is stored for the issuer {} already: revoke it first",
            key.kid, stored.issuer
        ));
    }
    let is_unchanged = stored.kept_until == key.kept_until && stored.published == key.published;
    Ok(if is_unchanged {
        VerifyOnlyImport::Unchanged
    } else {
        VerifyOnlyImport::Changed
    })
}

/// Rejects a signing key with the id of another key that only verifies.
pub fn check_kid(verify_only: &[VerifyOnlyKey], key: &StoredKey) -> Result<(), String> {
    let is_other = |other: &&VerifyOnlyKey| other.kid == key.kid && other.public_key != key.public_key;
    verify_only.iter().find(is_other).map_or(Ok(()), |other| {
        Err(taken(&key.kid, &format!("a verify-only key for {}", other.algorithm)))
    })
}

fn taken(kid: &str, by: &str) -> String {
    format!("another key has the id {kid} already, {by}")
}

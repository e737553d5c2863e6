//! Rules for adding and revoking signing keys, applied by both backends to the keys read in the same transaction.

use std::fmt::Write;

use serde_json::json;

use super::audit::AuditEntry;
use super::key::{KeyAlgorithm, KeyRevocation, StoredKey};
use super::verify_only::{KeySet, MAX_VERIFY_ONLY_KEYS, VerifyOnlyKey};

/// Maximum number of keys per algorithm: verifiers read all of them.
pub const MAX_KEYS_PER_ALGORITHM: u32 = 64;

/// The change that keeps an algorithm with an active key when a key is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession<'a> {
    /// No change: another key is active.
    None,
    /// Activate the published key with this `kid` now.
    Activate(&'a str),
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

/// Rejects a key that waits for its verifiers if another of its algorithm does.
pub fn check_none_waits(known: &[StoredKey], key: &StoredKey) -> Result<(), String> {
    let now_ms = key.created_at.saturating_mul(1000);
    let waits =
        |other: &&StoredKey| other.algorithm == key.algorithm && other.when_seen && other.signs_from_ms > now_ms;
    match known.iter().find(waits) {
        Some(other) if key.when_seen => Err(format!(
            "the key {} for {} waits for its verifiers already; key status names them",
            other.kid, other.algorithm
        )),
        _ => Ok(()),
    }
}

/// When a key counts as created, Unix seconds: now, but after every other key and every key set that was fetched, also if the clock was set
/// back. Otherwise the generation of the key set would not grow, and callers would count as having the key. `newest_fetched`: the newest
/// generation that a caller has.
pub fn created_at(known: &[StoredKey], newest_fetched: i64, now: i64) -> i64 {
    let newest = known.iter().map(|key| key.created_at).max().unwrap_or(i64::MIN);
    let newest = newest.max(newest_fetched / 1000);
    if newest > now { newest + 1 } else { now }
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

/// The rows that a revocation deletes, and the changes that it requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationPlan<'a> {
    /// The ids under which the revoked key is stored, the requested one first: as a signing key, or as keys that only verify.
    pub kids: Vec<&'a str>,
    /// Its public key; two if ids were given away twice.
    pub public_keys: Vec<&'a [u8]>,
    /// Published keys to activate now.
    pub activated: Vec<&'a str>,
    /// Keys to add, which are active at once.
    pub added: Vec<&'a StoredKey>,
}

impl RevocationPlan<'_> {
    /// The ids of the rows in the revocation log.
    pub fn revoked_ids(&self) -> Vec<String> {
        let of_public_keys = self.public_keys.iter().map(|key| public_key_id(key));
        of_public_keys
            .chain(self.kids.iter().map(|kid| (*kid).to_owned()))
            .collect()
    }

    /// The audit row of the revoked keys: as given, with the key that signs instead if the revocation makes it do so.
    pub fn audit(&self, given: &AuditEntry) -> AuditEntry {
        let mut audit = given.clone();
        let added = self.added.first().map(|key| &*key.kid);
        if let Some(kid) = added.or(self.activated.first().copied()) {
            audit.detail["replacement"] = kid.into();
        }
        audit
    }

    /// The audit row of a key that is added: it is a new key, not a revoked one.
    pub fn audit_of_added(given: &AuditEntry, key: &StoredKey) -> AuditEntry {
        let mut detail = json!({"algorithm": key.algorithm, "signs_from_ms": key.signs_from_ms});
        if let Some(credential) = given.detail.get("credential") {
            detail["credential"] = credential.clone();
        }
        AuditEntry {
            actor: given.actor.clone(),
            action: "key.create",
            detail,
        }
    }

    /// Every audit row of the revocation, with the key that it is about.
    pub fn audit_rows(&self, given: &AuditEntry) -> Vec<(String, AuditEntry)> {
        let of_revoked = self.audit(given);
        let revoked = self.kids.iter().map(|kid| ((*kid).to_owned(), of_revoked.clone()));
        let added = self.added.iter();
        let added = added.map(|key| (key.kid.clone(), Self::audit_of_added(given, key)));
        revoked.chain(added).collect()
    }
}

/// The changes of revoking a key. `Ok(None)`: there is no such key. A leaked private key signs for every id under which its public
/// key is stored, so all of these are revoked. The error: a replacement is lacking.
pub fn revocation_plan<'a>(
    known: &'a KeySet,
    revocation: &'a KeyRevocation,
) -> Result<Option<RevocationPlan<'a>>, String> {
    let public_keys = public_keys_of(known, &revocation.kid);
    if public_keys.is_empty() {
        return Ok(None);
    }
    let signing = known
        .signing
        .iter()
        .filter(|key| public_keys.contains(&&*key.public_key));
    let verify_only = known.verify_only.iter();
    let verify_only = verify_only.filter(|key| public_keys.contains(&&*key.public_key));
    let mut kids: Vec<&str> = vec![revocation.kid.as_str()];
    let all = signing.clone().map(|key| &*key.kid);
    for kid in all.chain(verify_only.map(|key| &*key.kid)) {
        if !kids.contains(&kid) {
            kids.push(kid);
        }
    }
    let (mut activated, mut added) = (Vec::new(), Vec::new());
    for key in signing {
        let is_kept = |other: &&StoredKey| !public_keys.contains(&&*other.public_key);
        match succession(&known.signing.iter().filter(is_kept), key, revocation.now_ms as i64) {
            Succession::None => {}
            Succession::Activate(kid) => activated.push(kid),
            Succession::Replace => {
                let mut replacements = revocation.replacements.iter();
                let replacement = replacements.find(|replacement| replacement.algorithm == key.algorithm);
                added.push(replacement.ok_or("the keys were changed meanwhile: revoke the key again")?);
            }
        }
    }
    Ok(Some(RevocationPlan {
        kids,
        public_keys,
        activated,
        added,
    }))
}

/// The algorithms of the signing keys that the revocation of a key removes. `None`: there is no such key.
pub fn revoked_algorithms(known: &KeySet, kid: &str) -> Option<Vec<KeyAlgorithm>> {
    let public_keys = public_keys_of(known, kid);
    let signing = known
        .signing
        .iter()
        .filter(|key| public_keys.contains(&&*key.public_key));
    (!public_keys.is_empty()).then(|| signing.map(|key| key.algorithm).collect())
}

fn public_keys_of<'a>(known: &'a KeySet, kid: &str) -> Vec<&'a [u8]> {
    let signing = known.signing.iter().map(|key| (&key.kid, &key.public_key));
    let verify_only = known.verify_only.iter().map(|key| (&key.kid, &key.public_key));
    let mut public_keys: Vec<&[u8]> = signing
        .chain(verify_only)
        .filter(|(of, _)| *of == kid)
        .map(|(_, public_key)| &**public_key)
        .collect();
    public_keys.dedup();
    public_keys
}

/// The change that keeps the algorithm of a revoked key with an active key. `now`: Unix milliseconds.
pub fn succession<'a>(
    known: &(impl Iterator<Item = &'a StoredKey> + Clone),
    revoked: &StoredKey,
    now: i64,
) -> Succession<'a> {
    let others = || {
        known
            .clone()
            .filter(|key| key.algorithm == revoked.algorithm && key.kid != revoked.kid)
    };
    if revoked.signs_from_ms > now {
        // It was never active.
        return Succession::None;
    }
    // A key that was retired before this one is not activated again.
    let newer = |key: &&StoredKey| (key.signs_from_ms, &key.kid) > (revoked.signs_from_ms, &revoked.kid);
    if others().filter(newer).any(|key| key.signs_from_ms <= now) {
        return Succession::None;
    }
    let next = others().filter(newer).min_by_key(|key| key.signs_from_ms);
    next.map_or(Succession::Replace, |key| Succession::Activate(&key.kid))
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
    let is_same = |other: &VerifyOnlyKey| (other.algorithm, &other.public_key) == (key.algorithm, &key.public_key);
    let is_other = |other: &&VerifyOnlyKey| other.kid == key.kid && !is_same(other);
    verify_only.iter().find(is_other).map_or(Ok(()), |other| {
        Err(taken(&key.kid, &format!("a verify-only key for {}", other.algorithm)))
    })
}

fn taken(kid: &str, by: &str) -> String {
    format!("another key has the id {kid} already, {by}")
}

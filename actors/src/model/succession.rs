//! Which key follows which: decided on what the store holds at that moment, by either store alike.

use std::fmt::Write;

use super::{KeyRevocation, StoredKey};

/// Keys that an algorithm may have at a time: verifiers read all of them.
pub const MOST_KEYS: u32 = 64;

/// What has to happen so that somebody signs when a key is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Succession {
    /// Nothing: another key signs.
    None,
    /// The key of this name, which is published already, signs from now on.
    Promote(String),
    /// The replacement signs from now on.
    Replace,
}

/// Refuses a key too many.
pub fn check_room(known: &[StoredKey], key: &StoredKey) -> Result<(), String> {
    let beside = known.iter().filter(|other| other.algorithm == key.algorithm).count();
    if beside < MOST_KEYS as usize {
        return Ok(());
    }
    Err(format!(
        "there are {MOST_KEYS} keys for {} already: wait until old ones are removed, or revoke some",
        key.algorithm
    ))
}

/// Why a key that was revoked is refused: what it has signed is dead, and whoever has it could sign again.
pub fn revoked(key: &StoredKey) -> String {
    format!(
        "the key {} was revoked and cannot be taken back: make another one",
        key.kid
    )
}

/// What a revoked key is remembered by beside its name, which somebody may give it anew: no key is called so.
pub fn material(key: &StoredKey) -> String {
    key.public_key.iter().fold(String::from("public:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether no key of the algorithm is newer than what the caller knew of (`None`: the caller does not care).
pub fn is_newest(known: &[StoredKey], key: &StoredKey, after_ms: Option<i64>) -> bool {
    after_ms.is_none_or(|after| {
        known
            .iter()
            .filter(|other| other.algorithm == key.algorithm)
            .all(|other| other.signs_from_ms <= after)
    })
}

/// Who signs once the key is gone; `None`: there is no such key.
pub fn succession(known: &[StoredKey], revocation: &KeyRevocation) -> Option<Succession> {
    let revoked = known.iter().find(|key| key.kid == revocation.kid)?;
    let now = revocation.now_ms as i64;
    let others = || {
        known
            .iter()
            .filter(|key| key.algorithm == revoked.algorithm && key.kid != revoked.kid)
    };
    if revoked.signs_from_ms > now {
        // It never signed.
        return Some(Succession::None);
    }
    // One that signed before it has had its time and does not come back.
    let newer = |key: &&StoredKey| (key.signs_from_ms, &key.kid) > (revoked.signs_from_ms, &revoked.kid);
    if others().filter(newer).any(|key| key.signs_from_ms <= now) {
        return Some(Succession::None);
    }
    let next = others().filter(newer).min_by_key(|key| key.signs_from_ms);
    Some(next.map_or(Succession::Replace, |key| Succession::Promote(key.kid.clone())))
}

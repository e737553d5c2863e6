//! Verifiers of the published key sets.

use super::names::names;

names! {
    /// A published key set.
    KeyDocument {
        /// The keys of JWT (RFC 7517 section 5).
        Jwks = "jwks",
        /// The keys of PASETO.
        Paseto = "paseto",
    }
}

/// Maximum number of verifiers of the key sets that are remembered; the verifiers seen last are kept.
pub const MAX_KEY_VERIFIERS: usize = 1000;

/// A verifier is forgotten when it was not seen for this long, seconds.
pub const FORGET_AFTER: i64 = 30 * 24 * 3600;

/// The user agent of verifiers that are counted as one.
pub const MERGED: &str = "(other)";

/// A verifier of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVerifier {
    /// Which key set.
    pub document: KeyDocument,
    /// Its address.
    pub address: String,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// When it was first seen.
    pub first_seen: i64,
    /// When it was last seen.
    pub last_seen: i64,
    /// The generation of the set that it fetched last: [`generation`].
    pub generation: i64,
    /// How often it fetched.
    pub fetches: u64,
}

impl KeyVerifier {
    /// Whether this row may stand for several verifiers, so that a fetch by one of them says nothing about the others.
    pub fn is_merged(&self) -> bool {
        self.user_agent == MERGED
    }
}

/// The generation of a key set with keys that were published at these times, Unix seconds: greater than that of every set before the
/// newest of these keys was added. Removing older keys does not change it.
pub fn generation(published_at: impl Iterator<Item = i64> + Clone) -> i64 {
    let Some(newest) = published_at.clone().max() else {
        return 0;
    };
    let count = published_at.filter(|at| *at == newest).count().min(999) as i64;
    newest.saturating_mul(1000).saturating_add(count)
}

#[cfg(test)]
mod tests {
    use super::generation;

    #[test]
    fn a_generation_grows_with_each_new_key_and_not_when_old_ones_are_removed() {
        let of = |times: &[i64]| generation(times.iter().copied());
        assert_eq!(of(&[]), 0);
        assert!(of(&[5]) < of(&[5, 5]) && of(&[5, 5]) < of(&[5, 5, 6]));
        assert_eq!(of(&[1, 5, 6]), of(&[6]));
    }
}

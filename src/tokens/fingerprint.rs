//! What tells tokens apart in memory: 128 bits of each, under a key that only this process has and never shows.
//!
//! POLYVAL (RFC 8452 section 3) is a universal hash: whoever does not know the key and sees no fingerprint finds two texts with
//! the same one with a chance of *n* in 2^128 a try, where *n* is their length in blocks of 16 bytes. That is all that is
//! needed here, for a third of what SHA-256 costs.

use polyval::universal_hash::UniversalHash;
use polyval::{Key, Polyval};

use super::secret::{self, NoRandomness};

/// Of one token. It means nothing outside the process.
pub type Fingerprint = [u8; 16];

/// Makes fingerprints under one key.
#[derive(Debug)]
pub struct Fingerprints(Polyval);

impl Fingerprints {
    /// With a key of its own.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut key = Key::default();
        key.copy_from_slice(&secret::random_bytes()?[..size_of::<Key>()]);
        Ok(Self(Polyval::new(&key)))
    }

    /// The fingerprint of a text, all of it.
    pub fn of(&self, text: &str) -> Fingerprint {
        let mut hash = self.0.clone();
        hash.update_padded(text.as_bytes());
        // Else a text would be taken for itself with zero bytes behind it, which are the padding.
        let length = (text.len() as u128).to_le_bytes();
        hash.update(&[length.into()]);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_change_of_a_text_is_seen(text in "[a-z\0]{1,64}", at in any::<prop::sample::Index>(), more in "[a\0]{1,20}") {
            let fingerprints = Fingerprints::new().unwrap();
            let own = fingerprints.of(&text);
            prop_assert_eq!(fingerprints.of(&text), own);
            prop_assert_ne!(fingerprints.of(&format!("{text}{more}")), own, "longer");
            prop_assert_ne!(fingerprints.of(&text[1..]), own, "shorter");
            let mut other = text.clone().into_bytes();
            other[at.index(text.len())] ^= 1;
            prop_assert_ne!(fingerprints.of(str::from_utf8(&other).unwrap()), own, "altered");
        }
    }

    #[test]
    fn another_process_has_other_fingerprints() {
        let (one, other) = (Fingerprints::new().unwrap(), Fingerprints::new().unwrap());
        assert_ne!(one.of("token"), other.of("token"));
    }
}

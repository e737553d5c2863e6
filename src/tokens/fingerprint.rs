//! Fingerprints: keyed 128-bit hashes that identify tokens in memory. The key is random and never leaves the process.
//!
//! POLYVAL (RFC 8452 section 3) is a universal hash: without knowledge of the key or of any fingerprint, an attempt to find two
//! texts with the same fingerprint succeeds with a probability of at most *n* / 2^128, where *n* is the length in blocks of
//! 16 bytes. This is sufficient here, at a third of the cost of SHA-256.

use polyval::universal_hash::UniversalHash;
use polyval::{Key, Polyval};

use super::secret::{self, NoRandomness};

/// The fingerprint of one text. Meaningless outside the process.
pub type Fingerprint = [u8; 16];

/// Computes fingerprints under one key.
#[derive(Debug)]
pub struct Fingerprints(Polyval);

impl Fingerprints {
    /// Generates a new key.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut key = Key::default();
        key.copy_from_slice(&secret::random_bytes()?[..size_of::<Key>()]);
        Ok(Self(Polyval::new(&key)))
    }

    /// The fingerprint of a text.
    pub fn of(&self, text: &str) -> Fingerprint {
        let mut hash = self.0.clone();
        hash.update_padded(text.as_bytes());
        // Without the length, a text and the same text with appended zero bytes (the padding) would have one fingerprint.
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
        fn changed_text_has_another_fingerprint(text in "[a-z\0]{1,64}", at in any::<prop::sample::Index>(), suffix in "[a\0]{1,20}") {
            let fingerprints = Fingerprints::new().unwrap();
            let original = fingerprints.of(&text);
            prop_assert_eq!(fingerprints.of(&text), original);
            prop_assert_ne!(fingerprints.of(&format!("{text}{suffix}")), original, "longer");
            prop_assert_ne!(fingerprints.of(&text[1..]), original, "shorter");
            let mut other = text.clone().into_bytes();
            other[at.index(text.len())] ^= 1;
            prop_assert_ne!(fingerprints.of(str::from_utf8(&other).unwrap()), original, "altered");
        }
    }

    #[test]
    fn each_instance_has_its_own_key() {
        let (one, other) = (Fingerprints::new().unwrap(), Fingerprints::new().unwrap());
        assert_ne!(one.of("token"), other.of("token"));
    }
}

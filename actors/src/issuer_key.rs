//! Keys that only the nodes of an issuer can derive: from the key encryption key, which every node has.

use aws_lc_rs::hmac;

/// The key encryption key and, while it is being replaced, the other one.
#[derive(Clone)]
pub struct IssuerKey {
    current: [u8; 32],
    previous: Option<[u8; 32]>,
}

impl std::fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerKey").finish_non_exhaustive()
    }
}

impl IssuerKey {
    /// Of these key encryption keys.
    pub fn new(current: [u8; 32], previous: Option<[u8; 32]>) -> Self {
        Self { current, previous }
    }

    /// Derives keys for HMAC-SHA-256, the current one first. `purpose`: different for each use. While the key encryption key is being
    /// replaced, each two nodes have a key in common, but not all nodes the same one first.
    pub fn derive(&self, purpose: &[u8]) -> Vec<hmac::Key> {
        let derive = |key: &[u8; 32]| {
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose);
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        };
        std::iter::once(&self.current)
            .chain(&self.previous)
            .map(derive)
            .collect()
    }
}

//! What the nodes of an issuer, and nobody else, can compute: keys derived from the key encryption key, which every node has.

use aws_lc_rs::hmac;

/// The key encryption key and, while it is being replaced, the previous one.
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

/// Keys that are derived for one purpose.
#[derive(Debug, Clone)]
pub struct DerivedKeys {
    /// Known to every node, also to those that were not restarted yet since the key encryption key is being replaced.
    pub common: hmac::Key,
    /// All that any node may use.
    pub any: Vec<hmac::Key>,
}

impl IssuerKey {
    /// Of these key encryption keys.
    pub fn new(current: [u8; 32], previous: Option<[u8; 32]>) -> Self {
        Self { current, previous }
    }

    /// Derives keys for HMAC-SHA-256. `purpose`: different for each use.
    pub fn derive(&self, purpose: &[u8]) -> DerivedKeys {
        let derive = |key: &[u8; 32]| {
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose);
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        };
        let keys = std::iter::once(&self.current).chain(&self.previous);
        DerivedKeys {
            common: derive(self.previous.as_ref().unwrap_or(&self.current)),
            any: keys.map(derive).collect(),
        }
    }
}

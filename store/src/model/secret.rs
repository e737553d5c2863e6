//! Secrets of clients, of which only hashes are stored.

use std::fmt;

/// SHA-256 of a client secret. A fast hash is enough: generated secrets have 256 bits, and given secrets have a minimum length.
pub type SecretHash = [u8; 32];

/// What a presented secret is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretVerifier {
    /// SHA-256 of the secret.
    Fast(SecretHash),
    /// A hash that another product made: slow to verify.
    Foreign(Box<ForeignHash>),
    /// SHA-256 of a secret that was imported with a hash of another product.
    Replaced(Box<ReplacedHash>),
}

/// The hash of another product.
#[derive(Clone, PartialEq, Eq)]
pub struct ForeignHash {
    /// Identifies the hash among the secrets of a client. It is no SHA-256 of a text that can be presented.
    pub id: SecretHash,
    /// The hash with its scheme and parameters, in one spelling per scheme.
    pub text: Box<str>,
}

// A weak secret could be guessed from it.
impl fmt::Debug for ForeignHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignHash")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The hash that replaced a hash of another product at the first authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedHash {
    /// SHA-256 of the secret.
    pub hash: SecretHash,
    /// The id of the hash that it replaced.
    pub id: SecretHash,
}

/// One secret of a client: a client has two during the overlap of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecret {
    /// What a presented secret is compared with.
    pub verifier: SecretVerifier,
    /// When the secret expires; `None` for the current one.
    pub expires_at: Option<i64>,
}

impl SecretVerifier {
    /// Identifies the secret for as long as it is stored, also when its hash is replaced.
    pub fn id(&self) -> &SecretHash {
        match self {
            Self::Fast(hash) => hash,
            Self::Foreign(foreign) => &foreign.id,
            Self::Replaced(replaced) => &replaced.id,
        }
    }

    /// Whether both are of the same secret, as far as their hashes show.
    pub fn is_same_secret(&self, other: &Self) -> bool {
        match (self.fast(), other.fast()) {
            (Some(one), Some(other)) => one == other,
            _ => self.id() == other.id(),
        }
    }

    /// SHA-256 of the secret, unless only another product's hash is known.
    pub fn fast(&self) -> Option<&SecretHash> {
        match self {
            Self::Fast(hash) => Some(hash),
            Self::Foreign(_) => None,
            Self::Replaced(replaced) => Some(&replaced.hash),
        }
    }

    /// The hash of another product.
    pub fn foreign(&self) -> Option<&ForeignHash> {
        match self {
            Self::Foreign(foreign) => Some(foreign),
            Self::Fast(_) | Self::Replaced(_) => None,
        }
    }
}

impl ClientSecret {
    /// A secret of which the SHA-256 is known.
    pub fn fast(hash: SecretHash, expires_at: Option<i64>) -> Self {
        Self {
            verifier: SecretVerifier::Fast(hash),
            expires_at,
        }
    }

    /// As [`SecretVerifier::id`].
    pub fn id(&self) -> &SecretHash {
        self.verifier.id()
    }

    /// Whether it can still authenticate. `now`: Unix seconds.
    pub fn is_valid(&self, now: i64) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

//! The published key sets.

use serde::Serialize;
use utoipa::ToSchema;

use crate::tokens::jwt::{Jwk, JwkParameters};

/// The published keys of JWT (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JwkSet {
    /// EC, then RSA, then OKP; newest first.
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    /// Some verifiers stop at the first key that they cannot read, or cannot use for the algorithm of the token. So the keys of the
    /// default algorithm come first, then RSA, then OKP. Otherwise the order stays.
    #[must_use]
    pub fn in_readable_order(mut self) -> Self {
        self.keys.sort_by_key(|key| match key.parameters {
            JwkParameters::Ec { .. } => 0,
            JwkParameters::Rsa { .. } => 1,
            JwkParameters::Okp { .. } => 2,
        });
        self
    }
}

/// The published keys of PASETO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PasetoKeySet {
    /// Newest first.
    pub keys: Vec<PublishedPasetoKey>,
}

/// A published PASETO key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PublishedPasetoKey {
    /// Key id, a PASERK id: `k4.pid.…`.
    pub kid: String,
    /// The public key.
    #[schema(pattern = "^k4\\.public\\.")]
    pub paserk: String,
}

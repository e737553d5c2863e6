//! Hashes of other products in the requests and files of clients.

use oauth2_store::model;
use oauth2_store::model::SecretVerifier;

use crate::protocol::client_auth::foreign_hash::{self, ForeignHash, Imported, Scheme};
use crate::service::error::InvalidMetadata;

/// The field with a hash as another product stored it.
pub(super) const HASH: &str = "client_secret_hash";

/// The field that names its scheme.
pub(super) const SCHEME: &str = "client_secret_hash_scheme";

/// The stored form of a hash of another product.
#[derive(Debug, Clone)]
pub(super) struct Verifier {
    pub(super) verifier: SecretVerifier,
    /// Whether a long secret verifies by its beginning.
    pub(super) is_truncating: bool,
}

/// Reads the two fields. The error names one of them.
pub(super) fn read(hash: &str, scheme: Option<&str>) -> Result<Verifier, InvalidMetadata> {
    let scheme = scheme.map(str::parse).transpose();
    let scheme: Option<Scheme> = scheme.map_err(|reason| InvalidMetadata::new(SCHEME, reason))?;
    read_as(hash, scheme).map_err(|reason| InvalidMetadata::new(HASH, reason))
}

/// Reads a hash. The error is the rest of a sentence that begins with the field.
pub(super) fn read_as(hash: &str, scheme: Option<Scheme>) -> Result<Verifier, String> {
    let verifier = match foreign_hash::import(hash, scheme)? {
        Imported::Fast(hash) => Verifier {
            verifier: SecretVerifier::Fast(hash),
            is_truncating: false,
        },
        Imported::Foreign(foreign) => Verifier {
            is_truncating: foreign.ignores_the_end_of_long_secrets(),
            verifier: stored(&foreign),
        },
    };
    Ok(verifier)
}

fn stored(foreign: &ForeignHash) -> SecretVerifier {
    SecretVerifier::Foreign(Box::new(model::ForeignHash {
        id: foreign.id(),
        text: foreign.text().into(),
    }))
}

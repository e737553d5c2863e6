//! A presented client secret, and its comparison with the stored hashes.

use std::borrow::Cow;
use std::hint::black_box;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use oauth2_store::model::{Client, ForeignHash};

use crate::tokens::secret;

/// The shortest secret that authenticates, bytes. A shorter one cannot have 128 bits of randomness; it can only come from an imported
/// hash.
const MIN_LENGTH: usize = 20;

/// Compared for unknown clients. No known secret has this hash.
const DUMMY: [u8; 32] = [0; 32];

/// A presented client id and secret, unverified.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret<'a> {
    /// The presented client id.
    pub client_id: Cow<'a, str>,
    secret: Cow<'a, str>,
}

impl std::fmt::Debug for ClientSecret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSecret")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl<'a> ClientSecret<'a> {
    /// Credentials as presented in a request.
    pub fn new(client_id: Cow<'a, str>, secret: Cow<'a, str>) -> Self {
        Self { client_id, secret }
    }

    /// The secret. Must not appear in logs and errors.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// The unexpired hashes of other products that a client has and that this secret may match; none if the client is disabled. They may have
    /// been made of a short secret: they are slow.
    pub fn foreign_hashes<'c>(&self, client: &'c Client, now: i64) -> impl Iterator<Item = &'c ForeignHash> {
        let secrets = if client.disabled || self.secret.is_empty() {
            &[][..]
        } else {
            &*client.secrets
        };
        let valid = secrets.iter().filter(move |secret| secret.is_valid(now));
        valid.filter_map(|secret| secret.verifier.foreign())
    }

    /// Whether the client is enabled and the secret has [`MIN_LENGTH`] and is one of its unexpired secrets. `now`: Unix seconds. Takes the same time for
    /// every outcome, including an unknown client (`None`).
    pub fn matches(&self, client: Option<&Client>, now: i64) -> bool {
        let presented = secret::hash(&*self.secret);
        let equals = |hash: &[u8; 32]| verify_slices_are_equal(&presented, hash).is_ok();
        let secrets = client.map_or(&[][..], |client| &*client.secrets);
        let hashes = secrets
            .iter()
            .filter(|secret| secret.is_valid(now))
            .filter_map(|secret| secret.verifier.fast());
        // No early exit: every secret is compared.
        let (is_match, compared) = hashes.fold((false, 0), |(is_match, compared), hash| {
            (equals(hash) | is_match, compared + 1)
        });
        if compared == 0 {
            black_box(equals(&DUMMY));
        }
        is_match && self.secret.len() >= MIN_LENGTH && client.is_some_and(|client| !client.disabled)
    }
}

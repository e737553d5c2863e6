//! The grants, one a file. A grant decides what a token says; it records and signs nothing.

use std::sync::Arc;

use oauth2_actors::model::{Ledger, SigningAlg, TokenFormat};

use crate::tokens::claims::Claims;

pub mod client_credentials;

/// What the server grants where a client has no setting of its own.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// This issuer.
    pub issuer: Arc<str>,
    /// Format of access tokens.
    pub format: TokenFormat,
    /// Whether tokens are recorded.
    pub ledger: Ledger,
    /// Seconds that access tokens live.
    pub lifetime: u32,
}

/// A token that was decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it says.
    pub claims: Claims,
    /// How it is written down.
    pub format: TokenFormat,
    /// What signs it, if it is a JWT.
    pub signing_alg: SigningAlg,
    /// Whether it is recorded. Opaque tokens always are.
    pub ledger: Ledger,
    /// Seconds that it lives.
    pub lifetime: u32,
}

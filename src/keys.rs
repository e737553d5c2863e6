//! The signing keys of this issuer.
//!
//! - [`keyring`]: the keys as loaded on this node: which key signs, which keys verify, and which keys are published
//!   ([`key_sets`]).
//! - [`lifecycle`]: publish, activate, retire, remove: a pure function of the keys' timestamps.
//! - [`wrapping`]: private keys at rest, encrypted under the key encryption key.
//! - [`generate`], [`import`]: new key pairs, and key pairs generated elsewhere.
//! - [`public_keys`]: verifies a token with published keys alone.
//! - [`verifiers`]: which verifiers have fetched which keys.
//! - [`verify_only`]: keys of the issuer that this server replaces.
//!
//! No module here depends on HTTP, actors, the store or a clock: times are passed in.

pub mod generate;
pub mod import;
pub mod key_sets;
pub mod keyring;
pub mod lifecycle;
pub mod public_keys;
pub mod verifiers;
pub mod verify_only;
pub mod wrapping;

mod error;

pub use error::KeyError;

//! Access tokens: what they claim, and the three ways of writing them down.
//!
//! - [`claims`]: what a token says, and its two JSON forms; [`json`]: how they are written.
//! - [`paseto`], [`jwt`]: self-contained tokens. The signature is aws-lc's; `pasetors` is the reference that tests hold it to.
//! - [`opaque`]: references whose row is found in one partition.
//! - [`keyring`]: the signing keys, opened, and the documents that publish them; [`lifecycle`]: which of them signs when;
//!   [`generate`], [`import`]: where they come from; [`sealing`]: how they rest in the store.
//! - [`issued`], [`verified`]: tokens that were signed here, and tokens whose signature was checked before;
//!   [`reuse`]: tokens that are given out again.
//! - [`secret`]: client secrets; [`peek`]: what a token says of itself, unverified;
//!   [`inspect`]: by the published keys alone.
//!
//! Nothing here knows of HTTP, actors or a clock: times are passed in.

pub mod claims;
pub mod fingerprint;
pub mod generate;
pub mod import;
pub mod inspect;
pub mod issued;
pub mod json;
pub mod jwt;
pub mod keyring;
pub mod lifecycle;
pub mod opaque;
pub mod paseto;
pub mod peek;
pub mod reuse;
pub mod sealing;
pub mod secret;
pub mod verified;

/// The longest token that is looked at; anything longer is not one of ours.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// base64url without padding (RFC 4648 section 5); decoding refuses stray bits in the last character, so that the same bytes
/// have one spelling only. (An ECDSA signature has a twin that verifies as well, as ECDSA goes; what is revoked is the id.)
pub(crate) use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// No key of this kind is loaded.
    #[error("no signing key for {0}")]
    NoKey(&'static str),
    /// The cryptographic library refused.
    #[error("signing failed")]
    Crypto,
}

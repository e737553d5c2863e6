//! Access tokens: their claims, the three formats, and the in-memory sets keyed by token.
//!
//! - [`claims`]: the claims of a token and their two JSON encodings; [`json`]: the writer of JSON objects on the hot path.
//! - [`paseto`], [`jwt`]: self-contained tokens, signed by aws-lc. Tests compare every byte with `pasetors`.
//! - [`opaque`]: references to one row of the ledger. [`foreign`]: JWTs of the issuer that this server replaces.
//! - [`issued`], [`verified`], [`reuse`]: tokens signed by this process, tokens verified before, tokens that may be issued
//!   again; all three are keyed by [`fingerprint`].
//! - [`secret`]: generated secrets and their hash. [`unverified`], [`decode`]: read a token without verifying it.
//! - [`unique_json`]: reads JSON without members that are there twice.
//!
//! No module here depends on HTTP, actors, the store or a clock: times are passed in.

pub mod claims;
pub mod decode;
pub mod fingerprint;
pub mod foreign;
pub mod issued;
pub mod json;
pub mod jwt;
pub mod opaque;
pub mod paseto;
pub mod reuse;
pub mod secret;
pub mod unique_json;
pub mod unverified;
pub mod verified;

/// Maximum length of a token, bytes. Longer ones are not parsed: this server issues none.
pub const MAX_TOKEN_BYTES: usize = 12 * 1024;

mod encoding {
    /// base64url without padding (RFC 4648 section 5). Decoding rejects non-zero trailing bits in the last character, so the
    /// same bytes have exactly one encoding. (ECDSA signatures are malleable regardless; revocation is keyed by `jti`.)
    pub(crate) use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
}
pub(crate) use encoding::BASE64URL;

/// Why a token was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// No signing key of this algorithm is loaded and active.
    #[error("no signing key for {0}")]
    NoKey(&'static str),
    /// The cryptographic library failed.
    #[error("signing failed")]
    Crypto,
}

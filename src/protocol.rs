//! The OAuth rules: pure functions on typed requests. No I/O, no actors, no clock.
//!
//! - [`form`]: request parameters, parsed strictly.
//! - [`client_auth`]: the client credentials of a request; one authentication method per file.
//! - [`scope`], [`resource`]: the scope and the audience of a token.
//! - [`grants`]: one grant type per file; [`token_spec`]: the token content that a grant decides.
//! - [`error`]: OAuth error codes and descriptions.

pub mod client_auth;
pub mod error;
pub mod form;
pub mod grants;
pub mod resource;
pub mod scope;
pub mod token_spec;

//! The rules of the protocol: no I/O, no actors, no clock.
//!
//! - [`form`]: request parameters, read strictly.
//! - [`client_auth`]: which client a request comes from, and whether it proves it.
//! - [`scope`], [`target`]: what may be granted, and for whom.
//! - [`grants`]: one grant a file.
//! - [`registration`]: what a client may be registered with.
//! - [`bulk`]: clients in numbers, as JSON lines and CSV.
//! - [`audit`]: the audit log as it is asked for and shown. [`cursor`]: where the next page of a list begins.
//! - [`view`]: the JSON in which clients, tokens and keys are shown.
//! - [`error`]: the error codes of the RFCs.

pub mod audit;
pub mod bulk;
pub mod client_auth;
pub mod cursor;
pub mod error;
pub mod form;
pub mod grants;
pub mod registration;
pub mod scope;
pub mod target;
pub mod view;

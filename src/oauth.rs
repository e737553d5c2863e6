//! The rules of OAuth 2.0: pure decisions, without I/O, HTTP or a clock.
//!
//! - [`registration`]: what may be said of a client.
//! - [`view`]: clients, tokens and keys as JSON.

pub mod registration;
pub mod view;

//! oauth2
pub mod tokens;

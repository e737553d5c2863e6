//! oauth2
pub mod config;
pub mod tokens;

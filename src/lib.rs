//! oauth2
pub mod config;
pub mod oauth;
pub mod tokens;

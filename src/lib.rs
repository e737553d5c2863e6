//! An OAuth 2.0 authorization server for high-volume API token issuance.

pub mod app;
pub mod cli;
pub mod config;
pub mod failure;
pub mod oauth;
pub mod tokens;

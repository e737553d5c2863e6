//! Checks of text that reaches the store.

use super::error::{Result, ServiceError};

/// Rejects control characters in a parameter: none that is stored has one, and Postgres accepts no NUL.
pub fn without_controls(name: &'static str, text: &str) -> Result<()> {
    if text.chars().any(char::is_control) {
        return Err(ServiceError::parameter(name, "must not have control characters"));
    }
    Ok(())
}

//! One side of a comparison of claims, and the codes of its differences.

use serde_json::{Map, Value};

use crate::service::migration::issuer::Issuer;
use crate::service::migration::report::Difference;

/// The codes of differences of claims, and which side notices each.
pub(super) struct Naming {
    pub(super) prefix: &'static str,
    pub(super) lifetime: &'static str,
    pub(super) noticed: fn(String, String, String) -> Difference,
}

/// The claims of a token or of an introspection.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) claims: &'a Map<String, Value>,
    pub(super) issuer: &'a Issuer,
    /// When the response arrived, Unix seconds.
    pub(super) received_at: i64,
}

//! What readers of both formats share.

use serde_json::{Map, Value};

use crate::service::clients::import::RowError;

/// The longest row, bytes: room for a client with the longest lists, each character escaped.
pub(super) const MAX_ROW: usize = 256 * 1024;

/// Read at a time, bytes.
pub(super) const BUFFER: usize = 256 * 1024;

/// A row as JSON members.
pub(super) type Members = Result<Map<String, Value>, RowError>;

pub(super) fn too_long() -> RowError {
    format!("the row is longer than {MAX_ROW} bytes")
}

pub(super) fn not_utf8() -> RowError {
    "the row is not valid UTF-8; a file of another encoding is converted with iconv, such as -f UTF-16 -t UTF-8"
        .to_owned()
}

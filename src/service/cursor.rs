//! Cursors of paged lists.
//!
//! A cursor names its list and carries a checksum, so a cursor of another list, or a changed one, is rejected. It is neither
//! secret nor signed: it only becomes a bound parameter of a query whose caller may read the whole list.

use base64::Engine;

use super::error::{Result, ServiceError};
use crate::tokens::BASE64URL;

/// The list of clients.
pub const CLIENTS: &str = "clients";

/// The list of a client's tokens.
pub fn tokens_of(client_id: &str) -> String {
    format!("tokens of {client_id}")
}

/// The cursor of a position in a list.
pub fn encode(list: &str, position: &str) -> String {
    let text = format!("{list}\n{position}");
    let sum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    BASE64URL.encode([text.as_bytes(), &sum].concat())
}

/// The position that a cursor of this list names.
pub fn decode(list: &str, cursor: &str) -> Result<String> {
    let (named, position) = parse(cursor).ok_or_else(damaged)?;
    if named == list {
        Ok(position)
    } else {
        Err(ServiceError::parameter("cursor", "belongs to another list"))
    }
}

/// A cursor that is not one, or is incomplete.
pub fn damaged() -> ServiceError {
    ServiceError::parameter(
        "cursor",
        "is damaged: pass the next_cursor of the previous page unchanged",
    )
}

/// The list and the position.
fn parse(cursor: &str) -> Option<(String, String)> {
    let bytes = BASE64URL.decode(cursor).ok()?;
    let (text, sum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(text).to_be_bytes() != *sum {
        return None;
    }
    let (list, position) = str::from_utf8(text).ok()?.split_once('\n')?;
    // No position has one: ids and numbers. The checksum is no signature, and Postgres accepts no NUL.
    if position.chars().any(char::is_control) {
        return None;
    }
    Some((list.to_owned(), position.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_is_valid_for_its_own_list_only(position in "\\PC*", at in any::<usize>(), bit in 0..8_u32, noise in "\\PC{0,40}") {
            let cursor = encode("clients", &position);
            prop_assert_eq!(decode("clients", &cursor), Ok(position));
            prop_assert_eq!(decode("audit", &cursor), Err(ServiceError::parameter("cursor", "belongs to another list")));
            let mut changed = cursor.clone().into_bytes();
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(changed) {
                prop_assert!(decode("clients", &changed).is_err());
            }
            prop_assert!(decode("clients", &noise).is_err());
        }
    }
}

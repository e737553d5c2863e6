//! Where the next page of a list begins, as it is handed out and given back.
//!
//! A cursor names its list and has a checksum, so that one of another list, or one that was changed, is refused with a sentence
//! instead of being taken for a place. It is not secret and not signed: it only ever becomes a bound parameter of a query whose
//! caller may see the whole list.

use base64::Engine;
use thiserror::Error;

use crate::tokens::BASE64URL;

/// Why a cursor is no place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadCursor {
    /// It is whole, and of another list.
    #[error("is of another list")]
    OtherList,
    /// It is none, or not whole.
    #[error("is damaged: give the next_cursor of the page before, as it is")]
    Damaged,
}

/// The cursor of a place in a list.
pub fn encode(list: &str, place: &str) -> String {
    let text = format!("{list}\n{place}");
    let sum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    BASE64URL.encode([text.as_bytes(), &sum].concat())
}

/// The place in a list that a cursor names.
pub fn decode(list: &str, cursor: &str) -> Result<String, BadCursor> {
    let bytes = BASE64URL.decode(cursor).map_err(|_| BadCursor::Damaged)?;
    let (text, sum) = bytes.split_last_chunk::<4>().ok_or(BadCursor::Damaged)?;
    if crc32fast::hash(text).to_be_bytes() != *sum {
        return Err(BadCursor::Damaged);
    }
    let text = str::from_utf8(text).map_err(|_| BadCursor::Damaged)?;
    let (named, place) = text.split_once('\n').ok_or(BadCursor::Damaged)?;
    if named == list {
        Ok(place.to_owned())
    } else {
        Err(BadCursor::OtherList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_comes_back_from_its_own_list_only(place in any::<String>(), at in any::<usize>(), bit in 0..8_u32, noise in "\\PC{0,40}") {
            let cursor = encode("clients", &place);
            prop_assert_eq!(decode("clients", &cursor), Ok(place));
            prop_assert_eq!(decode("audit", &cursor), Err(BadCursor::OtherList));
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

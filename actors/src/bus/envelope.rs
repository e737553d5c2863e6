//! The form of hints on their way: authenticated, versioned, bounded in size and age.
//!
//! `1.<MAC>,…<MAC>.<JSON>`: the version, the HMAC-SHA-256 of the content in base64url by each key that the sender has, and the content. It is
//! text, because Postgres notifies of text only.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::hints::{Hint, Rejection};
use crate::issuer_key::IssuerKey;

/// The most hints in one message: it stays below the 8000 bytes of a Postgres notification.
pub(super) const MAX_HINTS: usize = 64;

/// The longest message that is read, bytes.
const MAX_BYTES: usize = 8000;

/// A message that was sent longer ago is dropped, milliseconds. So is one from as far in the future.
const MAX_AGE_MS: u64 = 10_000;

/// MACs of a message that are read at most: nodes have two keys at most.
const MAX_MACS: usize = 2;

const VERSION: &str = "1";

/// The purpose that the keys of messages are derived for.
const PURPOSE: &[u8] = b"oauth2_server hints 1";

/// A message of a node. Without hints it shows that the node is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The node that sent it.
    pub(super) node: u64,
    /// When, by the store's clock, Unix milliseconds.
    pub(super) at: u64,
    /// The changes that the node committed.
    pub(super) hints: Vec<Hint>,
}

/// The keys that authenticate messages.
#[derive(Debug, Clone)]
pub struct HintKeys(Vec<hmac::Key>);

impl HintKeys {
    /// The keys of an issuer. While the key encryption key is being replaced, messages are signed by both.
    pub fn derive(issuer: &IssuerKey) -> Self {
        Self(issuer.derive(PURPOSE))
    }

    /// A message in its form on the way.
    pub(super) fn sign(&self, message: &Message) -> serde_json::Result<String> {
        let body = serde_json::to_string(message)?;
        let mac = |key| URL_SAFE_NO_PAD.encode(hmac::sign(key, body.as_bytes()));
        let macs: Vec<_> = self.0.iter().map(mac).collect();
        Ok(format!("{VERSION}.{}.{body}", macs.join(",")))
    }

    /// The message, if a node of this issuer sent it within [`MAX_AGE_MS`] of `now_ms`.
    pub(super) fn open(&self, text: &str, now_ms: u64) -> Result<Message, Rejection> {
        if text.len() > MAX_BYTES {
            return Err(Rejection::Malformed);
        }
        let (version, rest) = text.split_once('.').ok_or(Rejection::Malformed)?;
        if version != VERSION {
            let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if is_number {
                Rejection::Version
            } else {
                Rejection::Malformed
            });
        }
        let (macs, body) = rest.split_once('.').ok_or(Rejection::Malformed)?;
        let mut is_authentic = false;
        for mac in macs.split(',').take(MAX_MACS) {
            let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| Rejection::Malformed)?;
            let verifies = |key| hmac::verify(key, body.as_bytes(), &mac).is_ok();
            is_authentic |= self.0.iter().any(verifies);
        }
        if !is_authentic {
            return Err(Rejection::Forged);
        }
        let message: Message = serde_json::from_str(body).map_err(|_| Rejection::Malformed)?;
        if message.at.abs_diff(now_ms) > MAX_AGE_MS {
            return Err(Rejection::Old);
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use uuid::Uuid;

    const NOW: u64 = 1_800_000_000_000;

    fn keys(current: u8, previous: Option<u8>) -> HintKeys {
        HintKeys::derive(&IssuerKey::new([current; 32], previous.map(|byte| [byte; 32])))
    }

    fn message(hints: usize) -> Message {
        let hint = |number: usize| Hint::Token {
            jti: Uuid::from_u128(u128::MAX - number as u128),
            expires_at: i64::MAX,
        };
        Message {
            node: u64::MAX,
            at: NOW,
            hints: (0..hints).map(hint).collect(),
        }
    }

    #[test]
    fn the_largest_message_fits_into_a_notification() {
        let (keys, message) = (keys(1, None), message(MAX_HINTS));
        let signed = keys.sign(&message).unwrap();
        assert!(signed.len() < MAX_BYTES, "{}", signed.len());
        assert_eq!(keys.open(&signed, NOW), Ok(message));
    }

    #[test]
    fn only_fresh_messages_of_this_version_and_key_are_read() {
        let keys = keys(1, None);
        let signed = keys.sign(&message(1)).unwrap();
        assert_eq!(self::keys(2, None).open(&signed, NOW), Err(Rejection::Forged));
        let tampered = signed.replace("\"node\":1", "\"node\":2");
        assert_eq!(keys.open(&tampered, NOW), Err(Rejection::Forged));
        let (_, unsigned) = signed.rsplit_once(".{").unwrap();
        assert_eq!(keys.open(&format!("1..{{{unsigned}"), NOW), Err(Rejection::Forged));
        assert_eq!(keys.open(&format!("2{}", &signed[1..]), NOW), Err(Rejection::Version));
        for text in ["", "1", "1.", "1.a", "x.a.b", "1.!.{}", &"1".repeat(MAX_BYTES + 1)] {
            assert_eq!(keys.open(text, NOW), Err(Rejection::Malformed), "{text}");
        }
        assert!(keys.open(&signed, NOW + MAX_AGE_MS).is_ok() && keys.open(&signed, NOW - MAX_AGE_MS).is_ok());
        for now in [NOW + MAX_AGE_MS + 1, NOW - MAX_AGE_MS - 1] {
            assert_eq!(keys.open(&signed, now), Err(Rejection::Old));
        }
    }

    #[test]
    fn nodes_understand_each_other_while_the_key_encryption_key_is_replaced() {
        // The steps of the change: the old key; both; both, exchanged; the new one. Nodes of two steps that follow each other meet.
        let steps = [keys(1, None), keys(1, Some(2)), keys(2, Some(1)), keys(2, None)];
        let pairs = steps
            .windows(2)
            .flat_map(|pair| [(&pair[0], &pair[1]), (&pair[1], &pair[0])]);
        for (from, to) in pairs {
            assert!(to.open(&from.sign(&message(1)).unwrap(), NOW).is_ok());
        }
    }
}

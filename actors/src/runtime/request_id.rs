//! The id of a request.

/// Longest request id.
const MAX_REQUEST_ID: usize = 64;

/// The id of a request in its response and in log lines: 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    length: u8,
    bytes: [u8; MAX_REQUEST_ID],
}

impl Default for RequestId {
    /// `-`.
    fn default() -> Self {
        let mut bytes = [0; MAX_REQUEST_ID];
        bytes[0] = b'-';
        Self { length: 1, bytes }
    }
}

impl RequestId {
    /// The id, if it is well-formed.
    pub fn new(id: &[u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if !(1..=MAX_REQUEST_ID).contains(&id.len()) || !id.iter().all(plain) {
            return None;
        }
        let mut bytes = [0; MAX_REQUEST_ID];
        bytes[..id.len()].copy_from_slice(id);
        Some(Self {
            length: id.len() as u8,
            bytes,
        })
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_short_and_plain() {
        assert_eq!(RequestId::new(b"a-Z_0.9").unwrap().as_str(), "a-Z_0.9");
        assert!(RequestId::new(&[b'a'; 64]).is_some());
        for wrong in [&b""[..], &[b'a'; 65], b"a b", b"a\n", "\u{e4}".as_bytes()] {
            assert!(RequestId::new(wrong).is_none(), "{wrong:?}");
        }
    }
}

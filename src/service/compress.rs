//! Compresses documents and lists.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller bodies are not worth it.
const SMALLEST: usize = 1024;

/// `body` compressed (RFC 1952), if that makes it smaller.
pub fn gzip(body: &[u8]) -> Option<Bytes> {
    if body.len() < SMALLEST {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len()).then(|| compressed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_incompressible_bodies_stay() {
        assert_eq!(gzip(&[b'a'; SMALLEST - 1]), None);
        assert!(gzip(&[b'a'; SMALLEST]).is_some_and(|compressed| compressed.len() < SMALLEST));
        let mut noise = vec![0; SMALLEST];
        aws_lc_rs::rand::fill(&mut noise).unwrap();
        assert_eq!(gzip(&noise), None);
    }
}

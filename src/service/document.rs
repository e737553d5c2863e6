//! JSON documents that change rarely and are served often.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use bytes::Bytes;
use serde::Serialize;

use super::compress;
use crate::tokens::BASE64URL;

/// A document, printed once, and a digest that changes with it.
#[derive(Debug, Clone)]
pub struct JsonDocument {
    /// The JSON text.
    pub body: Bytes,
    /// The text compressed, if that makes it smaller.
    pub gzip: Option<Bytes>,
    /// 120 bits of its SHA-256, base64url.
    pub digest: String,
}

impl JsonDocument {
    /// Prints a document.
    pub fn new(document: &impl Serialize) -> Self {
        // Only plain structs with string keys are published: printing them cannot fail.
        let body = serde_json::to_vec(document).unwrap_or_default();
        let digest = BASE64URL.encode(&digest(&SHA256, &body).as_ref()[..15]);
        Self {
            gzip: compress::gzip(&body),
            body: body.into(),
            digest,
        }
    }
}

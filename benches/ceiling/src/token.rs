//! PASETO `v4.public` tokens with the same claims as the server's.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::{Builder, Uuid};

use crate::clock::rfc3339;

const HEADER: &str = "v4.public.";
const SIGNATURE_BYTES: usize = 64;
/// Of the same length as the client ids in the benchmark.
const CLIENT: &str = "bench-p";
/// Token lifetime, seconds.
const LIFETIME: u64 = 1800;
/// Random bytes are generated in bulk, as in the server.
const POOL_BYTES: usize = 4090;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: &'a str,
    nbf: &'a str,
    iat: &'a str,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
}

/// A signing key, and the parts that all its tokens share.
pub struct Issuer {
    url: String,
    key: Ed25519KeyPair,
    public: ParsedPublicKey,
    footer: String,
    footer_base64: String,
}

impl Issuer {
    /// An issuer with a new key. `None` if random bytes are not available.
    pub fn new(url: &str) -> Option<Self> {
        let key = Ed25519KeyPair::generate().ok()?;
        // Of the same length as a PASERK id; its value does not matter.
        let footer = format!(r#"{{"kid":"k4.pid.{}"}}"#, "A".repeat(44));
        Some(Self {
            url: url.to_owned(),
            public: ParsedPublicKey::new(&ED25519, key.public_key().as_ref()).ok()?,
            key,
            footer_base64: URL_SAFE_NO_PAD.encode(&footer),
            footer,
        })
    }

    /// Issues a token. `None` if random bytes are not available or signing fails.
    pub fn mint(&self, scope: &str) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let jti = Builder::from_unix_timestamp_millis(now.as_millis() as u64, &random_bytes()?).into_uuid();
        let (iat, exp) = (rfc3339(now.as_secs()), rfc3339(now.as_secs() + LIFETIME));
        let (iat, exp) = (str::from_utf8(&iat).ok()?, str::from_utf8(&exp).ok()?);
        let mut jti_text = Uuid::encode_buffer();
        let claims = Claims {
            iss: &self.url,
            sub: CLIENT,
            aud: &self.url,
            exp,
            nbf: iat,
            iat,
            jti: jti.hyphenated().encode_lower(&mut jti_text),
            client_id: CLIENT,
            scope,
        };
        let mut message = Vec::with_capacity(512);
        serde_json::to_writer(&mut message, &claims).ok()?;
        let signature = self.key.try_sign(&self.encode(&message)).ok()?;
        message.extend_from_slice(signature.as_ref());
        let mut token = String::with_capacity(HEADER.len() + message.len() * 4 / 3 + 3 + self.footer_base64.len());
        token.push_str(HEADER);
        URL_SAFE_NO_PAD.encode_string(&message, &mut token);
        token.push('.');
        token.push_str(&self.footer_base64);
        Some(token)
    }

    /// Verifies the signature of a token. `None` if it is not valid for this key.
    pub fn verify(&self, token: &str) -> Option<()> {
        let (body, footer) = token.strip_prefix(HEADER)?.split_once('.')?;
        if footer != self.footer_base64 {
            return None;
        }
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (message, signature) = body.split_at_checked(body.len().checked_sub(SIGNATURE_BYTES)?)?;
        self.public.verify_sig(&self.encode(message), signature).ok()
    }

    /// PASETO's pre-authentication encoding of header, message, footer and an empty implicit assertion.
    fn encode(&self, message: &[u8]) -> Vec<u8> {
        let pieces = [HEADER.as_bytes(), message, self.footer.as_bytes(), b""];
        let mut out = Vec::with_capacity(message.len() + self.footer.len() + 64);
        out.extend_from_slice(&(pieces.len() as u64).to_le_bytes());
        for piece in pieces {
            out.extend_from_slice(&(piece.len() as u64).to_le_bytes());
            out.extend_from_slice(piece);
        }
        out
    }
}

thread_local! {
    static POOL: RefCell<([u8; POOL_BYTES], usize)> = const { RefCell::new(([0; POOL_BYTES], POOL_BYTES)) };
}

fn random_bytes() -> Option<[u8; 10]> {
    POOL.with_borrow_mut(|(pool, used)| {
        if *used == POOL_BYTES {
            rand::fill(pool).ok()?;
            *used = 0;
        }
        let bytes = pool.get(*used..*used + 10)?.try_into().ok();
        *used += 10;
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::Issuer;

    #[test]
    fn tampered_tokens_and_tokens_of_other_issuers_are_rejected() {
        let issuer = Issuer::new("http://127.0.0.1:1").unwrap();
        let token = issuer.mint("read write").unwrap();
        assert!(issuer.verify(&token).is_some());
        assert!(
            issuer
                .verify(&token.replacen("v4.public.e", "v4.public.f", 1))
                .is_none()
        );
        assert!(Issuer::new("http://127.0.0.1:1").unwrap().verify(&token).is_none());
    }
}

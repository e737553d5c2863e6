//! Private keys that are encrypted with a passphrase: PKCS #8 with PBES2 (RFC 8018), and PEM of OpenSSL's traditional form (RFC 1421).

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512};
use md5::{Digest, Md5};

use super::der::{Elements, OCTET_STRING, OID};
use super::material::{ImportError, Missing, import_error, missing};

/// More rounds than any tool uses: a file must not occupy the processor for minutes.
const MAX_ROUNDS: u32 = 20_000_000;

/// Object identifiers, the content of their DER.
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];
/// The last byte says which: HMAC with SHA-1, SHA-256, SHA-384, SHA-512.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// The last byte says which: AES-128, AES-192 or AES-256 in CBC mode.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];

/// A cipher in CBC mode.
#[derive(Clone, Copy)]
struct Cipher {
    algorithm: &'static Algorithm,
    key_length: usize,
}

const AES_128_CBC: Cipher = Cipher {
    algorithm: &AES_128,
    key_length: 16,
};
const AES_192_CBC: Cipher = Cipher {
    algorithm: &AES_192,
    key_length: 24,
};
const AES_256_CBC: Cipher = Cipher {
    algorithm: &AES_256,
    key_length: 32,
};

/// How to convert a key that is encrypted in another way.
const CONVERT: &str = "supported: AES in CBC mode with PBKDF2; convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`";

fn unsupported(what: &str) -> ImportError {
    import_error(format!("is encrypted with {what}, which is not supported; {CONVERT}"))
}

fn damaged() -> ImportError {
    import_error("is encrypted and damaged: its parameters cannot be read")
}

/// An encrypted key, given without its passphrase.
fn without_passphrase() -> ImportError {
    missing(Missing::Passphrase, "is encrypted, and its passphrase is not given")
}

fn wrong_passphrase() -> ImportError {
    import_error("cannot be decrypted: the passphrase is wrong, or the file is damaged")
}

/// Decrypts an `EncryptedPrivateKeyInfo` (RFC 5958 section 3).
pub(super) fn pkcs8(der: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<u8>, ImportError> {
    let mut info = Elements(der).sequence().ok_or_else(damaged)?;
    let mut scheme = info.sequence().ok_or_else(damaged)?;
    let encrypted = info.expect(OCTET_STRING).ok_or_else(damaged)?;
    if scheme.expect(OID) != Some(PBES2) {
        return Err(unsupported("PBES1 or PKCS #12"));
    }
    let mut parameters = scheme.sequence().ok_or_else(damaged)?;
    let mut derivation = parameters.sequence().ok_or_else(damaged)?;
    let mut encryption = parameters.sequence().ok_or_else(damaged)?;
    match derivation.expect(OID) {
        Some(PBKDF2) => {}
        Some(SCRYPT) => return Err(unsupported("scrypt")),
        _ => return Err(unsupported("an unknown key derivation")),
    }
    let cipher = match encryption.expect(OID).and_then(|oid| oid.strip_prefix(AES)) {
        Some([0x02]) => AES_128_CBC,
        Some([0x16]) => AES_192_CBC,
        Some([0x2a]) => AES_256_CBC,
        _ => return Err(unsupported("a cipher other than AES-CBC")),
    };
    let iv = encryption.expect(OCTET_STRING).ok_or_else(damaged)?;
    let mut derivation = derivation.sequence().ok_or_else(damaged)?;
    let salt = derivation.expect(OCTET_STRING).ok_or_else(damaged)?;
    let rounds = derivation.integer().and_then(NonZeroU32::new).ok_or_else(damaged)?;
    if rounds.get() > MAX_ROUNDS {
        return Err(import_error(format!(
            "is encrypted with more than {MAX_ROUNDS} rounds of PBKDF2"
        )));
    }
    // An optional length of the key, then the hash; without one it is SHA-1.
    let mut after = derivation;
    if after.integer().is_some() {
        derivation = after;
    }
    let hash = match derivation.sequence().and_then(|mut hash| hash.expect(OID)) {
        None => PBKDF2_HMAC_SHA1,
        Some(oid) => match oid.strip_prefix(HMAC) {
            Some([0x07]) => PBKDF2_HMAC_SHA1,
            Some([0x09]) => PBKDF2_HMAC_SHA256,
            Some([0x0a]) => PBKDF2_HMAC_SHA384,
            Some([0x0b]) => PBKDF2_HMAC_SHA512,
            _ => return Err(unsupported("PBKDF2 with an unknown hash")),
        },
    };
    let passphrase = passphrase.ok_or_else(without_passphrase)?;
    let mut key = vec![0; cipher.key_length];
    pbkdf2::derive(hash, rounds, salt, passphrase, &mut key);
    decrypt(cipher, &key, iv, encrypted)
}

/// Decrypts the content of a PEM block with the headers `Proc-Type: 4,ENCRYPTED` and `DEK-Info`. `info`: the value of the latter.
pub(super) fn traditional(info: &str, body: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<u8>, ImportError> {
    let (name, iv) = info.split_once(',').ok_or_else(damaged)?;
    let cipher = match name.trim() {
        "AES-128-CBC" => AES_128_CBC,
        "AES-192-CBC" => AES_192_CBC,
        "AES-256-CBC" => AES_256_CBC,
        _ => return Err(unsupported("a cipher other than AES-CBC")),
    };
    let mut bytes = [0; 16];
    hex::decode_to_slice(iv.trim(), &mut bytes).map_err(|_| damaged())?;
    let passphrase = passphrase.ok_or_else(without_passphrase)?;
    // OpenSSL's EVP_BytesToKey: MD5 of the bytes derived so far, the passphrase, and the first half of the IV.
    let (mut key, mut last) = (Vec::new(), Vec::new());
    while key.len() < cipher.key_length {
        let mut md5 = Md5::new();
        md5.update(&last);
        md5.update(passphrase);
        md5.update(&bytes[..8]);
        last = md5.finalize().to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(cipher.key_length);
    decrypt(cipher, &key, &bytes, body)
}

fn decrypt(cipher: Cipher, key: &[u8], iv: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, ImportError> {
    let iv: [u8; 16] = iv.try_into().map_err(|_| damaged())?;
    let mut buffer = encrypted.to_vec();
    let key = UnboundCipherKey::new(cipher.algorithm, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let key = key.map_err(|_| damaged())?;
    let plain = key.decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(iv)));
    let plain = plain.map_err(|_| wrong_passphrase())?.to_vec();
    // One wrong passphrase in 256 leaves valid padding. What is decrypted is always a sequence.
    let mut elements = Elements(&plain);
    let is_sequence = elements.sequence().is_some() && elements.next().is_none();
    if is_sequence {
        Ok(plain)
    } else {
        Err(wrong_passphrase())
    }
}

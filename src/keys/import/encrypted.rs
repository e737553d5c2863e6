//! Private keys that are encrypted with a passphrase: PKCS #8 with PBES2 (RFC 8018), and PEM of OpenSSL's traditional form (RFC 1421).

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use md5::{Digest, Md5};
use pkcs8::der::{self, ErrorKind, SecretDocument};
use pkcs8::pkcs5::pbes2::{Kdf, ScryptParams};
use pkcs8::{EncryptedPrivateKeyInfoRef, pkcs5};

use super::material::{ImportError, Missing, import_error, missing};

/// More rounds of PBKDF2 than any tool uses: a file must not occupy the processor for minutes.
const MAX_ROUNDS: u32 = 20_000_000;

/// More work of scrypt than any tool uses, as N · r · p. Each takes 128 bytes of memory: 512 MiB in all.
const MAX_SCRYPT: u64 = 1 << 22;

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
const CONVERT: &str = "supported: AES, with PBKDF2 or scrypt; convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`";

fn unsupported(what: &str) -> ImportError {
    import_error(format!("is encrypted {what}, which is not supported; {CONVERT}"))
}

fn damaged() -> ImportError {
    import_error("is encrypted and damaged: its parameters cannot be read")
}

/// An encrypted key, given without its passphrase.
pub(super) fn without_passphrase() -> ImportError {
    missing(Missing::Passphrase, "is encrypted, and its passphrase is not given")
}

pub(super) fn wrong_passphrase() -> ImportError {
    import_error("cannot be decrypted: the passphrase is wrong, or the file is damaged")
}

/// Decrypts an `EncryptedPrivateKeyInfo` (RFC 5958 section 3).
pub(super) fn pkcs8(der: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<u8>, ImportError> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|error| match error {
        pkcs8::Error::Asn1(error) if is_unknown(&error) => unsupported("by another scheme"),
        _ => damaged(),
    })?;
    let scheme = info
        .encryption_algorithm
        .pbes2()
        .ok_or_else(|| unsupported("with PBES1"))?;
    let is_excessive = match &scheme.kdf {
        Kdf::Pbkdf2(parameters) => parameters.iteration_count > MAX_ROUNDS,
        Kdf::Scrypt(parameters) => scrypt_work(parameters) > MAX_SCRYPT,
        _ => return Err(unsupported("with an unknown key derivation")),
    };
    if is_excessive {
        return Err(import_error(
            "is encrypted with more rounds of key derivation than are allowed",
        ));
    }
    let passphrase = passphrase.ok_or_else(without_passphrase)?;
    let decrypted = info.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::UnsupportedAlgorithm { .. }) => unsupported("with a cipher"),
        _ => wrong_passphrase(),
    })?;
    Ok(decrypted.as_bytes().to_vec())
}

/// Whether the parameters could be read, and name an algorithm that is not implemented.
fn is_unknown(error: &der::Error) -> bool {
    matches!(error.kind(), ErrorKind::OidUnknown { .. } | ErrorKind::Value { .. })
}

fn scrypt_work(parameters: &ScryptParams) -> u64 {
    let lanes = u64::from(parameters.block_size) * u64::from(parameters.parallelization);
    parameters.cost_parameter.saturating_mul(lanes)
}

/// Decrypts the content of a PEM block with the headers `Proc-Type: 4,ENCRYPTED` and `DEK-Info`. `info`: the value of the latter.
pub(super) fn traditional(info: &str, body: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<u8>, ImportError> {
    let (name, iv) = info.split_once(',').ok_or_else(damaged)?;
    let cipher = match name.trim() {
        "AES-128-CBC" => AES_128_CBC,
        "AES-192-CBC" => AES_192_CBC,
        "AES-256-CBC" => AES_256_CBC,
        _ => return Err(unsupported("with a cipher other than AES-CBC")),
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

fn decrypt(cipher: Cipher, key: &[u8], iv: &[u8; 16], encrypted: &[u8]) -> Result<Vec<u8>, ImportError> {
    let mut buffer = encrypted.to_vec();
    let key = UnboundCipherKey::new(cipher.algorithm, key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let key = key.map_err(|_| damaged())?;
    let plain = key.decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(*iv)));
    let plain = plain.map_err(|_| wrong_passphrase())?.to_vec();
    // One wrong passphrase in 256 leaves valid padding. A key is always a sequence.
    SecretDocument::try_from(&plain[..]).map_err(|_| wrong_passphrase())?;
    Ok(plain)
}

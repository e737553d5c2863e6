//! The private key of a PKCS #12 file (RFC 7292), as OpenSSL, Java's `keytool` and .NET write it, also with the old encryption by triple DES
//! or 40-bit RC2.
//!
//! Only the key is taken. The MAC is checked; certificates next to the key must be readable, and are ignored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;

use super::encrypted::{without_passphrase, wrong_passphrase};
use super::material::{ImportError, import_error};

/// Whether the bytes begin as a PKCS #12 file does: a sequence of the version 3 and more.
pub(super) fn is_pkcs12(bytes: &[u8]) -> bool {
    let version = || {
        // Without its length: some tools write indefinite lengths.
        let header = match bytes {
            [0x30, length, ..] if *length > 0x80 => 2 + usize::from(length & 0x7f),
            [0x30, _, ..] => 2,
            _ => return None,
        };
        bytes.get(header..header + 3)
    };
    version() == Some(&[0x02, 0x01, 0x03])
}

/// The only private key of a file, as PEM.
pub(super) fn to_pem(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<String, ImportError> {
    let text = str::from_utf8(passphrase.unwrap_or_default())
        .map_err(|_| import_error("is a PKCS #12 file, whose passphrase must be UTF-8"))?;
    let archive = Pkcs12Archive::from_pkcs12(bytes, text).map_err(|error| why(&error, passphrase.is_some()))?;
    match archive.keys.as_slice() {
        [bag] => Ok(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(bag.key.as_der())
        )),
        [] => Err(import_error("is a PKCS #12 file without a private key")),
        several => Err(import_error(format!(
            "is a PKCS #12 file with {} private keys; exactly one is allowed",
            several.len()
        ))),
    }
}

/// Why a file cannot be read.
fn why(error: &Error, has_passphrase: bool) -> ImportError {
    match error {
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) | Error::InvalidPrivateKey if has_passphrase => {
            wrong_passphrase()
        }
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) | Error::InvalidPrivateKey => {
            without_passphrase()
        }
        Error::InvalidParameters => import_error(
            "is a PKCS #12 file with more rounds of key derivation than are allowed, or other unusable parameters of its encryption",
        ),
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm | Error::UnsupportedContentType => {
            import_error(
                "is a PKCS #12 file with an encryption or a MAC that is not supported; supported: PBES2, triple DES and 40-bit RC2; convert it \
             with `openssl pkcs12 -legacy -in FILE -nodes`",
            )
        }
        Error::X509Error(_) | Error::UnsupportedCertificateType => import_error(
            "is a PKCS #12 file with a certificate that cannot be read; convert it with `openssl pkcs12 -in FILE -nodes -nocerts`",
        ),
        _ => import_error(
            "is a PKCS #12 file that is damaged or not in DER; convert it with `openssl pkcs12 -in FILE -nodes`, with `-legacy` if its \
             encryption is triple DES or RC2",
        ),
    }
}

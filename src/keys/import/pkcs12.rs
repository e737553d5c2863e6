//! The private key of a PKCS #12 file (RFC 7292), as OpenSSL, Java's `keytool` and .NET write it.
//!
//! Only the key is taken: certificates next to it are ignored, and the MAC is not checked. The key is decrypted by the same passphrase,
//! and has to be a valid pair of a private and a public key, as every imported key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, ContextSpecific, OctetStringRef};
use pkcs8::der::{Decode, Encode, Reader, SliceReader, Tag, TagMode, TagNumber, Tagged};

use super::encrypted;
use super::material::{ImportError, import_error};

/// `data` of PKCS #7.
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// A bag with a private key in PKCS #8.
const KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.1");
/// A bag with an encrypted private key in PKCS #8.
const SHROUDED_KEY_BAG: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.10.1.2");
/// The only scheme that `encrypted` decrypts.
const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");

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
    let bags = key_bags(bytes).ok_or_else(|| {
        import_error(
            "is a PKCS #12 file that is damaged or not in DER; convert it with `openssl pkcs12 -in FILE -nodes`, or `-legacy -nodes`",
        )
    })?;
    let bag = match bags.as_slice() {
        [bag] => bag,
        [] => return Err(import_error("is a PKCS #12 file without a private key")),
        several => {
            return Err(import_error(format!(
                "is a PKCS #12 file with {} private keys; exactly one is allowed",
                several.len()
            )));
        }
    };
    let der = match bag {
        Bag::Plain(der) => der.clone(),
        Bag::Encrypted(der) => {
            if scheme(der) != Some(PBES2) {
                return Err(import_error(
                    "is a PKCS #12 file that is encrypted with PBES1, which is not supported; convert it with \
                     `openssl pkcs12 -in FILE -legacy -nodes`",
                ));
            }
            encrypted::pkcs8(der, passphrase)?
        }
    };
    Ok(format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    ))
}

/// A private key in PKCS #8, in DER.
enum Bag {
    Plain(Vec<u8>),
    Encrypted(Vec<u8>),
}

/// The bags with keys. `None`: the file cannot be read. Contents that are encrypted as a whole hold certificates.
fn key_bags(bytes: &[u8]) -> Option<Vec<Bag>> {
    let mut file = fields(AnyRef::from_der(bytes).ok()?)?;
    file.decode::<AnyRef<'_>>().ok()?;
    let safe = data_of(file.decode().ok()?)?;
    let mut contents = fields(AnyRef::from_der(safe).ok()?)?;
    let mut found = Vec::new();
    while !contents.is_finished() {
        let content = data_of(contents.decode().ok()?)?;
        if content.is_empty() {
            continue;
        }
        let mut bags = fields(AnyRef::from_der(content).ok()?)?;
        while !bags.is_finished() {
            let mut bag = fields(bags.decode().ok()?)?;
            let kind: ObjectIdentifier = bag.decode().ok()?;
            let value = explicit(&mut bag)?.to_der().ok()?;
            match kind {
                KEY_BAG => found.push(Bag::Plain(value)),
                SHROUDED_KEY_BAG => found.push(Bag::Encrypted(value)),
                _ => {}
            }
        }
    }
    Some(found)
}

/// The data of a `ContentInfo`; empty if it is of another type, such as encrypted. `None`: it cannot be read.
fn data_of(content: AnyRef<'_>) -> Option<&[u8]> {
    let mut content = fields(content)?;
    let kind: ObjectIdentifier = content.decode().ok()?;
    if kind != DATA {
        return Some(&[]);
    }
    let data: &OctetStringRef = explicit(&mut content)?.decode_as().ok()?;
    Some(data.as_bytes())
}

/// The algorithm of an `EncryptedPrivateKeyInfo`.
fn scheme(der: &[u8]) -> Option<ObjectIdentifier> {
    let mut algorithm = fields(fields(AnyRef::from_der(der).ok()?)?.decode().ok()?)?;
    algorithm.decode().ok()
}

/// The fields of a sequence.
fn fields(any: AnyRef<'_>) -> Option<SliceReader<'_>> {
    (any.tag() == Tag::Sequence).then(|| SliceReader::new(any.value()).ok())?
}

/// A field with the explicit tag 0.
fn explicit<'a>(reader: &mut SliceReader<'a>) -> Option<AnyRef<'a>> {
    let tagged: ContextSpecific<AnyRef<'a>> = ContextSpecific::decode_explicit(reader, TagNumber(0)).ok()??;
    debug_assert!(tagged.tag_mode == TagMode::Explicit);
    Some(tagged.value)
}

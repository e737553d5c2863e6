//! Private keys in PEM (RFC 7468): PKCS #8, SEC 1 and PKCS #1, among what tools write next to them: parameters, certificates and text.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encrypted;
use super::material::{ImportError, Material, checked_rsa, import_error};

/// Begins every block.
pub(super) const BEGIN: &str = "-----BEGIN ";

/// Labels of private keys.
const PKCS8: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";

/// A block of a text.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    body: &'a str,
}

impl Block<'_> {
    pub(super) fn is_private(&self) -> bool {
        self.label.ends_with(PKCS8)
    }
}

/// The private key of a text. Anything outside blocks is ignored, such as the `Bag Attributes` of `openssl pkcs12`.
pub(super) fn read(text: &str, passphrase: Option<&[u8]>) -> Result<Material, ImportError> {
    let blocks = blocks(text)?;
    let mut private = blocks.iter().filter(|block| block.is_private());
    let Some(block) = private.next() else {
        return Err(import_error(without_private_key(&blocks)));
    };
    let others = private.count();
    if others > 0 {
        return Err(import_error(format!(
            "holds {} private keys; exactly one is allowed",
            others + 1
        )));
    }
    let (der, is_encrypted_pkcs8) = content(block, passphrase)?;
    match block.label {
        PKCS8 => pkcs8(&der),
        ENCRYPTED if is_encrypted_pkcs8 => pkcs8(&encrypted::pkcs8(&der, passphrase)?),
        SEC1 => sec1(&der),
        PKCS1 => checked_rsa(rsa::KeyPair::from_der(&der)),
        "OPENSSH PRIVATE KEY" => Err(import_error(
            "is a private key of OpenSSH; convert it with `ssh-keygen -p -m PKCS8`",
        )),
        "DSA PRIVATE KEY" => Err(import_error("is a DSA key; supported: Ed25519, P-256, RSA")),
        _ => Err(import_error(format!(
            "holds an unsupported private key; supported: {PKCS8}, {ENCRYPTED}, {SEC1}, {PKCS1}"
        ))),
    }
}

fn malformed() -> ImportError {
    import_error("is malformed PEM: blocks from BEGIN to END with base64 content are required")
}

pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, ImportError> {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, after) = after.split_once("-----").ok_or_else(malformed)?;
        let (body, after) = after
            .split_once(&format!("-----END {label}-----"))
            .ok_or_else(malformed)?;
        blocks.push(Block { label, body });
        rest = after;
    }
    Ok(blocks)
}

/// Why there is no private key: by what there is.
fn without_private_key(blocks: &[Block<'_>]) -> &'static str {
    let has = |words: &[&str]| {
        blocks
            .iter()
            .any(|block| words.iter().any(|word| block.label.ends_with(word)))
    };
    if has(&["PUBLIC KEY"]) {
        "holds only a public key; its private key is required"
    } else if has(&["CERTIFICATE"]) {
        "holds only a certificate, which has a public key; its private key is required"
    } else if has(&["CERTIFICATE REQUEST"]) {
        "holds only a certificate request, which has a public key; its private key is required"
    } else if has(&["PARAMETERS"]) {
        "holds only the parameters of a key; its private key is required"
    } else {
        "holds no private key"
    }
}

/// The content of a block, decrypted if it has the headers of RFC 1421; and whether it had none.
pub(super) fn content(block: &Block<'_>, passphrase: Option<&[u8]>) -> Result<(Vec<u8>, bool), ImportError> {
    // Headers end with an empty line.
    let body = block.body.replace("\r\n", "\n");
    let split = body.split_once("\n\n").filter(|(headers, _)| headers.contains(':'));
    let (headers, body) = split.unwrap_or(("", &body));
    let base64: String = body.split_whitespace().collect();
    let der = STANDARD.decode(base64).map_err(|_| malformed())?;
    let header = |name: &str| {
        let mut lines = headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.trim() == name).map(|(_, value)| value)
    };
    if header("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED")) {
        let info = header("DEK-Info").ok_or_else(malformed)?;
        return Ok((encrypted::traditional(info, &der, passphrase)?, false));
    }
    Ok((der, true))
}

/// Object identifiers, encoded in DER.
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Curves and algorithms that are not supported, by name.
const UNSUPPORTED: &[(&[u8], &str)] = &[
    (
        &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
        "a key on the unsupported curve P-384",
    ),
    (
        &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        "a key on the unsupported curve P-521",
    ),
    (
        &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x21],
        "a key on the unsupported curve P-224",
    ),
    (
        &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a],
        "a key on the unsupported curve secp256k1",
    ),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "an Ed448 key"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "an X25519 key, which cannot sign"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6f], "an X448 key, which cannot sign"),
    (
        &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a],
        "a key of the type RSA-PSS",
    ),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "a DSA key"),
];

fn contains(bytes: &[u8], id: &[u8]) -> bool {
    bytes.windows(id.len()).any(|window| window == id)
}

/// An error that names the type of a key, if it is known.
fn unsupported(bytes: &[u8]) -> Option<ImportError> {
    let (_, name) = UNSUPPORTED.iter().find(|(id, _)| contains(bytes, id))?;
    Some(import_error(format!("is {name}; supported: Ed25519, P-256, RSA")))
}

fn pkcs8(der: &[u8]) -> Result<Material, ImportError> {
    // The algorithm identifier is near the beginning.
    let head = &der[..der.len().min(48)];
    if contains(head, ED25519) {
        return Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map(Material::Ed25519)
            .map_err(|_| import_error("holds a damaged Ed25519 key, or a private and a public key that do not match"));
    }
    if contains(head, EC) {
        if !contains(head, P256) {
            return Err(unsupported(head).unwrap_or_else(other_curve));
        }
        return EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(Material::P256)
            .map_err(|_| {
                import_error(
                    "holds a damaged P-256 key: its point is not on the curve or does not match the private key",
                )
            });
    }
    if contains(head, RSA) {
        return checked_rsa(rsa::KeyPair::from_pkcs8(der));
    }
    Err(unsupported(head)
        .unwrap_or_else(|| import_error("is a key of an unsupported type; supported: Ed25519, P-256, RSA")))
}

fn other_curve() -> ImportError {
    import_error(
        "is a key on an unsupported curve, or names its curve by explicit parameters; supported: the named curve P-256. \
         `openssl ec -param_enc named_curve` converts explicit parameters",
    )
}

fn sec1(der: &[u8]) -> Result<Material, ImportError> {
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        .map(Material::P256)
        .map_err(|_| {
            if contains(der, P256) {
                return import_error(
                    "holds a damaged P-256 key: its point is not on the curve or does not match the private key",
                );
            }
            unsupported(der).unwrap_or_else(other_curve)
        })
}

//! Parts of a hash's text.

use std::ops::RangeInclusive;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The rest of a sentence that begins with the name of a field. It never repeats the hash.
pub type Problem = String;

/// Bytes of a hash. Fewer were cut.
const HASH_BYTES: RangeInclusive<usize> = 16..=128;

/// base64 with or without padding, but with one spelling of the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads base64. passlib and go-crypt write `.` for `+`.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, Problem> {
    let decoded = if text.contains('.') {
        BASE64.decode(text.replace('.', "+"))
    } else {
        BASE64.decode(text)
    };
    decoded.map_err(|_| "has a part that is not base64; it may have been cut".to_owned())
}

/// Writes base64 without padding.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads hexadecimal digits.
pub(super) fn hexadecimal(text: &str) -> Result<Vec<u8>, Problem> {
    hex::decode(text).map_err(|_| "is not hexadecimal; it may have been cut".to_owned())
}

/// Exactly so many bytes.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Problem> {
    bytes
        .try_into()
        .map_err(|_| format!("has {} bytes instead of {N}; it may have been cut", bytes.len()))
}

/// A digest without a tag. Other digests differ in their length.
pub(super) fn digest<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Problem> {
    let other = match bytes.len() {
        16 => "MD5",
        20 => "SHA-1",
        _ => return array(bytes),
    };
    Err(format!(
        "has {} bytes instead of {N}: it may have been cut, or is a digest of {other}, which does not protect a secret; leave it out and give \
         the client a new secret",
        bytes.len()
    ))
}

/// A salt, which must not be empty.
pub(super) fn salt(bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if bytes.is_empty() {
        return Err("has a salt of zero length".to_owned());
    }
    Ok(bytes)
}

/// A hash of a usual length.
pub(super) fn hash(bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if HASH_BYTES.contains(&bytes.len()) {
        return Ok(bytes);
    }
    let (least, most) = (HASH_BYTES.start(), HASH_BYTES.end());
    Err(format!(
        "has a hash of {} bytes instead of {least} to {most}; it may have been cut",
        bytes.len()
    ))
}

/// Compares in constant time.
pub(super) fn equal(computed: &[u8], stored: &[u8]) -> bool {
    verify_slices_are_equal(computed, stored).is_ok()
}

/// Splits a text at `$` into exactly so many parts.
pub(super) fn parts<const N: usize>(text: &str) -> Result<[&str; N], Problem> {
    let parts: Vec<&str> = text.split('$').collect();
    parts
        .try_into()
        .map_err(|_| "has too few or too many parts between $; it may have been cut".to_owned())
}

/// A number of decimal digits, without sign and leading zeros.
pub(super) fn number(text: &str, name: &str) -> Result<u32, Problem> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = is_plain && (text == "0" || !text.starts_with('0'));
    let number = is_canonical.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| format!("has no usable number as its {name}"))
}

/// The values of `name=number` pairs, in this order, separated by commas.
pub(super) fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], Problem> {
    let wrong = || {
        let form: Vec<_> = names.iter().map(|name| format!("{name}=…")).collect();
        format!("must have the parameters {}", form.join(","))
    };
    let mut values = [0; N];
    let mut pairs = text.split(',');
    for (value, name) in values.iter_mut().zip(names) {
        let pair = pairs.next().ok_or_else(wrong)?;
        let (found, text) = pair.split_once('=').ok_or_else(wrong)?;
        if found != name {
            return Err(wrong());
        }
        *value = number(text, name)?;
    }
    match pairs.next() {
        None => Ok(values),
        Some(_) => Err(wrong()),
    }
}

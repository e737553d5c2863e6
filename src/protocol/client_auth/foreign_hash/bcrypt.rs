//! bcrypt: `$2b$12$`, then 22 characters of salt and 31 of hash. Variants 2a, 2b and 2y are computed alike.
//!
//! bcrypt ignores what follows byte 72 of a secret.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::cost::{BCRYPT_ROUND, Cost};
use super::fields::{self, Problem, equal};
use super::scheme::Scheme;
use crate::tokens::secret;

/// Bytes of a secret that are verified, with the NUL that ends a shorter one.
const LONGEST: usize = 72;

/// bcrypt's base64. Some implementations leave bits of the last character set that carry nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A hash of bcrypt.
#[derive(Clone, PartialEq, Eq)]
pub struct Bcrypt {
    variant: char,
    cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
    /// Whether it is the hash of the secret's SHA-256 in hexadecimal.
    after_sha256: bool,
}

impl Bcrypt {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let ["", variant, cost, rest] = fields::parts(text)? else {
            return Err("must begin with $ as a bcrypt hash".to_owned());
        };
        let variant = match variant {
            "2a" => 'a',
            "2b" => 'b',
            "2y" => 'y',
            _ => return Err("must be a bcrypt hash of the variant 2a, 2b or 2y".to_owned()),
        };
        let cost = Some(cost).filter(|cost| cost.len() == 2);
        let cost = cost.and_then(|cost| cost.parse().ok());
        let cost = cost.filter(|cost| (4..=31).contains(cost));
        let cost = cost.ok_or("must have a cost of two digits, 04 to 31")?;
        if rest.len() != 53 || !rest.is_ascii() {
            return Err(format!(
                "has {} characters after its cost instead of 53; it may have been cut",
                rest.len()
            ));
        }
        let decode = |text: &str| BASE64.decode(text).map_err(|_| "is not bcrypt's base64".to_owned());
        let (salt, hash) = rest.split_at(22);
        Ok(Self {
            variant,
            cost,
            salt: fields::array(&decode(salt)?)?,
            hash: fields::array(&decode(hash)?)?,
            after_sha256: false,
        })
    }

    pub(super) fn after_sha256(self) -> Self {
        Self {
            after_sha256: true,
            ..self
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.after_sha256 {
            Scheme::BcryptSha256
        } else {
            Scheme::Bcrypt
        }
    }

    pub(super) fn text(&self) -> String {
        let tag = if self.after_sha256 { "bcrypt_sha256$" } else { "" };
        let (salt, hash) = (BASE64.encode(self.salt), BASE64.encode(self.hash));
        format!("{tag}$2{}${:02}${salt}{hash}", self.variant, self.cost)
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        if self.after_sha256 {
            return self.matches_key(hex::encode(secret::hash(presented)).as_bytes());
        }
        self.matches_key(presented)
    }

    fn matches_key(&self, key: &[u8]) -> bool {
        let mut ended = key[..key.len().min(LONGEST)].to_vec();
        if ended.len() < LONGEST {
            ended.push(0);
        }
        let computed = bcrypt::bcrypt(self.cost, self.salt, &ended);
        equal(&computed[..23], &self.hash)
    }

    pub(super) fn is_truncating(&self) -> bool {
        !self.after_sha256
    }

    /// Whether another text with the same beginning would not match.
    pub(super) fn verifies_all_of(&self, presented: &[u8]) -> bool {
        self.after_sha256 || presented.len() < LONGEST
    }

    pub(super) fn cost(&self) -> Cost {
        Cost {
            nanos: f64::from(1_u32 << self.cost) * BCRYPT_ROUND,
            bytes: 0,
        }
    }
}

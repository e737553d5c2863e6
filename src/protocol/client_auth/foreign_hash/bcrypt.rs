//! bcrypt: `$2b$12$`, then 22 characters of salt and 31 of hash. Variants 2a, 2b and 2y are computed alike.
//!
//! bcrypt ignores what follows byte 72 of a secret. Two spellings therefore hash a digest of the secret:
//!
//! - Django: `bcrypt_sha256$$2b$12$…`, of SHA-256 in hexadecimal.
//! - passlib and Authelia: `$bcrypt-sha256$v=2,t=2b,r=12$salt$hash`, of HMAC-SHA-256 with the text of the salt as its key, in base64. Before version
//!   1.7.3 passlib wrote `$bcrypt-sha256$2b,12$salt$hash`, of SHA-256 in base64.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

/// What bcrypt hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Secret,
    /// SHA-256 in hexadecimal.
    Hexadecimal,
    /// SHA-256 in base64.
    Base64,
    /// HMAC-SHA-256 in base64.
    Hmac,
}

/// A hash of bcrypt.
#[derive(Clone, PartialEq, Eq)]
pub struct Bcrypt {
    variant: char,
    cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
    input: Input,
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
            input: Input::Secret,
        })
    }

    /// The rest of Django's `bcrypt_sha256$…`.
    pub(super) fn parse_django_sha256(text: &str) -> Result<Self, Problem> {
        Ok(Self {
            input: Input::Hexadecimal,
            ..Self::parse(text)?
        })
    }

    pub(super) fn parse_passlib_sha256(text: &str) -> Result<Self, Problem> {
        let ["", _, parameters, salt, hash] = fields::parts(text)? else {
            return Err("must begin with $".to_owned());
        };
        let parameters: Vec<&str> = parameters.split(',').collect();
        let (input, variant, cost) = match parameters.as_slice() {
            ["v=2", variant, cost] => (Input::Hmac, variant.strip_prefix("t="), cost.strip_prefix("r=")),
            [variant, cost] => (Input::Base64, Some(*variant), Some(*cost)),
            _ => (Input::Hmac, None, None),
        };
        let (Some(variant), Some(cost)) = (variant, cost) else {
            return Err("must have the parameters v=2,t=…,r=…".to_owned());
        };
        let cost = fields::number(cost, "cost")?;
        let parsed = Self::parse(&format!("${variant}${cost:02}${salt}{hash}"))?;
        if BASE64.encode(parsed.salt) != salt {
            return Err("has a salt that is not bcrypt's base64; it may have been cut".to_owned());
        }
        Ok(Self { input, ..parsed })
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self.input {
            Input::Secret => Scheme::Bcrypt,
            _ => Scheme::BcryptSha256,
        }
    }

    pub(super) fn text(&self) -> String {
        let (salt, hash) = (BASE64.encode(self.salt), BASE64.encode(self.hash));
        let (variant, cost) = (self.variant, self.cost);
        match self.input {
            Input::Secret => format!("$2{variant}${cost:02}${salt}{hash}"),
            Input::Hexadecimal => format!("bcrypt_sha256$$2{variant}${cost:02}${salt}{hash}"),
            Input::Base64 => format!("$bcrypt-sha256$2{variant},{cost}${salt}${hash}"),
            Input::Hmac => format!("$bcrypt-sha256$v=2,t=2{variant},r={cost}${salt}${hash}"),
        }
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        match self.input {
            Input::Secret => self.matches_key(presented),
            Input::Hexadecimal => self.matches_key(hex::encode(secret::hash(presented)).as_bytes()),
            Input::Base64 => self.matches_key(STANDARD.encode(secret::hash(presented)).as_bytes()),
            Input::Hmac => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, BASE64.encode(self.salt).as_bytes());
                self.matches_key(STANDARD.encode(hmac::sign(&key, presented)).as_bytes())
            }
        }
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
        self.input == Input::Secret
    }

    /// Whether another text with the same beginning would not match.
    pub(super) fn verifies_all_of(&self, presented: &[u8]) -> bool {
        !self.is_truncating() || presented.len() < LONGEST
    }

    pub(super) fn cost(&self) -> Cost {
        Cost {
            nanos: f64::from(1_u32 << self.cost) * BCRYPT_ROUND,
            bytes: 0,
        }
    }
}

//! PBKDF2, in four spellings:
//!
//! - Ory Hydra: `$pbkdf2-sha256$i=25000,l=32$salt$hash`. This is how it is stored here.
//! - passlib and Authelia: `$pbkdf2-sha256$25000$salt$hash`; with SHA-1 `$pbkdf2$25000$…`.
//! - Django: `pbkdf2_sha256$25000$salt$hash`, the salt as it is.
//! - Spring Security: salt and hash together in hexadecimal, with the parameters that the encoder had by default. Before version 5.8 that is
//!   SHA-1, which nothing else here needs.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{Algorithm, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512, verify};

use super::cost::{Cost, PBKDF2_ITERATIONS};
use super::fields::{self, Problem};
use super::scheme::Scheme;

/// The hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prf {
    Sha1,
    Sha256,
    Sha512,
}

impl Prf {
    /// The bytes of its output.
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Sha1 => PBKDF2_HMAC_SHA1,
            Self::Sha256 => PBKDF2_HMAC_SHA256,
            Self::Sha512 => PBKDF2_HMAC_SHA512,
        }
    }
}

/// A hash of PBKDF2.
#[derive(Clone, PartialEq, Eq)]
pub struct Pbkdf2 {
    prf: Prf,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Pbkdf2 {
    fn new(prf: Prf, iterations: u32, salt: Vec<u8>, hash: Vec<u8>) -> Result<Self, Problem> {
        let iterations = NonZeroU32::new(iterations).ok_or("must have at least one iteration")?;
        Ok(Self {
            prf,
            iterations,
            salt: fields::salt(salt)?,
            hash: fields::hash(hash)?,
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let ["", tag, parameters, salt, hash] = fields::parts(text)? else {
            return Err("must begin with $".to_owned());
        };
        let prf = match tag {
            "pbkdf2" | "pbkdf2-sha1" => Prf::Sha1,
            "pbkdf2-sha256" => Prf::Sha256,
            "pbkdf2-sha512" => Prf::Sha512,
            _ => return Err("must be PBKDF2 with SHA-1, SHA-256 or SHA-512".to_owned()),
        };
        let hash = fields::base64(hash)?;
        let (iterations, length) = if parameters.starts_with("i=") {
            let [iterations, length] = fields::parameters(parameters, ["i", "l"])?;
            (iterations, length as usize)
        } else {
            (fields::number(parameters, "number of iterations")?, prf.length())
        };
        check_length(&hash, length)?;
        Self::new(prf, iterations, fields::base64(salt)?, hash)
    }

    pub(super) fn parse_django(text: &str) -> Result<Self, Problem> {
        let [tag, iterations, salt, hash] = fields::parts(text)?;
        let prf = if tag == "pbkdf2_sha1" { Prf::Sha1 } else { Prf::Sha256 };
        let hash = fields::base64(hash)?;
        check_length(&hash, prf.length())?;
        let iterations = fields::number(iterations, "number of iterations")?;
        Self::new(prf, iterations, salt.into(), hash)
    }

    pub(super) fn parse_spring_5_5(text: &str) -> Result<Self, Problem> {
        Self::parse_spring(text, Prf::Sha1, 185_000, 8)
    }

    pub(super) fn parse_spring_5_8(text: &str) -> Result<Self, Problem> {
        Self::parse_spring(text, Prf::Sha256, 310_000, 16)
    }

    fn parse_spring(text: &str, prf: Prf, iterations: u32, salt_length: usize) -> Result<Self, Problem> {
        let bytes = fields::hexadecimal(text)?;
        check_length(&bytes, salt_length + 32)?;
        let (salt, hash) = bytes.split_at(salt_length);
        Self::new(prf, iterations, salt.into(), hash.into())
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self.prf {
            Prf::Sha1 => Scheme::Pbkdf2Sha1,
            Prf::Sha256 => Scheme::Pbkdf2Sha256,
            Prf::Sha512 => Scheme::Pbkdf2Sha512,
        }
    }

    pub(super) fn text(&self) -> String {
        let (salt, hash) = (fields::to_base64(&self.salt), fields::to_base64(&self.hash));
        let length = self.hash.len();
        format!("${}$i={},l={length}${salt}${hash}", self.scheme(), self.iterations)
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        verify(self.prf.algorithm(), self.iterations, &self.salt, presented, &self.hash).is_ok()
    }

    pub(super) fn cost(&self) -> Cost {
        let blocks = self.hash.len().div_ceil(self.prf.length()) as u32;
        Cost {
            nanos: f64::from(self.iterations.get()) * f64::from(blocks) * PBKDF2_ITERATIONS[self.prf as usize],
            bytes: 0,
        }
    }
}

fn check_length(bytes: &[u8], expected: usize) -> Result<(), Problem> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(format!(
        "has {} bytes instead of {expected}; it may have been cut",
        bytes.len()
    ))
}

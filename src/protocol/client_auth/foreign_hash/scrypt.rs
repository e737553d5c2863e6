//! scrypt, in three spellings:
//!
//! - passlib and Authelia: `$scrypt$ln=16,r=8,p=1$salt$hash`. This is how it is stored here.
//! - Django: `scrypt$16384$salt$8$5$hash`, the salt as it is.
//! - Spring Security: `$e0801$salt$hash`, the parameters in hexadecimal digits.

use scrypt::{Params, scrypt};

use super::cost::{Cost, SCRYPT_BLOCK};
use super::fields::{self, Problem, equal};

/// A hash of scrypt.
#[derive(Clone, PartialEq, Eq)]
pub struct Scrypt {
    log_n: u8,
    r: u32,
    p: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Scrypt {
    fn new([log_n, r, p]: [u32; 3], salt: Vec<u8>, hash: Vec<u8>) -> Result<Self, Problem> {
        let unusable = || "must have parameters of scrypt: N at least 2, r and p at least 1".to_owned();
        let log_n = u8::try_from(log_n).ok().filter(|log_n| (1..=40).contains(log_n));
        let log_n = log_n.ok_or_else(unusable)?;
        // The library multiplies them as 32-bit numbers.
        let are_small = (1..=0x4000).contains(&r) && (1..=0x4000).contains(&p);
        if !are_small || Params::new(log_n, r, p).is_err() {
            return Err(unusable());
        }
        Ok(Self {
            log_n,
            r,
            p,
            salt: fields::salt(salt)?,
            hash: fields::hash(hash)?,
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let ["", _, parameters, salt, hash] = fields::parts(text)? else {
            return Err("must begin with $".to_owned());
        };
        let parameters = fields::parameters(parameters, ["ln", "r", "p"])?;
        let hash = fields::base64(hash)?;
        fields::array::<32>(&hash)?;
        Self::new(parameters, fields::base64(salt)?, hash)
    }

    pub(super) fn parse_django(text: &str) -> Result<Self, Problem> {
        let [_, n, salt, r, p, hash] = fields::parts(text)?;
        let n = fields::number(n, "work factor")?;
        if !n.is_power_of_two() {
            return Err("must have a power of two as its work factor".to_owned());
        }
        let (r, p) = (fields::number(r, "block size")?, fields::number(p, "parallelism")?);
        let hash = fields::base64(hash)?;
        fields::array::<64>(&hash)?;
        Self::new([n.trailing_zeros(), r, p], salt.into(), hash)
    }

    pub(super) fn parse_spring(text: &str) -> Result<Self, Problem> {
        let ["", parameters, salt, hash] = fields::parts(text)? else {
            return Err("must begin with $".to_owned());
        };
        let parameters = u32::from_str_radix(parameters, 16)
            .map_err(|_| "must have its parameters in hexadecimal digits".to_owned())?;
        let hash = fields::base64(hash)?;
        fields::array::<32>(&hash)?;
        let parameters = [parameters >> 16, parameters >> 8 & 0xff, parameters & 0xff];
        Self::new(parameters, fields::base64(salt)?, hash)
    }

    pub(super) fn text(&self) -> String {
        let (salt, hash) = (fields::to_base64(&self.salt), fields::to_base64(&self.hash));
        // Its usual spelling has 32 bytes; the longer hash of Django keeps Django's.
        if let (64, Ok(salt)) = (self.hash.len(), str::from_utf8(&self.salt)) {
            return format!("scrypt${}${salt}${}${}${hash}", 1_u64 << self.log_n, self.r, self.p);
        }
        format!("$scrypt$ln={},r={},p={}${salt}${hash}", self.log_n, self.r, self.p)
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        let Ok(parameters) = Params::new(self.log_n, self.r, self.p) else {
            return false;
        };
        let mut computed = vec![0; self.hash.len()];
        scrypt(presented, &self.salt, &parameters, &mut computed).is_ok() && equal(&computed, &self.hash)
    }

    pub(super) fn cost(&self) -> Cost {
        let (n, r, p) = (1_u64 << self.log_n, u64::from(self.r), u64::from(self.p));
        Cost {
            nanos: n as f64 * (r * p) as f64 * SCRYPT_BLOCK,
            bytes: (128 * n * r).max(128 * r * p),
        }
    }
}

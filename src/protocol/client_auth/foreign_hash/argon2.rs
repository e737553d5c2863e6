//! Argon2id and Argon2i: `$argon2id$v=19$m=65536,t=3,p=4$salt$hash`, without `v` for version 1.0.

use argon2::{Algorithm, Params, Version};

use super::cost::{ARGON2_BLOCK, Cost};
use super::fields::{self, Problem, equal};
use super::scheme::Scheme;

/// The shortest salt, bytes: no implementation takes a shorter one.
const MIN_SALT: usize = 8;

/// Bytes of a hash. Its text does not say how many it has, so any other number may be the rest of a longer hash: 32 are what all libraries
/// make by default, 16 what earlier versions of argon2-cffi did, and 64 and 128 what products let their owners choose.
const HASH_BYTES: [usize; 4] = [16, 32, 64, 128];

/// A hash of Argon2.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2 {
    algorithm: Algorithm,
    version: Version,
    /// Memory in KiB, passes, lanes.
    parameters: [u32; 3],
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// KiB of memory, passes and lanes for new hashes: the least that OWASP recommends.
const OF_NEW: [u32; 3] = [19_456, 2, 1];

impl Argon2 {
    /// The hash of a secret. `None`: the salt is too short, or there is not enough memory.
    pub(super) fn of_secret(secret: &str, salt: &[u8]) -> Option<Self> {
        let mut hashed = Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            parameters: OF_NEW,
            salt: salt.into(),
            hash: vec![0; 32],
        };
        let mut hash = vec![0; 32];
        argon2::Argon2::new(hashed.algorithm, hashed.version, hashed.params()?)
            .hash_password_into(secret.as_bytes(), salt, &mut hash)
            .ok()?;
        hashed.hash = hash;
        Some(hashed)
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (text, version) = match text.find("$v=") {
            None => (text.to_owned(), Version::V0x10),
            Some(_) if text.contains("$v=19$") => (text.replacen("$v=19$", "$", 1), Version::V0x13),
            Some(_) if text.contains("$v=16$") => (text.replacen("$v=16$", "$", 1), Version::V0x10),
            Some(_) => return Err("must have the version v=19 or v=16".to_owned()),
        };
        let ["", tag, parameters, salt, hash] = fields::parts(&text)? else {
            return Err("must begin with $".to_owned());
        };
        let algorithm = match tag {
            "argon2id" => Algorithm::Argon2id,
            "argon2i" => Algorithm::Argon2i,
            _ => return Err("must be Argon2id or Argon2i".to_owned()),
        };
        let salt = fields::salt(fields::base64(salt)?)?;
        if salt.len() < MIN_SALT {
            return Err(format!("has a salt of {} bytes; Argon2 needs {MIN_SALT}", salt.len()));
        }
        let parsed = Self {
            algorithm,
            version,
            parameters: fields::parameters(parameters, ["m", "t", "p"])?,
            salt,
            hash: of_usual_length(fields::base64(hash)?)?,
        };
        match parsed.params() {
            Some(_) => Ok(parsed),
            None => Err("must have parameters of Argon2: t and p at least 1, m at least 8 times p".to_owned()),
        }
    }

    fn params(&self) -> Option<Params> {
        let [memory, passes, lanes] = self.parameters;
        Params::new(memory, passes, lanes, Some(self.hash.len())).ok()
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self.algorithm {
            Algorithm::Argon2i => Scheme::Argon2i,
            _ => Scheme::Argon2id,
        }
    }

    pub(super) fn text(&self) -> String {
        let (salt, hash) = (fields::to_base64(&self.salt), fields::to_base64(&self.hash));
        let [memory, passes, lanes] = self.parameters;
        let version = match self.version {
            Version::V0x10 => 16,
            Version::V0x13 => 19,
        };
        let scheme = self.scheme();
        format!("${scheme}$v={version}$m={memory},t={passes},p={lanes}${salt}${hash}")
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        let Some(parameters) = self.params() else {
            return false;
        };
        let mut computed = vec![0; self.hash.len()];
        argon2::Argon2::new(self.algorithm, self.version, parameters)
            .hash_password_into(presented, &self.salt, &mut computed)
            .is_ok()
            && equal(&computed, &self.hash)
    }

    pub(super) fn cost(&self) -> Cost {
        let [memory, passes, _] = self.parameters;
        Cost {
            nanos: f64::from(memory) * f64::from(passes) * ARGON2_BLOCK,
            bytes: u64::from(memory) * 1024,
        }
    }
}

fn of_usual_length(hash: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if HASH_BYTES.contains(&hash.len()) {
        return Ok(hash);
    }
    Err(format!(
        "has a hash of {} bytes instead of 16, 32, 64 or 128; it may have been cut",
        hash.len()
    ))
}

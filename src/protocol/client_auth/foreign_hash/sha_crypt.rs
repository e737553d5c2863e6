//! SHA-crypt of glibc, passlib and Authelia: `$6$rounds=50000$salt$hash`, with SHA-256 `$5$…`. Without `rounds` it has 5000 of them.

use sha_crypt::{PasswordVerifier, ShaCrypt as Verifier};

use super::cost::{Cost, SHA_CRYPT_ROUNDS};
use super::fields::{self, Problem};
use super::scheme::Scheme;

/// Rounds of a text that does not name them.
const USUAL_ROUNDS: u32 = 5000;

/// The longest salt, characters.
const MAX_SALT: usize = 16;

/// The longest secret, bytes: each round hashes the whole secret, twice.
const MAX_SECRET: usize = 128;

/// Its base64 in the order of values, least significant bits first.
const ALPHABET: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A hash of SHA-crypt.
#[derive(Clone, PartialEq, Eq)]
pub struct ShaCrypt {
    is_sha512: bool,
    rounds: u32,
    salt: String,
    hash: String,
}

impl ShaCrypt {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (is_sha512, rest) = match text.split_at_checked(3) {
            Some(("$5$", rest)) => (false, rest),
            Some(("$6$", rest)) => (true, rest),
            _ => return Err("must begin with $5$ or $6$".to_owned()),
        };
        let (rounds, rest) = match rest.strip_prefix("rounds=") {
            None => (USUAL_ROUNDS, rest),
            Some(rest) => {
                let (rounds, rest) = rest.split_once('$').ok_or_else(cut)?;
                (fields::number(rounds, "number of rounds")?, rest)
            }
        };
        if !(1000..=999_999_999).contains(&rounds) {
            return Err("must have 1000 to 999999999 rounds".to_owned());
        }
        let [salt, hash] = fields::parts(rest)?;
        let salt = String::from_utf8_lossy(&fields::salt(salt.into())?).into_owned();
        if salt.len() > MAX_SALT || !salt.chars().all(|c| ALPHABET.contains(c)) {
            return Err(format!(
                "must have a salt of at most {MAX_SALT} letters, digits, dots and slashes"
            ));
        }
        // Characters, and the values that the last one can have.
        let (length, last_values) = if is_sha512 { (86, 4) } else { (43, 16) };
        if hash.len() != length || !hash.chars().all(|c| ALPHABET.contains(c)) {
            return Err(format!(
                "has a hash of {} characters instead of {length} letters, digits, dots and slashes; it may have been cut",
                hash.len()
            ));
        }
        if !hash.ends_with(|c: char| ALPHABET[..last_values].contains(c)) {
            return Err("has a hash with an impossible last character; it may have been cut".to_owned());
        }
        Ok(Self {
            is_sha512,
            rounds,
            salt,
            hash: hash.to_owned(),
        })
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.is_sha512 {
            Scheme::Sha512Crypt
        } else {
            Scheme::Sha256Crypt
        }
    }

    pub(super) fn text(&self) -> String {
        let id = if self.is_sha512 { 6 } else { 5 };
        let rounds = match self.rounds {
            USUAL_ROUNDS => String::new(),
            rounds => format!("rounds={rounds}$"),
        };
        format!("${id}${rounds}{}${}", self.salt, self.hash)
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        presented.len() <= MAX_SECRET
            && Verifier::default()
                .verify_password(presented, self.text().as_str())
                .is_ok()
    }

    pub(super) fn cost(&self) -> Cost {
        Cost {
            nanos: f64::from(self.rounds) * SHA_CRYPT_ROUNDS[usize::from(self.is_sha512)],
            bytes: 0,
        }
    }
}

fn cut() -> Problem {
    "has too few parts between $; it may have been cut".to_owned()
}

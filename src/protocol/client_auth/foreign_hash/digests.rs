//! SHA-256 and SHA-512, salted in the ways of Spring Security and LDAP, and SHA-512 without salt.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA512, digest};

use super::fields::{self, Problem, equal};
use super::scheme::Scheme;

/// Rounds of Spring Security's `StandardPasswordEncoder`.
const STANDARD_ROUNDS: usize = 1024;

/// How salt and secret are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `StandardPasswordEncoder`: SHA-256 of salt and secret, hashed again 1023 times.
    SpringStandard,
    /// `MessageDigestPasswordEncoder`: SHA-256 of the secret and the salt in braces.
    SpringMessageDigest,
    /// The same with SHA-512.
    SpringMessageDigest512,
    /// SHA-256 of secret and salt.
    Sha256,
    /// SHA-512 of secret and salt, if there is one.
    Sha512,
}

impl Form {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha512 | Self::SpringMessageDigest512 => &SHA512,
            _ => &SHA256,
        }
    }
}

/// A digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest {
    form: Form,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Digest {
    pub(super) fn sha512(hash: &[u8]) -> Result<Self, Problem> {
        Ok(Self {
            form: Form::Sha512,
            salt: Vec::new(),
            hash: fields::digest::<64>(hash)?.into(),
        })
    }

    /// 8 bytes of salt and 32 of hash in hexadecimal.
    pub(super) fn parse_spring_standard(text: &str) -> Result<Self, Problem> {
        let bytes: [u8; 40] = fields::array(&fields::hexadecimal(text)?)?;
        let (salt, hash) = bytes.split_at(8);
        Ok(Self {
            form: Form::SpringStandard,
            salt: salt.into(),
            hash: hash.into(),
        })
    }

    /// `{salt}`, which is hashed as it is, and the hash in hexadecimal. The inner error: the hash, if there is no salt.
    pub(super) fn parse_spring_message_digest(text: &str) -> Result<Result<Self, [u8; 32]>, Problem> {
        let Some(rest) = text.strip_prefix('{') else {
            return Ok(Err(fields::array(&fields::hexadecimal(text)?)?));
        };
        let (salt, hash) = rest.split_once('}').ok_or("has a salt that does not end")?;
        let hash: [u8; 32] = fields::array(&fields::hexadecimal(hash)?)?;
        Ok(Ok(Self {
            form: Form::SpringMessageDigest,
            salt: fields::salt(salt.into())?,
            hash: hash.into(),
        }))
    }

    /// The same with SHA-512, of which the hash without salt is a digest, too.
    pub(super) fn parse_spring_message_digest_512(text: &str) -> Result<Self, Problem> {
        let Some(rest) = text.strip_prefix('{') else {
            return Self::sha512(&fields::hexadecimal(text)?);
        };
        let (salt, hash) = rest.split_once('}').ok_or("has a salt that does not end")?;
        let hash: [u8; 64] = fields::array(&fields::hexadecimal(hash)?)?;
        Ok(Self {
            form: Form::SpringMessageDigest512,
            salt: fields::salt(salt.into())?,
            hash: hash.into(),
        })
    }

    /// Hash and salt together in base64.
    pub(super) fn parse_ldap(tag: &str, text: &str) -> Result<Self, Problem> {
        let bytes = fields::base64(text)?;
        let (form, length) = match tag {
            "SSHA256" => (Form::Sha256, 32),
            _ => (Form::Sha512, 64),
        };
        if tag == "SHA512" {
            return Self::sha512(&bytes);
        }
        let (hash, salt) = bytes
            .split_at_checked(length)
            .ok_or_else(|| format!("has {} bytes instead of {length} and a salt", bytes.len()))?;
        Ok(Self {
            form,
            salt: fields::salt(salt.into())?,
            hash: hash.into(),
        })
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self.form {
            Form::SpringStandard | Form::SpringMessageDigest => Scheme::SpringSha256,
            Form::SpringMessageDigest512 => Scheme::SpringSha512,
            Form::Sha256 => Scheme::SaltedSha256,
            Form::Sha512 if self.salt.is_empty() => Scheme::Sha512Base64,
            Form::Sha512 => Scheme::SaltedSha512,
        }
    }

    pub(super) fn text(&self) -> String {
        let joined = |first: &[u8], second: &[u8]| [first, second].concat();
        match self.form {
            Form::SpringStandard => format!("{{sha256}}{}", hex::encode(joined(&self.salt, &self.hash))),
            Form::SpringMessageDigest | Form::SpringMessageDigest512 => {
                let tag = if self.form == Form::SpringMessageDigest {
                    "SHA-256"
                } else {
                    "SHA-512"
                };
                let salt = String::from_utf8_lossy(&self.salt);
                format!("{{{tag}}}{{{salt}}}{}", hex::encode(&self.hash))
            }
            Form::Sha256 => format!("{{SSHA256}}{}", fields::to_base64(&joined(&self.hash, &self.salt))),
            Form::Sha512 => {
                let tag = if self.salt.is_empty() { "SHA512" } else { "SSHA512" };
                format!("{{{tag}}}{}", fields::to_base64(&joined(&self.hash, &self.salt)))
            }
        }
    }

    pub(super) fn matches(&self, presented: &[u8]) -> bool {
        let of = |bytes: &[u8]| digest(self.form.algorithm(), bytes);
        let computed = match self.form {
            Form::SpringStandard => {
                let first = of(&[&self.salt, presented].concat());
                (1..STANDARD_ROUNDS).fold(first, |last, _| of(last.as_ref()))
            }
            Form::SpringMessageDigest | Form::SpringMessageDigest512 => {
                of(&[presented, b"{", &self.salt, b"}"].concat())
            }
            Form::Sha256 | Form::Sha512 => of(&[presented, &self.salt].concat()),
        };
        equal(computed.as_ref(), &self.hash)
    }
}

//! Secrets in clear that a fast hash does not protect. An import hashes them slowly instead, so that their clients keep them.

use super::argon2::Argon2;
use super::fields::Problem;
use super::{ForeignHash, MAX_PLAIN, check_clear};
use crate::tokens::secret;

/// The shortest secret, characters. A shorter one is guessed online.
const SHORTEST: usize = 8;

/// The beginning of the text whose SHA-256 is a salt.
const SALT_OF: &str = "oauth2_server: salt of a weak secret of ";

/// The slow hash of a weak secret in clear, which takes about 40 ms. `None`: [`super::import`] decides about the text. `client_id`: the salt
/// follows from it, so that the same export gives the same hash when it is imported again.
pub fn of_weak_secret(secret: &str, client_id: &str) -> Result<Option<ForeignHash>, Problem> {
    check_clear(secret)?;
    // One of spaces only is empty.
    let length = if secret.trim().is_empty() {
        0
    } else {
        secret.chars().count()
    };
    if length < SHORTEST {
        return Err(format!(
            "is a secret in clear of {length} characters, which can be guessed; at least {SHORTEST} are required: leave it out and give the \
             client a new secret"
        ));
    }
    if secret::is_strong(secret) || secret.len() > MAX_PLAIN || secret.contains(char::is_control) {
        return Ok(None);
    }
    let digest = secret::hash(format!("{SALT_OF}{client_id}"));
    Ok(Argon2::of_secret(secret, &digest[..16]).map(ForeignHash::Argon2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::client_auth::foreign_hash::{Imported, import};

    #[test]
    fn weak_secrets_get_a_slow_hash_that_can_be_made_again() {
        let of = |secret: &str, id: &str| of_weak_secret(secret, id).unwrap().unwrap();
        let hash = of("k3yK3yk3yK3yk3yK", "a");
        assert!(hash.matches("k3yK3yk3yK3yk3yK") && !hash.matches("k3yK3yk3yK3yk3yk"));
        assert!(
            hash.text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.text()
        );
        assert_eq!(of("k3yK3yk3yK3yk3yK", "a"), hash);
        assert_ne!(of("k3yK3yk3yK3yk3yK", "b"), hash, "a salt per client");
        assert!(!hash.may_be_replaced_by("k3yK3yk3yK3yk3yK"));
        assert_eq!(
            import(&hash.text(), None),
            Ok(Imported::Foreign(hash)),
            "it may be imported"
        );
        assert!(of("пароль-пароль", "a").matches("пароль-пароль"));
    }

    #[test]
    fn other_secrets_are_left_or_rejected() {
        for left in ["Xy7Xy8Xy9Xy7Xy7Xy7Xy7X", &"éa".repeat(130), "hunter2\thunter2"] {
            assert_eq!(of_weak_secret(left, "a"), Ok(None), "{left}");
        }
        for (secret, problem) in [
            ("", "is a secret in clear of 0 characters"),
            ("1234567", "is a secret in clear of 7 characters"),
            (&" ".repeat(40), "is a secret in clear of 0 characters"),
            ("{bcrypt}short", "looks like a hash or a tagged password ({bcrypt})"),
        ] {
            let found = of_weak_secret(secret, "a").unwrap_err();
            assert!(found.starts_with(problem), "{found}");
        }
    }
}

//! Private keys as Rust programs make them, in files named rust.ALG.NAME.

use std::path::Path;

use ed25519_dalek::pkcs8::EncodePrivateKey;
use p256::pkcs8::LineEnding;
use rand_core::OsRng;

use crate::report::Failure;

pub fn generate(directory: &str) -> Result<(), Failure> {
    let directory = Path::new(directory);
    let p256 = p256::SecretKey::random(&mut OsRng);
    std::fs::write(
        directory.join("rust.ES256.p256-sec1"),
        p256.to_sec1_pem(LineEnding::LF)?,
    )?;
    std::fs::write(
        directory.join("rust.ES256.p256-jwk"),
        p256::SecretKey::random(&mut OsRng).to_jwk_string(),
    )?;
    // Version 2 of PKCS #8, which includes the public key.
    let ed25519 = ed25519_dalek::SigningKey::generate(&mut OsRng);
    std::fs::write(
        directory.join("rust.EdDSA.ed25519-dalek-pkcs8"),
        ed25519.to_pkcs8_pem(LineEnding::LF)?,
    )?;
    Ok(())
}

//! The cost of a verification, and its limit: a client must not keep a thread of the pool for long, nor fill the memory.
//!
//! The times were measured on one core of the machine that `docs/performance.md` names. `cargo bench --bench foreign_hashes` measures them again.

use super::fields::Problem;

/// The longest time of a try, nanoseconds. Near this limit the first request is answered 503 (`SLOW_LIMIT` in `src/service/authenticate.rs`), and its
/// retry finds the outcome.
const MAX_NANOS: f64 = 1e9;

/// The most memory of a try, bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Nanoseconds of a round of bcrypt, of which there are 2 to the power of its cost.
pub(super) const BCRYPT_ROUND: f64 = 52_000.0;

/// Nanoseconds of an iteration of PBKDF2 per block of output: with SHA-1, SHA-256 and SHA-512.
pub(super) const PBKDF2_ITERATIONS: [f64; 3] = [96.0, 108.0, 360.0];

/// Nanoseconds of scrypt per N, r and p.
pub(super) const SCRYPT_BLOCK: f64 = 420.0;

/// Nanoseconds of Argon2 per KiB and pass.
pub(super) const ARGON2_BLOCK: f64 = 1040.0;

/// Nanoseconds of a round of SHA-crypt with a secret of 128 bytes: with SHA-256 and SHA-512.
pub(super) const SHA_CRYPT_ROUNDS: [f64; 2] = [250.0, 700.0];

/// The cost of a verification.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// Time, nanoseconds.
    pub(super) nanos: f64,
    /// Memory, bytes.
    pub(super) bytes: u64,
}

impl Cost {
    /// Next to nothing.
    pub(super) const NONE: Self = Self { nanos: 0.0, bytes: 0 };

    /// Rejects what costs too much.
    pub(super) fn check(self) -> Result<(), Problem> {
        if self.bytes > MAX_BYTES {
            let needed = self.bytes.div_ceil(1024 * 1024);
            return Err(format!(
                "needs {needed} MiB of memory for each try; at most 64 MiB are allowed"
            ));
        }
        if self.nanos > MAX_NANOS {
            return Err(format!(
                "takes about {:.1} s of a core for each try; at most 1 s is allowed",
                (self.nanos / 1e8).ceil() / 10.0
            ));
        }
        Ok(())
    }
}

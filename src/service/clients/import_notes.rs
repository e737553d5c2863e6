//! Warnings about the clients of an import.

/// Warnings about the clients of an import.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ImportNotes {
    /// Clients with hashes that ignore the end of a long secret.
    pub(super) truncating: u64,
    /// Previous secrets whose rows do not say when they expire.
    pub(super) default_expiry: u64,
}

impl ImportNotes {
    /// Adds the warnings of other rows.
    pub fn add(&mut self, other: Self) {
        self.truncating += other.truncating;
        self.default_expiry += other.default_expiry;
    }

    /// The notes as sentences.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.truncating > 0 {
            sentences.push(format!(
                "bcrypt hashes of {} clients: bcrypt verifies only the first 72 bytes of a secret, so a longer secret verifies by its \
                 beginning and keeps its slow hash",
                self.truncating
            ));
        }
        if self.default_expiry > 0 {
            sentences.push(format!(
                "previous secrets without expires_at expire in 30 days: {}",
                self.default_expiry
            ));
        }
        sentences
    }
}

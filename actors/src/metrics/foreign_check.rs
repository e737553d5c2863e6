//! How a secret was compared with the hash of another product.

use super::labels::Label;

/// How a secret was compared with the hash of another product. The order is that of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignCheck {
    /// It was verified, and matches.
    Matched,
    /// It was verified, and does not match.
    Mismatched,
    /// It was verified before.
    Remembered,
    /// The queue was full, or the verification did not end in time.
    Shed,
}

impl ForeignCheck {
    /// Every outcome, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Matched, Self::Mismatched, Self::Remembered, Self::Shed];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Mismatched => "mismatched",
            Self::Remembered => "remembered",
            Self::Shed => "shed",
        }
    }
}

impl Label for ForeignCheck {
    fn values() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|outcome| outcome.as_str())
    }

    fn index(self) -> usize {
        self as usize
    }
}

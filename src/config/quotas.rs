//! `[quotas]`: how many tokens clients may be issued where they have no quota of their own.

use oauth2_actors::model::{Mode, Quotas as Limits};

use super::values::{Values, number};

/// Quotas, and whether they refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Quotas of clients that have none of their own.
    pub quotas: Limits,
    /// Whether they refuse.
    pub mode: Mode,
    /// A client with more valid tokens than this is taken not to keep them.
    pub hoard: u64,
}

impl Quotas {
    pub(super) fn read(values: &mut Values) -> Option<Self> {
        let mut quota = |path| values.optional(path, |text| number::<u64>(text, 1, (1 << 53) - 1));
        let (hour, day, month) = (quota("quotas.hour"), quota("quotas.day"), quota("quotas.month"));
        let mode = values.get("quotas.mode", str::parse);
        let hoard = values.get("quotas.still_valid_tokens", |text| number(text, 1, u64::from(u32::MAX)));
        Some(Self {
            quotas: Limits {
                hour: hour?,
                day: day?,
                month: month?,
            },
            mode: mode?,
            hoard: hoard?,
        })
    }
}

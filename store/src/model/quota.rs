//! Calendar windows of quotas, and counts of tokens.

use time::{Date, OffsetDateTime, Time};

use super::names::names;
use super::policy::Quotas;

names! {
    /// A calendar window (UTC).
    Window {
        /// A full hour.
        Hour = "hour",
        /// A day.
        Day = "day",
        /// A month.
        Month = "month",
    }
}

impl Window {
    /// Start (inclusive) and end (exclusive) of the window that contains a time; Unix seconds.
    pub fn bounds_at(self, now: i64) -> (i64, i64) {
        match self {
            Self::Hour => (now - now.rem_euclid(3600), now - now.rem_euclid(3600) + 3600),
            Self::Day => (now - now.rem_euclid(86_400), now - now.rem_euclid(86_400) + 86_400),
            Self::Month => month(now),
        }
    }

    /// The quota of this window.
    pub fn quota(self, quotas: &Quotas) -> Option<u64> {
        match self {
            Self::Hour => quotas.hour,
            Self::Day => quotas.day,
            Self::Month => quotas.month,
        }
    }
}

fn month(now: i64) -> (i64, i64) {
    let today = OffsetDateTime::from_unix_timestamp(now)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .date();
    let first = |date: Date| date.replace_day(1).unwrap_or(date);
    let start = first(today);
    // 32 days after the first of a month is always a day of the next month.
    let next = first(start.saturating_add(time::Duration::days(32)));
    let at = |date: Date| date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp();
    (at(start), at(next))
}

/// Tokens issued to a client in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The client.
    pub client_id: String,
    /// Kind of window.
    pub window: Window,
    /// Start of the window, Unix seconds.
    pub start: i64,
    /// Number of tokens: the total when read, the increment when written.
    pub used: u64,
}

/// A node's request for a lease of a client's quotas, so that it need not ask for each token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The client.
    pub client_id: String,
    /// Tokens that the node would like to have.
    pub want: u64,
    /// The start of each window, in the order of [`Window::ALL`], Unix seconds.
    pub starts: [i64; 3],
    /// The quota of each.
    pub quotas: Quotas,
}

/// A lease, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Tokens that it may issue; they count as used. 0: a quota is used up.
    pub granted: u64,
    /// Tokens used in each window, by all nodes, with everything that is leased.
    pub used: [u64; 3],
    /// The start of each window in the store: later than that of the request if its clock is behind. Then nothing is granted.
    pub starts: [i64; 3],
}

impl LeaseRequest {
    /// A lease is at most this part of what is left: near its end, a quota is given out one by one, so that no node holds what another
    /// one is asked for.
    pub const PART: i64 = 16;

    /// The number of tokens that may be granted when `used` tokens are used in each window.
    pub fn granted(&self, used: &[u64; 3]) -> u64 {
        let left = Window::ALL.iter().zip(used).filter_map(|(window, used)| {
            let quota = window.quota(&self.quotas)?;
            Some(quota.saturating_sub(*used))
        });
        let left = left.min().unwrap_or(u64::MAX);
        self.want.min((left / Self::PART as u64).max(1)).min(left)
    }
}

/// Maximum number of [`ExpiringTokens`] rows that one call returns; a row takes a few hundred bytes.
pub const MAX_EXPIRING_ROWS: usize = 500_000;

/// Number of tokens of a client that expire in the same minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringTokens {
    /// The client.
    pub client_id: String,
    /// End of the minute, Unix seconds.
    pub expires_at: i64,
    /// Number of tokens.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_calendar() {
        // 2026-11-25 14:12:33 UTC.
        let now = 1_795_615_953;
        assert_eq!(Window::Hour.bounds_at(now), (1_795_615_200, 1_795_618_800));
        assert_eq!(Window::Day.bounds_at(now), (1_795_564_800, 1_795_651_200));
        // 1 November to 1 December.
        assert_eq!(Window::Month.bounds_at(now), (1_793_491_200, 1_796_083_200));
        for window in Window::ALL {
            let (start, end) = window.bounds_at(now);
            assert_eq!(window.bounds_at(end).0, end);
            assert_eq!(window.bounds_at(end - 1), (start, end));
        }
    }
}

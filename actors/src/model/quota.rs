//! Windows that tokens are counted in.

use time::{Date, OffsetDateTime, Time};

use super::{Quotas, names};

names! {
    /// A calendar window of UTC.
    Window {
        /// From one full hour to the next.
        Hour = "hour",
        /// From midnight to midnight.
        Day = "day",
        /// From the first of a month to the first of the next.
        Month = "month",
    }
}

impl Window {
    /// Beginning and end of the window that a moment lies in; Unix seconds.
    pub fn around(self, now: i64) -> (i64, i64) {
        match self {
            Self::Hour => (now - now.rem_euclid(3600), now - now.rem_euclid(3600) + 3600),
            Self::Day => (now - now.rem_euclid(86_400), now - now.rem_euclid(86_400) + 86_400),
            Self::Month => month(now),
        }
    }

    /// The quota for it.
    pub fn of(self, quotas: &Quotas) -> Option<u64> {
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
    let begins = first(today);
    // Every month has fewer than 32 days, and more than 27.
    let next = first(begins.saturating_add(time::Duration::days(32)));
    let at = |date: Date| date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp();
    (at(begins), at(next))
}

/// What a client used of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The client.
    pub client_id: String,
    /// Which kind of window.
    pub window: Window,
    /// When it began, Unix seconds.
    pub start: i64,
    /// Tokens that were issued in it; to be added, on their way into the store.
    pub used: u64,
}

/// How many [`Expiring`] are read at a start, of a few hundred bytes each.
pub const MOST_EXPIRING: usize = 500_000;

/// Tokens of a client that expire in the same minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// The client.
    pub client_id: String,
    /// When they expire: the end of the minute, Unix seconds.
    pub expires_at: i64,
    /// How many.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_and_end_where_the_calendar_says() {
        // 2026-11-25 14:12:33 UTC.
        let now = 1_795_615_953;
        assert_eq!(Window::Hour.around(now), (1_795_615_200, 1_795_618_800));
        assert_eq!(Window::Day.around(now), (1_795_564_800, 1_795_651_200));
        // 1 November to 1 December.
        assert_eq!(Window::Month.around(now), (1_793_491_200, 1_796_083_200));
        for window in Window::ALL {
            let (start, end) = window.around(now);
            assert_eq!(window.around(end).0, end);
            assert_eq!(window.around(end - 1), (start, end));
        }
    }
}

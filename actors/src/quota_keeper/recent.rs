//! Tokens issued to a client in the running minute and the one before, and the busiest clients of the last full minute.

/// Clients whose shares are added up.
const BUSIEST: usize = 10;

/// Counts of one client. Minutes are Unix seconds divided by 60.
#[derive(Debug, Default)]
pub(super) struct RecentCounts {
    minute: i64,
    current: u32,
    previous: u32,
}

impl RecentCounts {
    /// Counts a token issued at `now`, Unix seconds.
    pub(super) fn add(&mut self, now: i64) {
        self.advance(now);
        self.current = self.current.saturating_add(1);
    }

    /// The tokens of the last full minute.
    pub(super) fn last_minute(&mut self, now: i64) -> u32 {
        self.advance(now);
        self.previous
    }

    /// Whether any token was issued in the running minute or the one before.
    pub(super) fn is_idle(&self) -> bool {
        self.current == 0 && self.previous == 0
    }

    fn advance(&mut self, now: i64) {
        let minute = now / 60;
        // A clock that was set back a little continues the latest minute.
        if minute <= self.minute && self.minute - minute <= 1 {
            return;
        }
        self.previous = if minute == self.minute + 1 { self.current } else { 0 };
        (self.minute, self.current) = (minute, 0);
    }
}

/// The clients with the most tokens of the last full minute.
#[derive(Debug, Default)]
pub(super) struct Busiest {
    /// In ascending order.
    counts: [u32; BUSIEST],
    total: u64,
}

impl Busiest {
    /// Takes the count of one client.
    pub(super) fn add(&mut self, count: u32) {
        self.total += u64::from(count);
        if count > self.counts[0] {
            self.counts[0] = count;
            self.counts.sort_unstable();
        }
    }

    /// The share of the busiest client and of the ten busiest in all tokens; 0 without tokens.
    pub(super) fn shares(&self) -> [f64; 2] {
        let share = |count: u64| {
            if self.total == 0 {
                0.0
            } else {
                count as f64 / self.total as f64
            }
        };
        let first = self.counts.last().copied().unwrap_or(0);
        let ten: u64 = self.counts.iter().copied().map(u64::from).sum();
        [share(first.into()), share(ten)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_full_minute_counts() {
        let mut counts = RecentCounts::default();
        for now in [600, 601, 659, 660] {
            counts.add(now);
        }
        assert_eq!(counts.last_minute(661), 3);
        assert_eq!(counts.last_minute(600), 3, "the clock was set back");
        assert_eq!(counts.last_minute(720), 1);
        assert_eq!(counts.last_minute(780), 0);
        assert!(counts.is_idle());
        counts.add(900);
        assert_eq!(counts.last_minute(1200), 0, "minutes without tokens are not skipped");
    }

    #[test]
    fn shares_are_of_all_clients() {
        let mut busiest = Busiest::default();
        let thousandths = |busiest: &Busiest| busiest.shares().map(|share| (share * 1000.0).round() as u32);
        assert_eq!(thousandths(&busiest), [0, 0]);
        for _ in 0..20 {
            busiest.add(1);
        }
        busiest.add(20);
        assert_eq!(thousandths(&busiest), [500, 725]);
    }
}

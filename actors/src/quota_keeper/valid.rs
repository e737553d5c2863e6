//! Tokens that are still valid, counted by when they expire.

/// Buckets of a client; their width grows with the life of its tokens.
const BUCKETS: usize = 64;

/// Counts of tokens by expiry, accurate to a sixtieth of their life.
#[derive(Debug)]
pub(super) struct Valid {
    /// Seconds of a bucket.
    width: i64,
    /// The number of the first bucket.
    first: i64,
    counts: [u32; BUCKETS],
}

impl Default for Valid {
    fn default() -> Self {
        Self {
            width: 1,
            first: 0,
            counts: [0; BUCKETS],
        }
    }
}

impl Valid {
    /// Counts tokens that expire then.
    pub(super) fn add(&mut self, expires_at: i64, count: u64, now: i64) {
        if expires_at <= now {
            return;
        }
        self.advance(now);
        while expires_at / self.width >= self.first + BUCKETS as i64 {
            self.widen(now);
        }
        let bucket = (expires_at / self.width - self.first).clamp(0, BUCKETS as i64 - 1) as usize;
        self.counts[bucket] = self.counts[bucket].saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// How many are valid now.
    pub(super) fn count(&mut self, now: i64) -> u64 {
        self.advance(now);
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Leaves buckets behind all of whose tokens have expired.
    fn advance(&mut self, now: i64) {
        let gone = (now / self.width - self.first).clamp(0, BUCKETS as i64) as usize;
        self.counts.rotate_left(gone % BUCKETS);
        self.counts[BUCKETS - gone..].fill(0);
        self.first = self.first.max(now / self.width);
    }

    /// Twice as wide: two buckets become one.
    fn widen(&mut self, now: i64) {
        let (old, first) = (self.counts, self.first);
        self.width *= 2;
        self.first = now / self.width;
        self.counts = [0; BUCKETS];
        for (place, count) in old.into_iter().enumerate() {
            let half = (first + place as i64).div_euclid(2);
            let bucket = (half - self.first).clamp(0, BUCKETS as i64 - 1) as usize;
            self.counts[bucket] += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_right_to_a_sixtieth_of_a_life() {
        let (mut valid, life, mut now) = (Valid::default(), 1800, 1_795_615_953);
        let mut expiries = Vec::new();
        for step in 0..20_000_i64 {
            now += step % 2;
            valid.add(now + life, 1, now);
            expiries.push(now + life);
            if step % 500 == 0 {
                let exact = expiries.iter().filter(|at| **at > now).count() as i64;
                let off = (valid.count(now) as i64 - exact).abs();
                // Two tokens a second, in buckets of 32 seconds.
                assert!(off <= 2 * 32 + 2, "{off} of {exact}");
            }
        }
        assert_eq!(valid.count(now + life + 64), 0);
        valid.add(now - 1, 7, now);
        assert_eq!(valid.count(now + life + 64), 0, "expired already");
    }
}

//! Tokens that are still valid, counted by when they expire.

/// Buckets of a ring.
const BUCKETS: usize = 64;

/// Counts of tokens by expiry, accurate to a thirtieth of a token's life: those of lives of one order share a ring. A client whose
/// tokens live equally long, as nearly all do, has one.
#[derive(Debug, Default)]
pub(super) struct Valid {
    rings: Vec<Ring>,
}

#[derive(Debug)]
struct Ring {
    /// Seconds of a bucket, a power of two.
    width: i64,
    /// The number of the first bucket.
    first: i64,
    counts: [u32; BUCKETS],
}

impl Valid {
    /// Counts tokens that expire then.
    pub(super) fn add(&mut self, expires_at: i64, count: u64, now: i64) {
        let life = expires_at - now;
        if life <= 0 {
            return;
        }
        // The buckets reach over the whole life, and the one that has begun.
        let width = (life / (BUCKETS as i64 - 1) + 1).unsigned_abs().next_power_of_two() as i64;
        let place = self.rings.iter().position(|ring| ring.width == width);
        let place = place.unwrap_or_else(|| {
            // Most clients stay with one: no room for more.
            self.rings.reserve_exact(1);
            self.rings.push(Ring {
                width,
                first: now / width,
                counts: [0; BUCKETS],
            });
            self.rings.len() - 1
        });
        self.rings[place].add(expires_at, count, now);
    }

    /// How many are valid now.
    pub(super) fn count(&mut self, now: i64) -> u64 {
        let mut sum = 0;
        self.rings.retain_mut(|ring| {
            let count = ring.count(now);
            sum += count;
            count > 0
        });
        sum
    }
}

impl Ring {
    fn add(&mut self, expires_at: i64, count: u64, now: i64) {
        self.advance(now);
        let bucket = (expires_at / self.width - self.first).clamp(0, BUCKETS as i64 - 1) as usize;
        self.counts[bucket] = self.counts[bucket].saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn count(&mut self, now: i64) -> u64 {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_right_to_a_thirtieth_of_a_life() {
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

    #[test]
    fn a_long_life_does_not_blur_short_ones() {
        let (mut valid, begin) = (Valid::default(), 1_795_615_953);
        valid.add(begin + 30 * 86_400, 1, begin);
        for now in begin..begin + 100_000 {
            valid.add(now + 300, 1, now);
        }
        let count = valid.count(begin + 100_000);
        assert!((300..=312).contains(&count), "{count}");
        assert_eq!(valid.count(begin + 100_400), 1);
        assert_eq!(valid.count(begin + 31 * 86_400), 0);
        assert!(valid.rings.is_empty(), "nothing is kept for nothing");
    }
}

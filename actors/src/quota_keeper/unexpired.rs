//! Unexpired tokens, counted by expiry.

/// Buckets of a ring.
const BUCKETS: usize = 64;

/// Counts of tokens by expiry, accurate to a thirtieth of a token's lifetime. Lifetimes of the same power of two share a ring; a
/// client whose tokens have one lifetime, as nearly all clients, has one ring.
#[derive(Debug, Default)]
pub(super) struct UnexpiredCounts {
    rings: Vec<Ring>,
}

#[derive(Debug)]
struct Ring {
    /// Seconds per bucket, a power of two.
    width: i64,
    /// The first bucket: expiry in Unix seconds divided by `width`.
    first: i64,
    counts: [u32; BUCKETS],
}

impl UnexpiredCounts {
    /// Counts `count` tokens that expire at `expires_at`. Times are Unix seconds.
    pub(super) fn add(&mut self, expires_at: i64, count: u64, now: i64) {
        let lifetime = expires_at - now;
        if lifetime <= 0 {
            return;
        }
        // The buckets cover the whole lifetime, and the bucket that has begun.
        let width = (lifetime / (BUCKETS as i64 - 1) + 1).unsigned_abs().next_power_of_two() as i64;
        let index = self.rings.iter().position(|ring| ring.width == width);
        let index = index.unwrap_or_else(|| {
            // Most clients need one ring: reserve no room for more.
            self.rings.reserve_exact(1);
            self.rings.push(Ring {
                width,
                first: now / width,
                counts: [0; BUCKETS],
            });
            self.rings.len() - 1
        });
        self.rings[index].add(expires_at, count, now);
    }

    /// The number of tokens that are unexpired at `now`, Unix seconds.
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

    /// Drops the buckets whose tokens have all expired.
    fn advance(&mut self, now: i64) {
        let expired = (now / self.width - self.first).clamp(0, BUCKETS as i64) as usize;
        self.counts.rotate_left(expired % BUCKETS);
        self.counts[BUCKETS - expired..].fill(0);
        self.first = self.first.max(now / self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_accurate_to_a_thirtieth_of_a_lifetime() {
        let (mut counts, lifetime, mut now) = (UnexpiredCounts::default(), 1800, 1_795_615_953);
        let mut expiries = Vec::new();
        for step in 0..20_000_i64 {
            now += step % 2;
            counts.add(now + lifetime, 1, now);
            expiries.push(now + lifetime);
            if step % 500 == 0 {
                let exact = expiries.iter().filter(|at| **at > now).count() as i64;
                let off = (counts.count(now) as i64 - exact).abs();
                // Two tokens per second, in buckets of 32 seconds.
                assert!(off <= 2 * 32 + 2, "{off} of {exact}");
            }
        }
        assert_eq!(counts.count(now + lifetime + 64), 0);
        counts.add(now - 1, 7, now);
        assert_eq!(counts.count(now + lifetime + 64), 0, "expired already");
    }

    #[test]
    fn a_long_lifetime_does_not_blur_short_ones() {
        let (mut counts, begin) = (UnexpiredCounts::default(), 1_795_615_953);
        counts.add(begin + 30 * 86_400, 1, begin);
        for now in begin..begin + 100_000 {
            counts.add(now + 300, 1, now);
        }
        let count = counts.count(begin + 100_000);
        assert!((300..=312).contains(&count), "{count}");
        assert_eq!(counts.count(begin + 100_400), 1);
        assert_eq!(counts.count(begin + 31 * 86_400), 0);
        assert!(counts.rings.is_empty(), "empty rings are dropped");
    }
}

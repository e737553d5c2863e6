//! The time of token ids.
//!
//! Ids must stay in the order of revocation cut-offs, on every node and after a restart. So their time never goes back, although the
//! store's clock may. When that is found behind the ids, ids run at half speed until it has caught up.

/// Reservations of id times end this long after the last id, milliseconds.
pub const RESERVE_MS: u64 = 10_000;

/// Nodes follow the store's clock within this, milliseconds. Only a clock that is further behind the ids was set back.
const TOLERANCE_MS: u64 = 5_000;

/// Ids run at half speed from a time on, until the clock has caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slew {
    /// When it began, Unix milliseconds of the store's clock.
    pub from_ms: u64,
    /// How far ids were ahead of the clock then, milliseconds.
    pub ahead_ms: u64,
}

impl Slew {
    /// The time of ids when the store's clock shows `now_ms`. It never decreases while the clock does not, and it is the same on
    /// every node.
    pub fn id_ms(&self, now_ms: u64) -> u64 {
        let elapsed = now_ms.saturating_sub(self.from_ms);
        now_ms.saturating_add(self.ahead_ms.saturating_sub(elapsed / 2))
    }
}

/// The store's clock, and what the store knows of the ids that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreTime {
    /// The store's clock, Unix milliseconds.
    pub now_ms: u64,
    /// No id has a later time, Unix milliseconds.
    pub reserved_ms: u64,
    /// How ids run ahead of the clock.
    pub slew: Slew,
}

impl StoreTime {
    /// How ids must run so that they stay after every id that was given: as stored, or, if the clock was set back since, from the last
    /// id on.
    pub fn needed_slew(&self) -> Slew {
        let given_ms = self.reserved_ms.saturating_sub(RESERVE_MS);
        let follows = self.slew.id_ms(self.now_ms).saturating_add(TOLERANCE_MS);
        if given_ms <= follows {
            return self.slew;
        }
        Slew {
            from_ms: self.now_ms,
            ahead_ms: self.reserved_ms - self.now_ms,
        }
    }

    /// The time of ids now, Unix milliseconds.
    pub fn id_ms(&self) -> u64 {
        self.needed_slew().id_ms(self.now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn time(now_ms: u64, reserved_ms: u64, slew: Slew) -> StoreTime {
        StoreTime {
            now_ms,
            reserved_ms,
            slew,
        }
    }

    #[test]
    fn a_clock_that_follows_the_ids_needs_no_slew() {
        for reserved in [0, NOW - HOUR, NOW, NOW + RESERVE_MS, NOW + RESERVE_MS + TOLERANCE_MS] {
            let time = time(NOW, reserved, Slew::default());
            assert_eq!((time.needed_slew(), time.id_ms()), (Slew::default(), NOW));
        }
    }

    #[test]
    fn ids_go_on_after_the_last_one_until_the_clock_has_caught_up() {
        let back = time(NOW, NOW + HOUR, Slew::default());
        let slew = back.needed_slew();
        assert_eq!(back.id_ms(), NOW + HOUR);
        assert_eq!(slew.id_ms(NOW + HOUR), NOW + HOUR + HOUR / 2, "half speed");
        assert_eq!(slew.id_ms(NOW + 2 * HOUR), NOW + 2 * HOUR, "caught up");
        assert_eq!(slew.id_ms(NOW + 3 * HOUR), NOW + 3 * HOUR);
        // What is reserved for ids that slew is no reason to slew further.
        let slewing = time(NOW + 1000, slew.id_ms(NOW + 1000) + RESERVE_MS, slew);
        assert_eq!(slewing.needed_slew(), slew);
    }

    #[test]
    fn times_of_ids_never_decrease_in_any_sequence_of_steps() {
        let (mut now, mut stored, mut last) = (NOW, time(0, 0, Slew::default()), 0);
        for step in [
            0_i64,
            3_600_000,
            -3_600_000,
            -60_000,
            7_200_000,
            -9_000_000,
            500,
            250,
            86_400_000,
            -86_400_000,
        ] {
            now = now.saturating_add_signed(step);
            for _ in 0..40 {
                now += 250;
                stored.now_ms = now;
                stored.slew = stored.needed_slew();
                let id = stored.id_ms();
                assert!(id >= last, "{step}: {id} < {last}");
                last = id;
                stored.reserved_ms = stored.reserved_ms.max(id + RESERVE_MS);
            }
        }
    }
}

//! The arithmetic of rates: the generic cell rate algorithm, in nanoseconds.
//!
//! One number is kept for each key: the *theoretical arrival time*, when the next start would be due if all of them
//! came at the exact rate. A start may come up to `burst - 1` intervals before it.

/// A pace: nanoseconds between two starts, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds from one start to the next.
    pub interval: i64,
    /// Starts at once after a rest.
    pub burst: u32,
}

impl Pace {
    /// The pace that keeps a rate at its receiver, too: slower by half a percent, so that what clocks and networks
    /// gather or scatter does not add up.
    pub fn with_margin(interval: i64, burst: u32) -> Self {
        Self { interval: interval + (interval / 200).max(1), burst }
    }

    fn tolerance(self) -> i64 {
        self.interval.saturating_mul(i64::from(self.burst.max(1)) - 1)
    }

    /// The earliest start, not before `now`.
    pub fn slot(self, tat: i64, now: i64) -> i64 {
        now.max(tat.saturating_sub(self.tolerance()))
    }

    /// How many starts there are from `now` to `until`, both included.
    pub fn slots(self, tat: i64, now: i64, until: i64) -> usize {
        let ahead = until.saturating_sub(tat.max(now)).div_euclid(self.interval.max(1));
        usize::try_from(ahead.saturating_add(i64::from(self.burst.max(1)))).unwrap_or(0)
    }

    /// The theoretical arrival time after a start.
    pub fn take(self, tat: i64, start: i64) -> i64 {
        tat.max(start).saturating_add(self.interval)
    }

    /// The latest theoretical arrival time that starts up to `until` lead to.
    pub fn latest(self, until: i64) -> i64 {
        until.saturating_add(self.tolerance()).saturating_add(self.interval)
    }

    /// The theoretical arrival time of a pace that has nothing saved up at `then`.
    pub fn empty_at(self, tat: i64, then: i64) -> i64 {
        tat.max(then.saturating_add(self.tolerance()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as fast as allowed from time 0 on, after a rest.
    fn starts(pace: Pace, count: usize) -> Vec<i64> {
        let mut tat = -1_000_000;
        let mut starts = Vec::new();
        for _ in 0..count {
            let start = pace.slot(tat, 0);
            tat = pace.take(tat, start);
            starts.push(start);
        }
        starts
    }

    #[test]
    fn starts_come_at_the_rate_after_the_burst() {
        assert_eq!(starts(Pace { interval: 10, burst: 1 }, 4), [0, 10, 20, 30]);
        assert_eq!(starts(Pace { interval: 10, burst: 3 }, 5), [0, 0, 0, 10, 20]);
    }

    #[test]
    fn no_window_holds_more_than_burst_and_rate() {
        for burst in [1, 2, 7] {
            let pace = Pace { interval: 10, burst };
            let starts = starts(pace, 100);
            for (first, from) in starts.iter().enumerate() {
                for (last, to) in starts.iter().enumerate().skip(first) {
                    let allowed = i64::from(burst) + (to - from) / pace.interval;
                    assert!((last - first + 1) as i64 <= allowed, "burst {burst}: {first} to {last}");
                }
            }
        }
    }

    #[test]
    fn slots_are_as_many_as_can_be_taken() {
        for (burst, tat, until) in
            [(1, 0, 50), (1, 20, 50), (1, 51, 50), (3, 0, 0), (3, 25, 9), (3, 31, 9), (2, 90, 50)]
        {
            let pace = Pace { interval: 10, burst };
            let (mut left, mut count) = (tat, 0);
            while pace.slot(left, 0) <= until {
                left = pace.take(left, pace.slot(left, 0));
                count += 1;
            }
            assert_eq!(pace.slots(tat, 0, until), count, "burst {burst}, tat {tat}, until {until}");
        }
    }

    #[test]
    fn no_start_leads_farther_than_the_latest() {
        for burst in [1, 3] {
            let pace = Pace { interval: 10, burst };
            let mut tat = 0;
            while pace.slot(tat, 0) <= 50 {
                tat = pace.take(tat, pace.slot(tat, 0));
                assert!(tat <= pace.latest(50), "burst {burst}");
            }
        }
    }

    #[test]
    fn an_empty_pace_has_no_burst() {
        let pace = Pace { interval: 10, burst: 3 };
        let tat = pace.empty_at(0, 100);
        assert_eq!(pace.slot(tat, 0), 100);
        assert_eq!(pace.slot(pace.take(tat, 100), 100), 110);
    }
}

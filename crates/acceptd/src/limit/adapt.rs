//! Looking for a rate that nobody knows: up by a little while all is well, down by a lot when the target throttles.

use serde::{Deserialize, Serialize};

use super::Rate;

/// Starts in a second, when nothing else was declared.
const FIRST: f64 = 1.0;
/// What is left of a rate that was too fast.
const CUT: f64 = 0.7;
/// By which part of the rate that was too fast it rises in a second.
const STEP: f64 = 0.05;
const SLOWEST: f64 = 0.01;
const FASTEST: f64 = 10_000.0;

/// A rate that is being looked for: additive increase, multiplicative decrease.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adapt {
    /// Starts in a second, as far as is known.
    pub rate: f64,
    /// The rate that was last too fast; None while none was: until then it doubles every second.
    pub too_fast: Option<f64>,
    /// When it was last cut, in nanoseconds.
    pub cut_at: i64,
}

impl Adapt {
    /// Begins at a declared rate, or at one in a second.
    pub fn new(declared: Option<Rate>) -> Self {
        Self { rate: declared.map_or(FIRST, Rate::per_second), too_fast: None, cut_at: i64::MIN }
    }

    /// A start ended well while others were waiting for the rate.
    pub fn went_well(&mut self) {
        // There are `rate` of these in a second.
        let step = self.too_fast.map_or(1.0, |too_fast| too_fast * STEP / self.rate);
        self.rate = (self.rate + step).min(FASTEST);
    }

    /// The target throttled what started at `started`. What started before the last cut says nothing new.
    pub fn throttled(&mut self, started: i64, now: i64) {
        if started < self.cut_at {
            return;
        }
        self.too_fast = Some(self.rate);
        self.rate = (self.rate * CUT).max(SLOWEST);
        self.cut_at = now;
    }

    /// Nanoseconds between two starts.
    pub fn interval(&self) -> i64 {
        (1e9 / self.rate) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that takes 20 in a second: how fast is asked in each of so many seconds.
    fn seconds(count: usize) -> Vec<f64> {
        let mut adapt = Adapt::new(None);
        let mut rates = Vec::new();
        for second in 0..count as i64 {
            for _ in 0..adapt.rate as usize {
                if adapt.rate > 20.0 {
                    adapt.throttled(second, second);
                } else {
                    adapt.went_well();
                }
            }
            rates.push(adapt.rate);
        }
        rates
    }

    #[test]
    fn it_finds_the_rate_and_stays_near_it() {
        let rates = seconds(100);
        assert!(rates[..8].iter().any(|rate| *rate > 13.0), "found within seconds: {rates:?}");
        assert!(rates[8..].iter().all(|rate| (9.0..=22.0).contains(rate)), "{rates:?}");
    }

    #[test]
    fn what_started_before_a_cut_does_not_cut_again() {
        let mut adapt = Adapt::new(Some("10/s".parse().unwrap()));
        adapt.throttled(5, 8);
        adapt.throttled(6, 9);
        assert_eq!(adapt.rate, 7.0);
        adapt.throttled(8, 10);
        assert!(adapt.rate < 5.0);
    }
}

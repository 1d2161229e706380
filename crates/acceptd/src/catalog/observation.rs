//! What happened, counted by day: small enough to be kept for weeks, and to be added up by any number of nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Timestamp};

/// A day by UTC. In JSON `"2026-11-23"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day of an instant.
    pub fn of(at: Timestamp) -> Self {
        const MICROS: i64 = 86_400_000_000;
        Self(i32::try_from(at.as_micros().div_euclid(MICROS)).unwrap_or(i32::MAX))
    }

    /// The day so many days earlier.
    #[must_use]
    pub fn back(self, days: u32) -> Self {
        Self(self.0.saturating_sub(i32::try_from(days).unwrap_or(i32::MAX)))
    }

    /// Days since 1970, as a store keeps it.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The day of such a number.
    pub fn from_number(number: i32) -> Self {
        Self(number)
    }

    fn date(self) -> jiff::civil::Date {
        let first = jiff::civil::date(1970, 1, 1);
        first.saturating_add(jiff::Span::new().try_days(self.0).unwrap_or_default())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl FromStr for Day {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let date: jiff::civil::Date =
            text.parse().map_err(|_| Error::invalid(format!("{text:?} is not a day such as 2026-11-23")))?;
        let days = (date - jiff::civil::date(1970, 1, 1)).get_days();
        Ok(Self(days))
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What was seen of one edge on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The day.
    pub day: Day,
    /// The type of the event that was accepted, or delivered.
    pub event: String,
    /// The consumer that got it; empty for an event that was accepted from outside.
    pub consumer: String,
    /// The type of the event that was emitted then; empty for the delivery itself.
    pub emits: String,
    /// How often: accepted, ended, or emitted.
    pub count: u64,
    /// How many of them gave up, or were refused.
    pub failed: u64,
    /// How many attempts failed and were tried again.
    pub retried: u64,
    /// When it was seen last.
    pub last: Timestamp,
    /// How long it took from the acceptance of the event, where that means something.
    pub times: Times,
}

impl Observation {
    /// Adds what was seen of the same edge on the same day.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.failed += other.failed;
        self.retried += other.retried;
        self.last = self.last.max(other.last);
        self.times.add(&other.times);
    }
}

/// How many parts each doubling of a duration has: a part is 19 % wide.
const PARTS: f64 = 4.0;

/// Durations, counted in parts of their doublings: the median is exact to a tenth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Times(BTreeMap<u8, u64>);

impl Times {
    /// Counts a duration.
    pub fn note(&mut self, took: Duration) {
        let millis = took.as_secs_f64() * 1e3;
        let part = if millis < 1.0 { 0 } else { (millis.log2() * PARTS) as u8 + 1 };
        *self.0.entry(part).or_default() += 1;
    }

    /// Adds others.
    pub fn add(&mut self, others: &Self) {
        for (part, count) in &others.0 {
            *self.0.entry(*part).or_default() += count;
        }
    }

    /// The median, in milliseconds; None without a duration.
    pub fn median_ms(&self) -> Option<f64> {
        let half = self.0.values().sum::<u64>().div_ceil(2);
        let mut seen = 0;
        let (part, _) = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= half
        })?;
        let middle = |part: u8| ((f64::from(part) - 0.5) / PARTS).exp2();
        Some(if *part == 0 { 0.5 } else { (middle(*part) * 100.0).round() / 100.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        let at: Timestamp = "2026-11-23T23:59:59.999Z".parse().unwrap();
        assert_eq!(Day::of(at).to_string(), "2026-11-23");
        assert_eq!("2026-11-23".parse::<Day>().unwrap(), Day::of(at));
        assert_eq!(Day::of(at).back(23).to_string(), "2026-10-31");
        assert_eq!(Day::of(Timestamp::from_micros(-1)).to_string(), "1969-12-31");
        assert!("yesterday".parse::<Day>().is_err());
    }

    #[test]
    fn the_median_is_exact_to_a_tenth() {
        for millis in [1_u64, 3, 10, 47, 1_500, 90_000, 86_400_000] {
            let mut times = Times::default();
            times.note(Duration::from_millis(millis));
            let (median, millis) = (times.median_ms().unwrap(), millis as f64);
            assert!((median - millis).abs() <= millis * 0.1, "{median} for {millis}");
        }
        let mut times = Times::default();
        assert_eq!(times.median_ms(), None);
        [5, 5, 5, 800, 900].iter().for_each(|millis| times.note(Duration::from_millis(*millis)));
        assert!((4.5..5.5).contains(&times.median_ms().unwrap()));
    }
}

//! Rates as people write them: `2/s`, `100/m burst 20`, `5/10s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::{format_duration, parse_duration};
use crate::{Error, Result};

/// The fastest rate: one start in a microsecond.
const FASTEST: f64 = 1_000_000.0;
/// The longest time between two starts.
const SLOWEST: Duration = Duration::from_secs(31 * 24 * 3_600);
/// The largest burst.
const BURST_MAX: u32 = 1_000_000;

/// How often something may start: so many in a time, and so many of them at once.
///
/// In any window of length `w` there are at most `burst + rate × w` starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
    burst: u32,
}

impl Rate {
    /// So many starts in so long a time, one after the other.
    ///
    /// # Errors
    /// `InvalidArgument` for 0, for more than 1,000,000 in a second and for less than one in 31 days.
    pub fn new(count: u32, per: Duration) -> Result<Self> {
        let rate = Self { count, per, burst: 1 };
        if count == 0 || per.is_zero() {
            return Err(Error::invalid("a rate must be above 0; to stop everything, pause the limit"));
        }
        if rate.per_second() > FASTEST {
            return Err(Error::invalid("a rate can be at most 1000000/s"));
        }
        if per / count > SLOWEST {
            return Err(Error::invalid("a rate must be at least one in 31 days"));
        }
        Ok(rate)
    }

    /// The same with so many starts at once after a rest.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is from 1 to 1,000,000.
    pub fn with_burst(self, burst: u32) -> Result<Self> {
        if (1..=BURST_MAX).contains(&burst) {
            return Ok(Self { burst, ..self });
        }
        Err(Error::invalid("a burst must be from 1 to 1000000"))
    }

    /// How many may start at once after a rest.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Starts in a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }

    /// Starts in a second as words, in the unit that suits them: `7.3/s`, `3.0/m`, `1.5/h`.
    pub fn words(per_second: f64) -> String {
        match per_second {
            rate if rate >= 1.0 => format!("{rate:.1}/s"),
            rate if rate * 60.0 >= 1.0 => format!("{:.1}/m", rate * 60.0),
            rate => format!("{:.1}/h", rate * 3_600.0),
        }
    }

    /// Nanoseconds between two starts.
    pub fn interval(self) -> i64 {
        let nanos = self.per.as_nanos() / u128::from(self.count);
        i64::try_from(nanos).unwrap_or(i64::MAX).max(1)
    }
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("{text:?} is not a rate such as 2/s, 100/m burst 20 or 5/10s"));
        let mut words = text.split_whitespace();
        let (count, per) = words.next().and_then(|rate| rate.split_once('/')).ok_or_else(wrong)?;
        let count = count.parse().map_err(|_| wrong())?;
        let per = match per.starts_with(|c: char| c.is_ascii_digit()) {
            true => parse_duration(per),
            false => parse_duration(&format!("1{per}")),
        };
        let rate = Self::new(count, per.map_err(|_| wrong())?)?;
        match (words.next(), words.next(), words.next()) {
            (None, ..) => Ok(rate),
            (Some("burst"), Some(burst), None) => rate.with_burst(burst.parse().map_err(|_| wrong())?),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = format_duration(self.per);
        let unit = per.strip_prefix('1').filter(|unit| unit.bytes().all(|byte| byte.is_ascii_alphabetic()));
        write!(f, "{}/{}", self.count, unit.unwrap_or(&per))?;
        if self.burst > 1 {
            write!(f, " burst {}", self.burst)?;
        }
        Ok(())
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["2/s", "100/m burst 20", "5/10s", "1/d", "1000000/s", "3/250ms", "7/1h30m"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("2/1s".parse::<Rate>().unwrap().to_string(), "2/s");
        assert_eq!("2/s".parse::<Rate>().unwrap().interval(), 500_000_000);
    }

    #[test]
    fn refuses_the_rest() {
        let bad = ["", "2", "2/", "/s", "0/s", "-1/s", "1.5/s", "2/x", "2/0s", "2/s burst", "2/s burst 0", "2/s 20"];
        for text in bad.into_iter().chain(["1000001/s", "1/32d", "2/s burst 20 30", "99999999999/s"]) {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
        assert!("0/s".parse::<Rate>().unwrap_err().message().contains("pause"));
    }
}

//! Durations as people write them: `250ms`, `30s`, `5m`, `1h30m`, `7d`.

use std::time::Duration;

use crate::{Error, Result};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration such as `250ms`, `30s`, `5m`, `1h30m` or `7d`.
///
/// # Errors
/// `InvalidArgument` for anything else: no sign, no fraction, no bare number but `0`.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let wrong = || Error::invalid(format!("{text:?} is not a duration such as 250ms, 30s, 5m, 1h30m or 7d"));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        millis = number.checked_mul(*factor).and_then(|part| millis.checked_add(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(millis)) }
}

/// Writes a duration as people read it, to two units: `1h30m`, `28s`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis >= 10_000 {
        millis -= millis % 1_000;
    }
    let mut parts = Vec::new();
    for (unit, factor) in UNITS.iter().rev() {
        if millis >= *factor && parts.len() < 2 {
            parts.push(format!("{}{unit}", millis / factor));
            millis %= factor;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

/// Something that says how long: a [`Duration`], or text for [`parse_duration`].
pub trait IntoDuration {
    /// The duration.
    ///
    /// # Errors
    /// `InvalidArgument` for text that is none.
    fn into_duration(self) -> Result<Duration>;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Result<Duration> {
        Ok(self)
    }
}

impl IntoDuration for &str {
    fn into_duration(self) -> Result<Duration> {
        parse_duration(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis));
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::from_millis(61_234)), "1m1s");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "-5s", "5", "1.5s", "s", "5x", "5 s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}

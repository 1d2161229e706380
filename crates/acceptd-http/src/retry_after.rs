//! When a target wants to be asked again: `Retry-After`.

use std::time::{Duration, UNIX_EPOCH};

use acceptd::Timestamp;
use http::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest wait that a target can ask for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The instant until which an answer asks to be left alone: now when it lies in the past, at most a day ahead, None
/// when the answer does not say or what it says can't be read.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    // A date is one of the target's clock: where it tells the time, that is what counts.
    let its_now = headers.get(DATE).and_then(text).and_then(|value| date(&value)).unwrap_or(now);
    let said = headers.get_all(RETRY_AFTER).iter().filter_map(text);
    said.filter_map(|value| instant(value.trim(), its_now, now)).next().map(within_a_day(now))
}

/// Keeps an instant from now to a day ahead.
pub(crate) fn within_a_day(now: Timestamp) -> impl Fn(Timestamp) -> Timestamp {
    move |until| until.clamp(now, now + LONGEST)
}

/// A number of seconds, or an HTTP date in one of its three forms.
fn instant(value: &str, its_now: Timestamp, now: Timestamp) -> Option<Timestamp> {
    match seconds(value) {
        Some(seconds) => Some(now + seconds),
        None => date(value).map(|date| now + date.since(its_now)),
    }
}

fn date(value: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(0) + since)
}

fn seconds(value: &str) -> Option<Duration> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_866_800_000);

    fn wait(name: &'static str, value: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        retry_after(&headers, NOW).map(|until| until.since(NOW).as_secs())
    }

    #[test]
    fn seconds_and_all_three_forms_of_a_date() {
        assert_eq!(wait("retry-after", "120"), Some(120));
        assert_eq!(wait("retry-after", " 0 "), Some(0));
        assert_eq!(wait("retry-after", "Sun, 23 Nov 2025 03:01:00 GMT"), Some(60));
        assert_eq!(wait("retry-after", "Sunday, 23-Nov-25 03:01:00 GMT"), Some(60));
        assert_eq!(wait("retry-after", "Sun Nov 23 03:01:00 2025"), Some(60));
    }

    #[test]
    fn a_date_is_one_of_the_targets_clock() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "Sun, 23 Nov 2025 04:00:30 GMT".parse().unwrap());
        headers.insert("date", "Sun, 23 Nov 2025 04:00:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers, NOW), Some(NOW + Duration::from_secs(30)));
    }

    #[test]
    fn the_past_is_now_and_the_far_future_a_day() {
        assert_eq!(wait("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(wait("retry-after", "Sat, 23 Nov 2030 03:01:00 GMT"), Some(86_400));
        assert_eq!(wait("retry-after", "86401"), Some(86_400));
        assert_eq!(wait("retry-after", "99999999999999999999999999"), Some(86_400));
    }

    #[test]
    fn garbage_says_nothing() {
        for garbage in ["", "soon", "-1", "1.5", "+3", "0x10", "Sun, 99 Nov 2025 03:01:00 GMT", "5, 6"] {
            assert_eq!(wait("retry-after", garbage), None, "{garbage:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), NOW), None);
    }
}

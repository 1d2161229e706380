//! When a target wants to be asked again: `Retry-After`, or else `RateLimit`.

use std::time::{Duration, UNIX_EPOCH};

use acceptd::Timestamp;
use http::header::{HeaderMap, HeaderName, RETRY_AFTER};

/// The longest wait that a target can ask for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The instant until which an answer asks to be left alone: now when it lies in the past, at most a day ahead, None
/// when the answer does not say or what it says can't be read. `Retry-After` goes before `RateLimit`.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let said = headers.get_all(RETRY_AFTER).iter().filter_map(text).find_map(|value| instant(&value, now));
    let until = said.or_else(|| headers.get_all(RATE_LIMIT).iter().filter_map(text).find_map(|v| reset(&v, now)))?;
    Some(until.clamp(now, now + LONGEST))
}

/// A number of seconds, or an HTTP date in one of its three forms.
fn instant(value: &str, now: Timestamp) -> Option<Timestamp> {
    let value = value.trim();
    if let Some(seconds) = seconds(value) {
        return Some(now + seconds);
    }
    let since = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(0) + since)
}

fn seconds(value: &str) -> Option<Duration> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST))
}

/// The latest `t` of the policies in `RateLimit: "name";r=0;t=30` that have nothing left.
fn reset(value: &str, now: Timestamp) -> Option<Timestamp> {
    let exhausted = split(value, ',').filter_map(|policy| {
        let parameter = |name: &str| {
            let mut parameters = split(policy, ';').skip(1);
            parameters.find_map(|one| seconds(one.trim().strip_prefix(name)?.strip_prefix('=')?))
        };
        parameter("t").filter(|_| parameter("r") == Some(Duration::ZERO))
    });
    exhausted.max().map(|wait| now + wait)
}

/// Splits at a separator that stands outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
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

    #[test]
    fn rate_limit_fields_count_where_nothing_is_left() {
        assert_eq!(wait("ratelimit", r#""burst";r=0;t=30"#), Some(30));
        assert_eq!(wait("ratelimit", r#""a,b;t=9";r=0;t=30, "daily";r=0; t=60, "x";r=5;t=99"#), Some(60));
        for silent in [r#""burst";r=5;t=30"#, r#""burst";r=0"#, r#""burst";t=30"#, "garbage", "\""] {
            assert_eq!(wait("ratelimit", silent), None, "{silent}");
        }
        let mut both = HeaderMap::new();
        both.insert("ratelimit", r#""burst";r=0;t=30"#.parse().unwrap());
        both.insert("retry-after", "7".parse().unwrap());
        assert_eq!(retry_after(&both, NOW), Some(NOW + Duration::from_secs(7)));
    }
}

//! What a target's answer says of its rate limits: the `RateLimit` fields of the IETF draft, and the older headers that
//! most services still send.
//!
//! `RateLimit: "burst";r=0;t=30` (draft-ietf-httpapi-ratelimit-headers) says that nothing is left for 30 s. Where `t`
//! is missing, the window `w` of the policy of the same name in `RateLimit-Policy` stands in for it. Of the older ones
//! `X-RateLimit-Remaining` and `X-RateLimit-Reset` are read, also as `X-Rate-Limit-*` and `RateLimit-*`. A reset is a
//! number of seconds, an instant as seconds or milliseconds since 1970, or a duration such as `6m0s`.

use std::time::Duration;

use acceptd::Timestamp;
use acceptd::duration::parse_duration;
use http::header::HeaderMap;

const RATE_LIMIT: &str = "ratelimit";
const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// How the older headers begin, the commonest first.
const OLDER: [&str; 3] = ["x-ratelimit-", "x-rate-limit-", "ratelimit-"];
/// A larger number of seconds is an instant: in 2001 it was a thousand million.
const INSTANT_FROM: f64 = 1e9;
/// A larger one is in milliseconds.
const MILLIS_FROM: f64 = 1e12;

/// Until when nothing is left, when the answer says so.
pub(crate) fn spent_until(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let policies: Vec<_> = texts(headers, RATE_LIMIT_POLICY).flat_map(|text| split(text, ',')).collect();
    let items = texts(headers, RATE_LIMIT).flat_map(|text| split(text, ','));
    let waits = items.filter_map(|item| spent(item, &policies));
    match waits.max() {
        Some(wait) => Some(now + wait),
        None => OLDER.iter().find_map(|prefix| older(headers, prefix, now)?.filter_spent()),
    }
}

/// Until when an answer that refuses for its rate says to wait, whatever it says is left.
pub(crate) fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    spent_until(headers, now).or_else(|| OLDER.iter().find_map(|prefix| Some(older(headers, prefix, now)?.reset)))
}

fn texts<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// How long an item such as `"burst";r=0;t=30` waits, when it has nothing left.
fn spent(item: &str, policies: &[&str]) -> Option<Duration> {
    if parameter(item, "r") != Some(0) {
        return None;
    }
    let seconds = parameter(item, "t").or_else(|| {
        let name = split(item, ';').next()?.trim();
        let policy = policies.iter().find(|policy| split(policy, ';').next().map(str::trim) == Some(name))?;
        parameter(policy, "w")
    });
    seconds.map(Duration::from_secs)
}

/// The whole number of a parameter of a structured field's item.
fn parameter(item: &str, name: &str) -> Option<u64> {
    split(item, ';').skip(1).find_map(|one| {
        let digits = one.trim().strip_prefix(name)?.strip_prefix('=')?;
        // A number too large to read is as good as the largest.
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX)))
    })
}

/// What the older headers say.
struct Older {
    remaining: Option<f64>,
    reset: Timestamp,
}

impl Older {
    fn filter_spent(self) -> Option<Timestamp> {
        self.remaining.is_some_and(|remaining| remaining < 1.0).then_some(self.reset)
    }
}

fn older(headers: &HeaderMap, prefix: &str, now: Timestamp) -> Option<Older> {
    let text = |name: &str| headers.get(format!("{prefix}{name}"))?.to_str().ok().map(str::trim);
    let remaining = text("remaining").and_then(|text| text.parse().ok());
    Some(Older { remaining, reset: instant(text("reset")?, now)? })
}

fn instant(text: &str, now: Timestamp) -> Option<Timestamp> {
    let since_1970 = |seconds: f64| Timestamp::from_micros(0) + Duration::from_secs_f64(seconds);
    match text.parse::<f64>() {
        Ok(number) if !(0.0..1e15).contains(&number) => None,
        Ok(number) if number >= MILLIS_FROM => Some(since_1970(number / 1_000.0)),
        Ok(number) if number >= INSTANT_FROM => Some(since_1970(number)),
        Ok(number) => Some(now + Duration::from_secs_f64(number)),
        Err(_) => parse_duration(text).ok().map(|wait| now + wait),
    }
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

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn wait(fields: &[(&'static str, &str)]) -> Option<u64> {
        spent_until(&headers(fields), NOW).map(|until| until.since(NOW).as_secs())
    }

    #[test]
    fn rate_limit_fields_count_where_nothing_is_left() {
        assert_eq!(wait(&[("ratelimit", r#""burst";r=0;t=30"#)]), Some(30));
        assert_eq!(wait(&[("ratelimit", r#""a,b;t=9";r=0;t=30, "daily";r=0; t=60, "x";r=5;t=99"#)]), Some(60));
        for silent in [r#""burst";r=5;t=30"#, r#""burst";r=0"#, r#""burst";t=30"#, "garbage", "\""] {
            assert_eq!(wait(&[("ratelimit", silent)]), None, "{silent}");
        }
    }

    #[test]
    fn a_policys_window_stands_in_for_a_reset() {
        let policy = ("ratelimit-policy", r#""burst";q=100;w=60, "daily";q=1000;w=86400"#);
        assert_eq!(wait(&[policy, ("ratelimit", r#""burst";r=0"#)]), Some(60));
        assert_eq!(wait(&[policy, ("ratelimit", r#""burst";r=0;t=3"#)]), Some(3));
        assert_eq!(wait(&[policy, ("ratelimit", r#""other";r=0"#)]), None);
    }

    #[test]
    fn older_headers_say_seconds_instants_or_durations() {
        for (remaining, reset, expected) in [
            ("0", "30", Some(30)),
            ("0", "1763866860", Some(60)),
            ("0", "1763866860000", Some(60)),
            ("0", "6m0s", Some(360)),
            ("0", "1.5", Some(1)),
            ("3", "30", None),
            ("0", "soon", None),
            ("0", "-3", None),
        ] {
            let fields = [("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)];
            assert_eq!(wait(&fields), expected, "{remaining} {reset}");
        }
        assert_eq!(wait(&[("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "7")]), Some(7));
        assert_eq!(wait(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "8")]), Some(8));
    }

    #[test]
    fn a_refusal_needs_no_remaining() {
        let at = |fields: &[(&'static str, &str)]| reset(&headers(fields), NOW).map(|at| at.since(NOW).as_secs());
        assert_eq!(at(&[("x-ratelimit-reset", "9")]), Some(9));
        assert_eq!(at(&[("x-ratelimit-limit", "9")]), None);
    }
}

//! What an HTTP answer means for the attempt: the table of the contract.
//!
//! | answer | end |
//! |---|---|
//! | 2xx | done; the body is the result, or an outcome when its media type says so |
//! | 202 | taken over: the target will call |
//! | 429, or 503 that says until when | throttled; no attempt counted |
//! | 408, other 5xx, no answer | another attempt |
//! | everything else | dead letter |

use std::error::Error as StdError;
use std::time::Duration;

use acceptd::duration::{format_duration, parse_duration};
use acceptd::target::Reply;
use acceptd::{Data, Done, Fail, Failure, Next, Outcome, Throttle, Timestamp};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::Response;
use serde::Deserialize;

use super::client::CONNECT_TIMEOUT;
use crate::outcome::{self, is_outcome};
use crate::rate_limit;
use crate::retry_after::{retry_after, within_a_day};

const LEASE: HeaderName = HeaderName::from_static("acceptd-lease");

/// How long a 429 pauses when it does not say until when.
const THROTTLE: Duration = Duration::from_secs(5);
/// The shortest pause: a target that says 429 and "at once" shall not be asked in a tight loop.
const THROTTLE_MIN: Duration = Duration::from_millis(100);
/// The longest lease that a target can choose.
const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How much of an error's body is looked at, and for how long: its status says enough.
const EXCERPT_BYTES: usize = 8 * 1024;
const EXCERPT_WAIT: Duration = Duration::from_secs(1);
/// How many characters of it are kept.
const EXCERPT_CHARS: usize = 300;

/// What an answer is read by.
#[derive(Debug)]
pub(crate) struct Terms {
    /// How long a target that answered 202 may be silent.
    pub(crate) lease: Duration,
    /// The largest result.
    pub(crate) body_max: usize,
}

/// What an answer means.
pub(crate) async fn reply(mut response: Response, terms: &Terms, now: Timestamp) -> Reply {
    let status = response.status();
    if status == StatusCode::ACCEPTED {
        let lease = chosen_lease(response.headers()).unwrap_or(terms.lease);
        // Read to its end, the connection can be used again.
        excerpt(&mut response).await;
        return Reply::TakenOver(lease);
    }
    Reply::Ended(if status.is_success() {
        let spent = rate_limit::spent_until(response.headers(), now).filter(|until| *until > now);
        let done = finished(response, terms.body_max).await;
        done.map(|done| Done { pause: spent.map(within_a_day(now)).map(spent_throttle), ..done })
    } else {
        failed(response, now).await
    })
}

/// What it means that no answer came.
pub(crate) fn unanswered(error: &reqwest::Error) -> Fail {
    if error.is_connect() && error.is_timeout() {
        let limit = format_duration(CONNECT_TIMEOUT);
        return Fail::retry("connect", format!("no connection to the target within {limit}"));
    }
    let (code, what) = if error.is_connect() {
        ("connect", "no connection to the target")
    } else {
        ("http-broken", "the connection broke before the target answered")
    };
    let fail = Fail::retry(code, format!("{what}: {}", deepest(error)));
    // A connection that was made may have carried the request.
    if error.is_connect() { fail } else { fail.unfinished() }
}

/// The innermost cause: what the outer ones say is where it happened, in the client's words.
pub(crate) fn deepest(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn chosen_lease(headers: &HeaderMap) -> Option<Duration> {
    let lease = parse_duration(headers.get(LEASE)?.to_str().ok()?.trim()).ok()?;
    (!lease.is_zero()).then(|| lease.min(LEASE_MAX))
}

async fn finished(mut response: Response, max: usize) -> Outcome {
    let content_type = response.headers_mut().remove(CONTENT_TYPE);
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let body = body(&mut response, max).await?;
    if is_outcome(content_type) {
        return outcome::parse(&body).map_err(|error| Fail::terminal("bad-outcome", error));
    }
    if body.is_empty() {
        return Done::new();
    }
    let content_type = match content_type {
        "" if acceptd::check_json(&body).is_ok() => acceptd::JSON,
        "" => "application/octet-stream",
        said => said,
    };
    Ok(Done { result: Some(Data::new(content_type, body)), ..Done::default() })
}

async fn body(response: &mut Response, max: usize) -> Result<Bytes, Fail> {
    let too_large = || {
        let message = format!("the target's answer is larger than {max} bytes; the work was done, its result is lost");
        Fail::terminal("result-too-large", message)
    };
    if response.content_length().is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let mut body = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken_body(&error))? {
        if body.len() + more.len() + chunk.len() > max {
            return Err(too_large());
        }
        // Most answers come in one piece, which needs no copy.
        if body.is_empty() {
            body = chunk;
        } else {
            more.extend_from_slice(&chunk);
        }
    }
    if more.is_empty() {
        return Ok(body);
    }
    let mut whole = BytesMut::with_capacity(body.len() + more.len());
    whole.extend_from_slice(&body);
    whole.extend_from_slice(&more);
    Ok(whole.freeze())
}

fn broken_body(error: &reqwest::Error) -> Fail {
    Fail::retry("http-body", format!("the target's answer broke off: {}", deepest(error))).unfinished()
}

async fn failed(mut response: Response, now: Timestamp) -> Outcome {
    let status = response.status();
    let headers = response.headers();
    let until = retry_after(headers, now);
    let spent = || rate_limit::spent_until(headers, now).map(within_a_day(now));
    let reset = || rate_limit::reset(headers, now).map(within_a_day(now));
    let until = if status == StatusCode::TOO_MANY_REQUESTS { until.or_else(reset) } else { until.or_else(spent) };
    let next = match (status.as_u16(), until) {
        (429, until) => throttled(until.unwrap_or(now + THROTTLE), now),
        (503, Some(until)) => throttled(until, now),
        (408 | 500..=599, Some(until)) if until > now => Next::RetryAfter(until.since(now)),
        (408 | 500..=599, _) => Next::Retry,
        _ => Next::GiveUp,
    };
    let said = said(&mut response).await;
    let mut failure = Failure::new(format!("http-{}", status.as_u16()), sentence(status, &said));
    // A refusal is about the request: the operation's result says it on.
    failure.status = (status.is_client_error() && next == Next::GiveUp).then(|| status.as_u16());
    Err(Fail { failure, next, unfinished: false })
}

/// The target did the work and says that it will do no more for a while: asking would only be refused.
fn spent_throttle(until: Timestamp) -> Throttle {
    Throttle { until, reason: "the target says that its rate limit is spent".to_owned() }
}

fn throttled(until: Timestamp, now: Timestamp) -> Next {
    Next::Throttled { limit: None, until: until.max(now + THROTTLE_MIN) }
}

fn sentence(status: StatusCode, said: &str) -> String {
    let mut sentence = format!("the target answered {}", status.as_u16());
    if let Some(reason) = status.canonical_reason() {
        sentence = sentence + " " + reason;
    }
    if status.is_redirection() {
        sentence += ", and redirects are not followed";
    }
    if said.is_empty() { sentence } else { sentence + ": " + said }
}

/// What the body of an error says, when it is text.
async fn said(response: &mut Response) -> String {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let bytes = excerpt(response).await;
    let text = if is_problem(&content_type) {
        problem(&bytes)
    } else if acceptd::is_json(&content_type) || content_type.trim_start().to_ascii_lowercase().starts_with("text/") {
        None
    } else {
        return String::new();
    };
    shorten(&text.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned()))
}

#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

fn problem(bytes: &[u8]) -> Option<String> {
    let problem: Problem = serde_json::from_slice(bytes).ok()?;
    match (problem.title, problem.detail) {
        (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
        (title, detail) => title.or(detail),
    }
}

/// The beginning of a text in one line.
fn shorten(text: &str) -> String {
    let clean = |c: char| if c.is_control() || c == char::REPLACEMENT_CHARACTER { ' ' } else { c };
    let line = text.chars().map(clean).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The beginning of a body, as far as it comes soon. Small bodies are read to their end.
async fn excerpt(response: &mut Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk[..chunk.len().min(EXCERPT_BYTES - bytes.len())]);
            if bytes.len() == EXCERPT_BYTES {
                break;
            }
        }
    };
    // What came until then is enough.
    let _ = tokio::time::timeout(EXCERPT_WAIT, reading).await;
    bytes
}

fn is_problem(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/problem+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_866_800_000);
    const TERMS: Terms = Terms { lease: Duration::from_secs(30), body_max: 16 };

    async fn ask(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        reply(response.body(body.to_owned()).unwrap().into(), &TERMS, NOW).await
    }

    async fn fail(status: u16, headers: &[(&str, &str)], body: &str) -> Fail {
        match ask(status, headers, body).await {
            Reply::Ended(Err(fail)) => fail,
            other => panic!("{status}: {other:?}"),
        }
    }

    async fn done(status: u16, headers: &[(&str, &str)], body: &str) -> Done {
        match ask(status, headers, body).await {
            Reply::Ended(Ok(done)) => done,
            other => panic!("{status}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn statuses_and_what_follows() {
        for status in [408, 500, 502, 503, 504, 599] {
            assert_eq!(fail(status, &[], "").await.next, Next::Retry, "{status}");
            assert_eq!(fail(status, &[], "").await.failure.status, None);
        }
        for status in [300, 301, 304, 307, 400, 401, 404, 409, 410, 415, 422, 425, 451, 600] {
            let fail = fail(status, &[("retry-after", "1")], "").await;
            assert_eq!(fail.next, Next::GiveUp, "{status}");
            assert_eq!(fail.failure.status, (400..500).contains(&status).then_some(status));
            assert_eq!(fail.failure.code, format!("http-{status}"));
        }
        let until = |seconds| Next::Throttled { limit: None, until: NOW + Duration::from_secs(seconds) };
        assert_eq!(fail(429, &[("retry-after", "7")], "").await.next, until(7));
        assert_eq!(fail(503, &[("retry-after", "7")], "").await.next, until(7));
        assert_eq!(fail(429, &[], "").await.next, until(5));
        assert_eq!(fail(429, &[("retry-after", "soon")], "").await.next, until(5));
        assert_eq!(fail(503, &[("retry-after", "soon")], "").await.next, Next::Retry);
        assert_eq!(fail(500, &[("retry-after", "7")], "").await.next, Next::RetryAfter(Duration::from_secs(7)));
        assert_eq!(fail(502, &[("retry-after", "0")], "").await.next, Next::Retry, "not in a tight loop");
        let soon = Next::Throttled { limit: None, until: NOW + THROTTLE_MIN };
        assert_eq!(fail(429, &[("retry-after", "0")], "").await.next, soon, "not in a tight loop");
    }

    #[tokio::test]
    async fn results_keep_their_media_type() {
        assert_eq!(done(204, &[], "").await, Done::default());
        assert_eq!(done(200, &[("content-type", "text/csv")], "a,b").await.result, Some(Data::new("text/csv", "a,b")));
        assert_eq!(done(201, &[], "{\"a\":1}").await.result, Some(Data::new("application/json", "{\"a\":1}")));
        assert_eq!(done(299, &[], "{a}").await.result, Some(Data::new("application/octet-stream", "{a}")));
        let Reply::Ended(Err(fail)) = ask(200, &[], "12345678901234567").await else { panic!("too large a result") };
        assert_eq!((fail.failure.code.as_str(), fail.next), ("result-too-large", Next::GiveUp));
    }

    #[tokio::test]
    async fn the_lease_of_a_202() {
        for (header, seconds) in [("60s", 60), ("never", 30), ("0", 30), ("400d", 86_400), ("", 30)] {
            let Reply::TakenOver(lease) = ask(202, &[("acceptd-lease", header)], "ignored").await else {
                panic!("a 202 is no end")
            };
            assert_eq!(lease.as_secs(), seconds, "{header:?}");
        }
    }

    #[tokio::test]
    async fn failures_say_what_the_target_said() {
        let json = ("content-type", "application/problem+json; charset=utf-8");
        let message = fail(422, &[json], r#"{"title":"No","detail":"ami is unknown","x":1}"#).await.failure.message;
        assert_eq!(message, "the target answered 422 Unprocessable Entity: No: ami is unknown");
        let message = fail(500, &[("content-type", "Text/Plain")], &format!("a\r\n\tb {}", "é".repeat(400))).await;
        let message = message.failure.message;
        assert!(message.starts_with("the target answered 500 Internal Server Error: a b é"), "{message}");
        assert!(message.ends_with("é…") && message.chars().count() == 47 + 300 + 1, "{message}");
        let message = fail(302, &[("location", "/x"), ("content-type", "image/png")], "png").await.failure.message;
        assert_eq!(message, "the target answered 302 Found, and redirects are not followed");
    }

    #[test]
    fn excerpts_of_broken_problems_are_their_text() {
        assert_eq!(problem(b"{}"), None);
        assert_eq!(problem(b"{\"title\":1}"), None);
        assert_eq!(problem(b"{\"detail\":\"d\"}").as_deref(), Some("d"));
    }
}

//! `/v1/deliveries/{id}`: what a target that answered 202 calls, and why a delivery is where it is.

use std::time::Duration;

use acceptd::delivery::State;
use acceptd::duration::parse_duration;
use acceptd::engine::{Callback, WaitingOn};
use acceptd::store::DeliveryView;
use acceptd::{Data, Done, Engine, Fail, Failure, Next, Outcome};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use super::documents::{DeliveryDocument, EventDocument};
use crate::call::{Answer, Call, header, json, read_object};
use crate::outcome;
use crate::problem::{FENCE_REQUIRED, INVALID_HEADER, INVALID_REQUEST, MALFORMED_JSON, Problem};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WhyDocument<'a> {
    #[serde(flatten)]
    delivery: DeliveryDocument<'a>,
    owner: Option<&'a str>,
    /// One sentence.
    why: String,
    waiting_on: Option<WaitingOn>,
    event: EventDocument<'a>,
}

/// `GET /v1/deliveries/{id}`.
pub(crate) async fn get(call: Call) -> Answer {
    let engine = &call.app.engine;
    let view = engine.store().delivery(call.id("delivery")?).await?;
    let waiting_on = match view.delivery.state {
        State::Waiting => Some(engine.explain_delivery(&view.delivery, Some(view.ahead)).await?),
        _ => None,
    };
    let why = match &waiting_on {
        Some(waiting) => waiting.message.clone(),
        None => why(engine, &view).await?,
    };
    let document = WhyDocument {
        delivery: DeliveryDocument::of(&view.delivery),
        owner: view.owner.as_deref(),
        why,
        waiting_on,
        event: EventDocument::of(&view.event),
    };
    json(StatusCode::OK, &document)
}

async fn why(engine: &Engine, view: &DeliveryView) -> Result<String, Problem> {
    let delivery = &view.delivery;
    let (name, since) = (&delivery.consumer, delivery.since);
    Ok(match delivery.state {
        State::Waiting => format!("waits for {name}"),
        State::Running => {
            let (number, max) = (delivery.attempts, delivery.max_attempts);
            match delivery.lease {
                Some(lease) => format!("runs at {name} since {since}, attempt {number} of {max}; must call by {lease}"),
                None => format!("runs at {name} since {since}, attempt {number} of {max}"),
            }
        }
        State::Done => format!("was done by {name} at {since}"),
        State::Canceled => format!("was canceled at {since}"),
        State::Dead => {
            let chain = engine.store().chain(delivery.operation).await?;
            let last = chain.attempts.iter().rev().find(|attempt| attempt.delivery == delivery.id);
            match last.and_then(|attempt| attempt.failure.as_ref()) {
                Some(failure) => format!("gave up at {since} after attempt {}: {}", delivery.attempts, failure.message),
                None => format!("gave up at {since}"),
            }
        }
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Span {
    Seconds(u64),
    Text(String),
}

impl Span {
    fn read(self, pointer: &str) -> Result<Duration, Problem> {
        match self {
            Self::Seconds(seconds) => Ok(Duration::from_secs(seconds)),
            Self::Text(text) => {
                parse_duration(&text).map_err(|error| INVALID_REQUEST.because(error.message()).at(pointer))
            }
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct HeartbeatOptions {
    lease: Option<Span>,
}

/// `POST /v1/deliveries/{id}/heartbeat`; the body may say for how long: `{"lease":"2m"}`.
pub(crate) async fn heartbeat(call: Call) -> Answer {
    let fence = fence(&call)?;
    let HeartbeatOptions { lease } = call.take_options().await?;
    let lease = lease.map(|span| span.read("#/lease")).transpose()?;
    apply(&call, fence, Callback::Heartbeat(lease)).await
}

/// `POST /v1/deliveries/{id}/progress` with `{"done":1,"total":3,"message":"…"}`.
pub(crate) async fn progress(call: Call) -> Answer {
    let fence = fence(&call)?;
    let body = call.take_body(|_| call.app.settings.body_max).await?;
    let report: outcome::Progress = read_object(&body)?;
    apply(&call, fence, Callback::Progress(report.into())).await
}

/// `POST /v1/deliveries/{id}/complete`: the body is the result, or the outcome document.
pub(crate) async fn complete(call: Call) -> Answer {
    let fence = fence(&call)?;
    let body = call.take_body(|_| call.app.settings.body_max).await?;
    let content_type = header(&call.parts.headers, CONTENT_TYPE.as_str())?;
    let done = read_done(content_type, body)?;
    apply(&call, fence, Callback::End(Ok(done))).await
}

fn read_done(content_type: Option<&str>, body: Bytes) -> Result<Done, Problem> {
    let content_type = content_type.unwrap_or("application/octet-stream");
    if outcome::is_outcome(content_type) {
        acceptd::check_json(&body).map_err(|error| MALFORMED_JSON.because(error.message()))?;
        return Ok(outcome::parse(&body)?);
    }
    if body.is_empty() {
        return Ok(Done::default());
    }
    if acceptd::is_json(content_type) {
        acceptd::check_json(&body).map_err(|error| MALFORMED_JSON.because(error.message()))?;
    }
    Ok(Done { result: Some(Data::new(content_type, body)), ..Done::default() })
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct FailOptions {
    code: Option<String>,
    message: Option<String>,
    status: Option<u16>,
    retry: Option<bool>,
    retry_after: Option<Span>,
}

/// `POST /v1/deliveries/{id}/fail` with `{"code":…,"message":…,"retry":true,"retryAfter":"30s"}`.
pub(crate) async fn fail(call: Call) -> Answer {
    let fence = fence(&call)?;
    let options: FailOptions = call.take_options().await?;
    apply(&call, fence, Callback::End(read_fail(options)?)).await
}

fn read_fail(options: FailOptions) -> Result<Outcome, Problem> {
    let FailOptions { code, message, status, retry, retry_after } = options;
    if status.is_some_and(|status| !(400..600).contains(&status)) {
        return Err(INVALID_REQUEST.because("status must be from 400 to 599").at("#/status"));
    }
    let next = match (retry, retry_after) {
        (Some(false), Some(_)) => {
            return Err(INVALID_REQUEST.because("retryAfter makes no sense without retry").at("#/retryAfter"));
        }
        (Some(false), None) => Next::GiveUp,
        (_, Some(after)) => Next::RetryAfter(after.read("#/retryAfter")?),
        (_, None) => Next::Retry,
    };
    let code = code.unwrap_or_else(|| "failed".to_owned());
    let message = message.unwrap_or_else(|| "the target failed without saying why".to_owned());
    let failure = Failure { status, ..Failure::new(code, message) };
    Ok(Err(Fail { failure, next, unfinished: false }))
}

fn fence(call: &Call) -> Result<u64, Problem> {
    let missing = || FENCE_REQUIRED.because("there is no header Acceptd-Fence");
    let text = call.header("acceptd-fence")?.ok_or_else(missing)?;
    text.trim()
        .parse()
        .map_err(|_| INVALID_HEADER.because("Acceptd-Fence must be the number that came with the delivery"))
}

#[derive(Serialize)]
struct Applied {
    /// False when the attempt had ended before; nothing was changed.
    applied: bool,
}

async fn apply(call: &Call, fence: u64, callback: Callback) -> Answer {
    let applied = call.app.engine.callback(call.id("delivery")?, fence, callback).await?;
    json(StatusCode::OK, &Applied { applied })
}

#[cfg(test)]
mod tests {
    use super::*;
    use acceptd::JSON;

    fn fail_of(text: &str) -> Result<Fail, Problem> {
        read_fail(read_object(text.as_bytes())?).map(|outcome| outcome.unwrap_err())
    }

    #[test]
    fn fail_says_what_follows() {
        assert_eq!(fail_of("{}").unwrap().next, Next::Retry);
        assert_eq!(fail_of(r#"{"retry":false,"code":"x"}"#).unwrap().next, Next::GiveUp);
        let after = Next::RetryAfter(Duration::from_secs(30));
        assert_eq!(fail_of(r#"{"retryAfter":"30s"}"#).unwrap().next, after);
        assert_eq!(fail_of(r#"{"retryAfter":30,"retry":true}"#).unwrap().next, after);
        assert_eq!(fail_of(r#"{"status":404,"retry":false}"#).unwrap().failure.status, Some(404));
        for wrong in [r#"{"retry":false,"retryAfter":1}"#, r#"{"retryAfter":"soon"}"#, r#"{"status":200}"#, "[]"] {
            assert!(fail_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn complete_takes_results_and_outcomes() {
        let plain = read_done(Some("text/plain"), Bytes::from_static(b"hi")).unwrap();
        assert_eq!(plain.result.unwrap(), Data::new("text/plain", "hi"));
        let outcome = read_done(Some(outcome::OUTCOME), Bytes::from_static(b"{\"result\":1}")).unwrap();
        assert_eq!(outcome.result.unwrap(), Data::new(JSON, "1"));
        assert_eq!(read_done(None, Bytes::new()).unwrap(), Done::default());
        assert!(read_done(Some(JSON), Bytes::from_static(b"{")).is_err());
    }
}

//! The front door: `POST /v1/events/{type}` for plain data or items of it, `POST /v1/events` for CloudEvents.
//!
//! The way of a request: headers, body, drafts, [`acceptd::Engine::accept`], and 202 once it is stored. Everything
//! that can be refused is refused before anything is stored.

use acceptd::engine::Monitor;
use acceptd::store::{Accepted, Replay};
use acceptd::{Data, Draft, JSON, Submission};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LOCATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};

use crate::accept_headers::AcceptHeaders;
use crate::batch::{self, Shape};
use crate::body;
use crate::call::{Answer, Call};
use crate::cloudevents::{self, EventJson};
use crate::idempotency;
use crate::monitor::{Shown, retry_after};
use crate::prefer::{PREFERENCE_APPLIED, Preferences};
use crate::problem::{INVALID_EVENT, MALFORMED_JSON, Problem, UNSUPPORTED_MEDIA_TYPE};
use crate::site::Site;

const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// `POST /v1/events/{type}`: the body is the data.
pub(crate) async fn plain(call: Call) -> Answer {
    let kind = call.segment(2)?;
    let headers = AcceptHeaders::of(&call.parts.headers)?;
    refuse_encoded(&headers)?;
    let content_type = headers.content_type.map(|value| value.to_str().unwrap_or_default());
    check_plain_type(content_type)?;
    let settings = &call.app.settings;
    let takes_batches = call.app.engine.takes_batches(&kind);
    let max = |first: &[u8]| match takes_batches && batch::begins_with_items(first) {
        true => settings.batch_body_max,
        false => settings.body_max,
    };
    let body = call.take_body(max).await?;
    let data = plain_data(content_type, &body)?;
    if takes_batches && let Some(drafts) = batch::read_items(&kind, &body, settings.batch_events_max)? {
        return take(&call, &headers, &body, drafts, Shape::Items).await;
    }
    body::check_size(&body, settings.body_max)?;
    let draft = Draft { data, ..Draft::new(kind) };
    take(&call, &headers, &body, vec![draft], Shape::Data).await
}

/// `POST /v1/events`: CloudEvents, one in a document, many in a document, or one in headers.
pub(crate) async fn events(call: Call) -> Answer {
    let headers = AcceptHeaders::of(&call.parts.headers)?;
    refuse_encoded(&headers)?;
    let content_type = headers.content_type.map_or(b"".as_slice(), HeaderValue::as_bytes);
    let (max, batch_max) = (call.app.settings.body_max, call.app.settings.batch_body_max);
    // The batch first: its media type begins like the other's.
    if cloudevents::is_batch(content_type) {
        require_json(content_type, cloudevents::BATCH)?;
        let body = call.take_body(|_| batch_max).await?;
        let drafts = batch::read_events(&body, call.app.settings.batch_events_max)?;
        return take(&call, &headers, &body, drafts, Shape::Events).await;
    }
    if cloudevents::is_structured(content_type) {
        require_json(content_type, cloudevents::STRUCTURED)?;
        let body = call.take_body(|_| max).await?;
        let draft = read_structured(&body)?;
        return take(&call, &headers, &body, vec![draft], Shape::Event).await;
    }
    if !headers.has_event {
        return Err(UNSUPPORTED_MEDIA_TYPE.because(
            "this is no CloudEvent: its Content-Type does not say so and there are no ce- headers; plain JSON goes to \
             /v1/events/{type}",
        ));
    }
    let body = call.take_body(|_| max).await?;
    if !body.is_empty() && headers_say_json(content_type) {
        acceptd::check_json(&body).map_err(|error| MALFORMED_JSON.because(error.message()))?;
    }
    let draft = cloudevents::read_headers(&call.parts.headers, body.clone());
    let draft = draft.map_err(|error| INVALID_EVENT.because(error.message()))?;
    take(&call, &headers, &body, vec![draft], Shape::Data).await
}

fn headers_say_json(content_type: &[u8]) -> bool {
    std::str::from_utf8(content_type).is_ok_and(acceptd::is_json)
}

fn refuse_encoded(headers: &AcceptHeaders<'_>) -> Result<(), Problem> {
    match headers.content_encoding {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(UNSUPPORTED_MEDIA_TYPE.because("a body with a Content-Encoding is not taken"))
        }
        _ => Ok(()),
    }
}

fn require_json(content_type: &[u8], known: &str) -> Result<(), Problem> {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(known.as_bytes()) {
        return Ok(());
    }
    Err(UNSUPPORTED_MEDIA_TYPE.because(format!("events in a document are taken as {known}")))
}

fn check_plain_type(content_type: Option<&str>) -> Result<(), Problem> {
    let Some(content_type) = content_type else { return Ok(()) };
    if cloudevents::is_batch(content_type.as_bytes()) || cloudevents::is_structured(content_type.as_bytes()) {
        return Err(UNSUPPORTED_MEDIA_TYPE.because("CloudEvents go to /v1/events, without a type in the path"));
    }
    if acceptd::is_json(content_type) {
        return Ok(());
    }
    Err(UNSUPPORTED_MEDIA_TYPE.because(format!("the body must be {JSON}, not {content_type:?}")))
}

fn plain_data(content_type: Option<&str>, body: &Bytes) -> Result<Option<Data>, Problem> {
    match content_type {
        None if body.is_empty() => Ok(None),
        None => Err(UNSUPPORTED_MEDIA_TYPE.because(format!("the body has no Content-Type; send {JSON}"))),
        Some(_) if body.is_empty() => {
            Err(MALFORMED_JSON.because("the body is empty; an event without data has no Content-Type either"))
        }
        Some(content_type) => {
            acceptd::check_json(body).map_err(|error| MALFORMED_JSON.because(error.message()))?;
            let essence = content_type.split(';').next().unwrap_or_default().trim();
            let known = if essence.eq_ignore_ascii_case(JSON) { JSON } else { essence };
            Ok(Some(Data::new(known, body.clone())))
        }
    }
}

fn read_structured(body: &Bytes) -> Result<Draft, Problem> {
    acceptd::check_json(body).map_err(|error| MALFORMED_JSON.because(error.message()))?;
    let event: EventJson<'_> =
        serde_json::from_slice(body).map_err(|error| INVALID_EVENT.because(error.to_string()))?;
    let draft = event.into_draft(|raw| body.slice_ref(raw.get().as_bytes()));
    draft.map_err(|error| INVALID_EVENT.because(error.message()))
}

/// Accepts what a request's body holds, as its headers ask for.
async fn take(call: &Call, headers: &AcceptHeaders<'_>, body: &Bytes, drafts: Vec<Draft>, shape: Shape) -> Answer {
    let submission = headers.submission(&call.app.engine, || idempotency::fingerprint(&call.parts, body))?;
    accept(call, headers, drafts, submission, shape).await.map(|(_, response)| response)
}

/// Accepts these events, and answers for them.
pub(crate) async fn accept(
    call: &Call,
    headers: &AcceptHeaders<'_>,
    drafts: Vec<Draft>,
    submission: Submission,
    shape: Shape,
) -> Result<(Monitor, Response), Problem> {
    let engine = &call.app.engine;
    let accepted = engine.accept(Submission { events: drafts, ..submission }).await;
    let accepted = accepted.map_err(|error| Problem::in_body(error, shape))?;
    let preferences = match headers.has_prefer {
        true => Preferences::of(&call.parts.headers, call.app.settings.wait_max),
        false => Preferences::default(),
    };
    let monitor = match preferences.wait() {
        Some(wait) => engine.wait_for_end(accepted.operation.id, wait).await?,
        None => engine.monitor_accepted(&accepted).await?,
    };
    let response = respond(call, &accepted, &monitor, &preferences).await?;
    Ok((monitor, response))
}

async fn respond(call: &Call, accepted: &Accepted, monitor: &Monitor, preferences: &Preferences) -> Answer {
    let (engine, site) = (&call.app.engine, &call.site);
    let waited = preferences.wait.is_some() && monitor.status.is_done();
    let shown = match waited {
        true => Shown::whole(engine, site, monitor).await?,
        false => Shown::new(site, monitor),
    };
    let body = match preferences.minimal && !waited {
        true => Body::empty(),
        false => Body::from(shown.known(&accepted.known).to_bytes()?),
    };
    let mut response = Response::new(body);
    *response.status_mut() = if waited { StatusCode::OK } else { StatusCode::ACCEPTED };
    let headers = response.headers_mut();
    headers.reserve(8);
    let addresses = Addresses::of(site, accepted)?;
    headers.insert(LOCATION, addresses.result);
    headers.insert(OPERATION_LOCATION, addresses.monitor);
    headers.insert(CONTENT_LOCATION, addresses.path);
    if let Some(seconds) = retry_after(monitor, engine.now()) {
        headers.insert(RETRY_AFTER, seconds);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !preferences.minimal || waited {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    }
    if accepted.replay != Replay::New {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(applied) = preferences.applied(waited) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// The three addresses of an accepted operation.
struct Addresses {
    result: HeaderValue,
    monitor: HeaderValue,
    path: HeaderValue,
}

impl Addresses {
    /// All three are parts of one text, which is written once.
    fn of(site: &Site, accepted: &Accepted) -> Result<Self, Problem> {
        const PATH: usize = "/v1/operations/00000000-0000-0000-0000-000000000000".len();
        let text = site.operation(&accepted.operation.id, "/result").to_string();
        let text = Bytes::from(text.into_bytes());
        let end = text.len() - "/result".len();
        let start = end - PATH - site.app.prefix.len();
        let value = |bytes| {
            HeaderValue::from_maybe_shared::<Bytes>(bytes).map_err(|_| {
                Problem::from(acceptd::Error::new(acceptd::ErrorKind::Internal, "the public address is no header"))
            })
        };
        Ok(Self { path: value(text.slice(start..end))?, monitor: value(text.slice(..end))?, result: value(text)? })
    }
}

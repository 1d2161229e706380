//! `/v1/operations`: the monitor, the result, cancel and retry, and the list.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use acceptd::engine::Monitor;
use acceptd::store::{DeadLetters, OperationFilter, OperationView};
use acceptd::{Engine, OperationId, Status};
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_LOCATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};

use super::pages::Pages;
use crate::call::{Answer, Call, json, json_bytes};
use crate::monitor::{Shown, as_json, retry_after};
use crate::prefer::{PREFERENCE_APPLIED, Preferences};
use crate::problem::{INVALID_REQUEST, OPERATION_CANCELED, Problem};

/// `GET /v1/operations/{id}`. With `Prefer: wait=N` it waits for the end; together with `If-None-Match`, for any
/// change.
pub(crate) async fn get(call: Call) -> Answer {
    let (engine, id) = (&call.app.engine, call.id("operation")?);
    let preferences = Preferences::of(&call.parts.headers, call.app.settings.wait_max);
    let known = call.parts.headers.get(IF_NONE_MATCH).cloned();
    let (monitor, body, tag) = match (preferences.wait(), &known) {
        (Some(wait), Some(known)) => changed(&call, id, known, wait).await?,
        (Some(wait), None) => show(&call, engine.wait_for_end(id, wait).await?).await?,
        (None, _) => show(&call, engine.monitor(id).await?).await?,
    };
    let is_known = known.is_some_and(|known| matches(&known, &tag));
    let mut response = match is_known {
        true => Response::builder().status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap_or_default(),
        false => json_bytes(StatusCode::OK, body),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag);
    note(headers, &preferences, preferences.wait.is_some());
    if let Some(seconds) = retry_after(&monitor, engine.now()) {
        headers.insert(RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// What all answers about an operation's state say.
fn note(headers: &mut HeaderMap, preferences: &Preferences, waited: bool) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Prefer"));
    if let Some(applied) = preferences.applied(waited).filter(|_| waited) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
}

async fn show(call: &Call, monitor: Monitor) -> Result<(Monitor, Vec<u8>, HeaderValue), Problem> {
    let body = Shown::whole(&call.app.engine, &call.site, &monitor).await?.to_bytes()?;
    let tag = HeaderValue::try_from(format!("W/\"{:016x}\"", fingerprint(&monitor)));
    Ok((monitor, body, tag.unwrap_or_else(|_| HeaderValue::from_static("\"\""))))
}

/// A digest of all that changes only when something happens: not of what is reckoned anew whenever someone asks, such
/// as the estimate and how long a wait will take yet.
fn fingerprint(monitor: &Monitor) -> u64 {
    let mut hasher = DefaultHasher::new();
    let operation = &monitor.operation;
    (operation.updated, monitor.status, monitor.percent, &monitor.message).hash(&mut hasher);
    for waiting in &monitor.waiting_on {
        (&waiting.consumer, waiting.gate, &waiting.name, &waiting.key, waiting.count).hash(&mut hasher);
        waiting.holder.as_ref().map(|holder| holder.operation).hash(&mut hasher);
    }
    hasher.finish()
}

/// Waits until the operation looks otherwise than the client knows.
async fn changed(
    call: &Call,
    id: OperationId,
    known: &HeaderValue,
    wait: Duration,
) -> Result<(Monitor, Vec<u8>, HeaderValue), Problem> {
    let engine = &call.app.engine;
    let mut watcher = engine.changes().operation(id);
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let shown = show(call, engine.monitor(id).await?).await?;
        if !matches(known, &shown.2) || shown.0.status.is_done() {
            return Ok(shown);
        }
        tokio::select! {
            () = watcher.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(shown),
            () = engine.draining() => return Ok(shown),
        }
    }
}

/// A tag without what says that it is a weak one: `If-None-Match` compares them so.
fn weak(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether `If-None-Match` lists the tag.
fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let mut listed = known.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    listed.any(|one| one == b"*" || weak(one) == weak(tag.as_bytes()))
}

/// `GET /v1/operations/{id}/result`: the monitor with 202 until the end, then what came of it.
pub(crate) async fn result(call: Call) -> Answer {
    let (engine, id) = (&call.app.engine, call.id("operation")?);
    let preferences = Preferences::of(&call.parts.headers, call.app.settings.wait_max);
    let monitor = match preferences.wait() {
        Some(wait) => engine.wait_for_end(id, wait).await?,
        None => engine.monitor(id).await?,
    };
    let mut response = match monitor.status {
        Status::Queued | Status::Running => pending(&call, &monitor)?,
        Status::Succeeded => stored_result(engine, id).await?,
        Status::Failed => {
            let unknown = || acceptd::Failure::new("failed", "it failed without saying why");
            return Err(Problem::failed(monitor.failure.unwrap_or_else(unknown)));
        }
        Status::Canceled => return Err(OPERATION_CANCELED.because("someone canceled the operation")),
    };
    note(response.headers_mut(), &preferences, preferences.wait.is_some());
    Ok(response)
}

fn pending(call: &Call, monitor: &Monitor) -> Answer {
    let mut response = json_bytes(StatusCode::ACCEPTED, Shown::new(&call.site, monitor).to_bytes()?);
    let headers = response.headers_mut();
    let path = format!("{}/v1/operations/{}", call.app.prefix, monitor.operation.id);
    if let Ok(path) = HeaderValue::try_from(path) {
        headers.insert(CONTENT_LOCATION, path);
    }
    if let Some(seconds) = retry_after(monitor, call.app.engine.now()) {
        headers.insert(RETRY_AFTER, seconds);
    }
    Ok(response)
}

async fn stored_result(engine: &Engine, id: OperationId) -> Answer {
    let results = engine.store().results(id).await?;
    let mut response = match results.as_slice() {
        [] => Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap_or_default(),
        [result] => {
            let mut response = Response::new(Body::from(result.data.bytes.clone()));
            let content_type = HeaderValue::from_str(&result.data.content_type);
            let unknown = |_| HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, content_type.unwrap_or_else(unknown));
            response
        }
        results => match as_json(results) {
            Some(object) => json(StatusCode::OK, &object)?,
            None => {
                let detail = "several consumers gave a result and one of them is neither JSON nor text; see the chain";
                return Err(INVALID_REQUEST.because(detail));
            }
        },
    };
    let headers = response.headers_mut();
    // What a consumer answered is shown to whoever asks: a browser must not run it.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}

/// `POST /v1/operations/{id}/cancel`.
pub(crate) async fn cancel(call: Call) -> Answer {
    let monitor = call.app.engine.cancel(call.id("operation")?).await?;
    respond(&call, &monitor).await
}

/// `POST /v1/operations/{id}/retry`: all of its dead letters.
pub(crate) async fn retry(call: Call) -> Answer {
    let monitor = call.app.engine.retry(DeadLetters::Operation(call.id("operation")?)).await?;
    respond(&call, &monitor).await
}

/// The monitor as it is after something was done to the operation.
pub(super) async fn respond(call: &Call, monitor: &Monitor) -> Answer {
    let shown = Shown::whole(&call.app.engine, &call.site, monitor).await?;
    Ok(json_bytes(StatusCode::OK, shown.to_bytes()?))
}

/// `GET /v1/operations`: newest first.
pub(crate) async fn list(call: Call) -> Answer {
    let query = call.query(&["status", "type", "owner", "eventId", "pageToken", "pageSize"])?;
    let status = query.get("status").map(|word| {
        let words = Status::ALL.map(Status::as_str).join(", ");
        Status::parse(word).ok_or_else(|| INVALID_REQUEST.because(format!("{word:?} is no status; there are {words}")))
    });
    let filter = OperationFilter {
        status: status.transpose()?,
        kind: query.owned("type"),
        owner: query.owned("owner"),
        event_id: query.owned("eventId"),
    };
    let filters = ["status", "type", "owner", "eventId"].map(|name| query.get(name));
    let pages = Pages::of("operations", &filters, &query)?;
    let engine = &call.app.engine;
    let (views, next) = full_page(engine, &filter, &pages).await?;
    let monitors = engine.explain_all(views).await?;
    let shown: Vec<_> = monitors.iter().map(|monitor| Shown::new(&call.site, monitor)).collect();
    json(StatusCode::OK, &pages.items(shown.iter().map(Shown::document).collect(), next))
}

/// Pages of the store may be short, even empty, when a filter leaves much out; a client gets them joined, within
/// reason.
async fn full_page(
    engine: &Engine,
    filter: &OperationFilter,
    pages: &Pages,
) -> Result<(Vec<OperationView>, Option<i64>), Problem> {
    let mut page = pages.page;
    let mut views = Vec::new();
    for _ in 0..20 {
        let listing = engine.store().operations(filter.clone(), page).await?;
        page.size -= listing.items.len().min(page.size);
        views.extend(listing.items);
        page.before = listing.next;
        if page.size == 0 || page.before.is_none() {
            break;
        }
    }
    Ok((views, page.before))
}

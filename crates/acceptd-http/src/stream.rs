//! Server-sent events. A stream reads the store when its client is ready for more, so it holds one message at most:
//! snapshots that nobody had time for are never made.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use acceptd::engine::{Monitor, Watcher};
use acceptd::store::{NotificationQuery, OperationView, Page};
use acceptd::{ErrorKind, OperationId};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::OwnedSemaphorePermit;

use crate::api::notifications::{NotificationDocument, stream_id};
use crate::call::{Answer, Call};
use crate::monitor::Shown;
use crate::problem::{Problem, TOO_MANY_STREAMS};
use crate::settings::App;
use crate::site::Site;

/// How soon a client that lost its stream comes back.
const HELLO: &[u8] = b"retry: 2000\n\n";
const HEARTBEAT: &[u8] = b": heartbeat\n\n";
/// The shortest time between two snapshots of an operation.
const SNAPSHOTS_APART: Duration = Duration::from_millis(50);
/// Notifications read at once.
const NOTIFICATIONS_AT_ONCE: usize = 100;

/// What a stream's next step gives.
enum Step {
    Send(Vec<u8>),
    /// The last message.
    End(Vec<u8>),
}

/// `GET /v1/operations/{id}/stream`.
pub(crate) async fn operation(call: Call) -> Answer {
    let id: OperationId = call.id("operation")?;
    let engine = &call.app.engine;
    let watcher = engine.changes().operation(id);
    let view = engine.store().operation(id).await?;
    let last = last_event_id(&call)?.unwrap_or(-1);
    // The id after the last snapshot's is the end's: this client has seen everything.
    if view.operation.ended.is_some() && last > version(&view) {
        return Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap_or_default());
    }
    let permit = permit(&call)?;
    let feed = Operation { site: call.site.clone(), id, last, watcher };
    let stream = unfold((Some(feed), true, permit), |(feed, is_first, permit)| async move {
        let mut feed = feed?;
        if is_first {
            return Some((frame(HELLO.to_vec()), (Some(feed), false, permit)));
        }
        match feed.next().await? {
            Step::Send(bytes) => Some((frame(bytes), (Some(feed), false, permit))),
            Step::End(bytes) => Some((frame(bytes), (None, false, permit))),
        }
    });
    Ok(respond(Body::from_stream(stream)))
}

/// When anything of an operation last changed: a claim moves its delivery's `since`, all else the operation's own time.
fn version(view: &OperationView) -> i64 {
    let claimed = view.live.iter().map(|delivery| delivery.since).max();
    claimed.map_or(view.operation.updated, |at| at.max(view.operation.updated)).as_micros()
}

struct Operation {
    site: Site,
    id: OperationId,
    /// The id of the last message.
    last: i64,
    watcher: Watcher,
}

impl Operation {
    /// The next message; None ends the stream.
    async fn next(&mut self) -> Option<Step> {
        let app = Arc::clone(&self.site.app);
        loop {
            match self.snapshot().await {
                Ok(Some(step)) => return Some(step),
                Ok(None) => {}
                Err(_) => return None,
            }
            tokio::select! {
                () = self.watcher.changed() => {}
                () = tokio::time::sleep(app.settings.heartbeat) => return Some(Step::Send(HEARTBEAT.to_vec())),
                () = app.engine.draining() => return None,
            }
            tokio::time::sleep(SNAPSHOTS_APART).await;
        }
    }

    /// A snapshot, if there is one that the client has not seen.
    async fn snapshot(&mut self) -> Result<Option<Step>, Problem> {
        let engine = &self.site.app.engine;
        let view = engine.store().operation(self.id).await?;
        let (version, has_ended) = (version(&view), view.operation.ended.is_some());
        if version <= self.last && !has_ended {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        if version > self.last {
            self.last = version;
            let monitor: Monitor = engine.explain(view).await?;
            let body = Shown::whole(engine, &self.site, &monitor).await?.to_bytes()?;
            write_message(&mut bytes, "operation", version, &body);
        }
        if !has_ended {
            return Ok(Some(Step::Send(bytes)));
        }
        write_message(&mut bytes, "end", self.last + 1, b"{}");
        Ok(Some(Step::End(bytes)))
    }
}

/// The stream of notifications after an ordinal.
pub(crate) struct Notifications {
    pub(crate) owner: Option<String>,
    pub(crate) after: i64,
    pub(crate) watcher: Watcher,
}

impl Notifications {
    pub(crate) fn respond(self, call: &Call) -> Answer {
        let (app, permit) = (Arc::clone(&call.app), permit(call)?);
        let stream = unfold((self, true, permit), move |(mut feed, is_first, permit)| {
            let app = Arc::clone(&app);
            async move {
                let bytes = if is_first { HELLO.to_vec() } else { feed.next(&app).await? };
                Some((frame(bytes), (feed, false, permit)))
            }
        });
        Ok(respond(Body::from_stream(stream)))
    }

    async fn next(&mut self, app: &App) -> Option<Vec<u8>> {
        loop {
            let page = Page { before: None, size: NOTIFICATIONS_AT_ONCE };
            let query = NotificationQuery { owner: self.owner.clone(), after: Some(self.after), page };
            let listing = match app.engine.store().notifications(query).await {
                Ok(listing) => listing,
                Err(error) if error.kind() == ErrorKind::Unavailable => return None,
                Err(error) => {
                    tracing::warn!(%error, "a stream of notifications ended");
                    return None;
                }
            };
            if !listing.items.is_empty() {
                let mut bytes = Vec::new();
                for notification in &listing.items {
                    self.after = stream_id(notification);
                    let body = serde_json::to_vec(&NotificationDocument::of(notification)).ok()?;
                    write_message(&mut bytes, "notification", self.after, &body);
                }
                return Some(bytes);
            }
            tokio::select! {
                () = self.watcher.changed() => {}
                () = tokio::time::sleep(app.settings.heartbeat) => return Some(HEARTBEAT.to_vec()),
                () = app.engine.draining() => return None,
            }
        }
    }
}

/// What the client saw last. An id that is none of ours counts as none: the client gets everything again.
pub(crate) fn last_event_id(call: &Call) -> Result<Option<i64>, Problem> {
    let text = call.header("last-event-id")?;
    Ok(text.and_then(|text| text.trim().parse().ok()).filter(|id| (0..i64::MAX).contains(id)))
}

fn permit(call: &Call) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&call.app.streams).try_acquire_owned();
    permit.map_err(|_| TOO_MANY_STREAMS.because(format!("{} streams are open", call.app.settings.streams_max)))
}

fn frame(bytes: Vec<u8>) -> Result<Bytes, Infallible> {
    Ok(Bytes::from(bytes))
}

/// JSON has no line breaks of its own, so one `data:` line holds it.
fn write_message(into: &mut Vec<u8>, event: &str, id: i64, data: &[u8]) {
    into.extend_from_slice(format!("id: {id}\nevent: {event}\ndata: ").as_bytes());
    let line = data.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte });
    into.extend(line);
    into.extend_from_slice(b"\n\n");
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

//! Problem details (RFC 9457): the body of every 4xx and 5xx, and the one table of what can go wrong.
//!
//! The table feeds the answers, the pages at `/problems/{slug}` and `docs/errors.md`.

use std::fmt::Write as _;

use acceptd::{Error, ErrorKind, Failure};
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;

use crate::batch::Shape;
use crate::site::Site;

/// One kind of problem.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// The end of its `type`.
    pub slug: &'static str,
    /// The status it is answered with; a failed operation's result may name another one.
    pub status: u16,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it means and what to do.
    pub about: &'static str,
}

macro_rules! problems {
    ($( $name:ident = $status:literal $slug:literal, $title:literal, $about:literal; )*) => {
        $( pub(crate) static $name: ProblemKind =
            ProblemKind { slug: $slug, status: $status, title: $title, about: $about }; )*

        /// Every kind of problem, by status.
        pub static PROBLEMS: &[&ProblemKind] = &[$( &$name ),*];
    };
}

problems! {
    INVALID_REQUEST = 400 "invalid-request", "The request is wrong",
        "Something in the request does not fit; `detail` says what. Correct it and send it again.";
    INVALID_HEADER = 400 "invalid-header", "A header of the request is wrong",
        "`detail` names the header and what it may be. `Acceptd-Delay` is a duration such as `30s`, `Acceptd-At` an \
         RFC 3339 time, both at most 10 years from now and not both at once; `Acceptd-Priority` is a whole number from \
         -100 to 100; `Idempotency-Key` is a quoted string of 1 to 255 characters.";
    INVALID_EVENT = 400 "invalid-event", "The event is not a CloudEvent",
        "An attribute of the event is missing or does not fit CloudEvents 1.0. In a batch, `errors` points to \
         the event.";
    MALFORMED_JSON = 400 "malformed-json", "The body is not JSON",
        "The body must be one JSON document in UTF-8 that nests at most 128 levels deep. `detail` names the place.";
    BAD_PAGE_TOKEN = 400 "bad-page-token", "The page token does not fit",
        "A page token is good for the list, and the filters, that it came from. Start again without one.";
    CROSS_ORIGIN = 403 "cross-origin", "Another site's page may not do this",
        "A browser sent this for a page of another origin. An operator can allow the origin.";
    NOT_FOUND = 404 "not-found", "There is no such thing",
        "There is no operation, delivery, notification, consumer, limit or schema of this name, or it is no longer \
         kept.";
    NO_SUCH_ROUTE = 404 "no-such-route", "There is nothing at this path",
        "The API has no such path. Its calls begin with `/v1/`.";
    UNKNOWN_EVENT_TYPE = 404 "unknown-event-type", "Nobody knows this event type",
        "No consumer takes the event type and nothing declares it; `detail` names the nearest one there is.";
    METHOD_NOT_ALLOWED = 405 "method-not-allowed", "The path does not take this method",
        "The header `Allow` lists the methods that the path takes.";
    REQUEST_TIMEOUT = 408 "request-timeout", "The body did not arrive in time",
        "The body of the request took too long. Nothing was stored; send it again.";
    CONFLICT = 409 "conflict", "The present state forbids it",
        "For example: an operation that has ended can't be canceled, and only dead letters can be retried or \
         discarded.";
    STALE_FENCE = 409 "stale-fence", "A newer attempt exists",
        "The delivery was given out again since. This attempt no longer counts: stop working on it.";
    ALREADY_SETTLED = 409 "already-settled", "The attempt has ended before",
        "How the attempt ended is stored and stays.";
    CANCELED = 409 "canceled", "The delivery was canceled",
        "Someone canceled the operation. Stop working on it.";
    OPERATION_CANCELED = 410 "operation-canceled", "The operation was canceled",
        "There is no result and there will be none.";
    CONTENT_TOO_LARGE = 413 "content-too-large", "The body is too large",
        "An event may have 1 MiB, a batch 16 MiB and 10,000 events, unless the operator says otherwise.";
    URI_TOO_LONG = 414 "uri-too-long", "The address is too long",
        "Path and query may have 8 KiB together.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported-media-type", "The body's media type is not taken here",
        "`POST /v1/events/{type}` takes JSON. `POST /v1/events` takes CloudEvents: `application/cloudevents+json`, \
         `application/cloudevents-batch+json`, or any type with the attributes in `ce-` headers. Bodies are not \
         compressed.";
    INVALID_DATA = 422 "invalid-data", "The event's data does not fit",
        "It breaks the schema of its type (`GET /schemas/{type}`), or lacks what a consumer's limit or lock has as \
         its key. `errors` has one entry for each place with a JSON Pointer, at most 100. Nothing was stored.";
    IDEMPOTENCY_KEY_REUSED = 422 "idempotency-key-reused", "The idempotency key was used before",
        "The same key came with another request within the last 24 hours. Use a new key for a new request.";
    FENCE_REQUIRED = 428 "fence-required", "The attempt's fence is missing",
        "Calls about a delivery carry the header `Acceptd-Fence` with the number that came with the delivery.";
    HEADERS_TOO_LARGE = 431 "headers-too-large", "The headers are too large",
        "All headers may have 32 KiB together.";
    INTERNAL_ERROR = 500 "internal-error", "A fault of acceptd",
        "This should not happen. The log has the details.";
    OPERATION_FAILED = 500 "operation-failed", "The operation failed",
        "`code` and `message` say why, as the consumer that gave up said it. The status is the one that it \
         named, or 500.";
    OVERLOADED = 503 "overloaded", "Too much waits already",
        "The backlog is at its cap. Nothing was stored; send it again after `Retry-After`.";
    STORAGE_FULL = 503 "storage-full", "The disk is full",
        "Nothing was stored. Accepting works again by itself when there is space.";
    UNAVAILABLE = 503 "unavailable", "The store can't be used now",
        "Nothing was stored; send it again after `Retry-After`.";
    SHUTTING_DOWN = 503 "shutting-down", "The server is stopping",
        "It accepts nothing more. Send it again: to another node, or to this one when it is back.";
    NOT_READY = 503 "not-ready", "The server can't accept now",
        "`detail` says why: it is stopping, or its store can't be written.";
    TOO_MANY_STREAMS = 503 "too-many-streams", "Too many streams are open",
        "Poll the operation instead, or come back after `Retry-After`.";
}

impl ProblemKind {
    /// The problem of this kind with what happened, in one sentence.
    pub(crate) fn because(&'static self, detail: impl Into<String>) -> Problem {
        Problem { kind: self, detail: detail.into(), errors: Vec::new(), failure: None }
    }

    /// Its page.
    pub fn markdown(&self) -> String {
        let Self { slug, status, title, about } = self;
        format!("## {slug}\n\n**{title}** (status {status}). {about}\n")
    }

    fn of(kind: ErrorKind) -> &'static Self {
        match kind {
            ErrorKind::InvalidArgument => &INVALID_REQUEST,
            ErrorKind::InvalidData => &INVALID_DATA,
            ErrorKind::NotFound => &NOT_FOUND,
            ErrorKind::UnknownEventType => &UNKNOWN_EVENT_TYPE,
            ErrorKind::Conflict => &CONFLICT,
            ErrorKind::KeyReused => &IDEMPOTENCY_KEY_REUSED,
            ErrorKind::StaleFence => &STALE_FENCE,
            ErrorKind::AlreadySettled => &ALREADY_SETTLED,
            ErrorKind::Canceled => &CANCELED,
            ErrorKind::Overloaded => &OVERLOADED,
            ErrorKind::StorageFull => &STORAGE_FULL,
            ErrorKind::Unavailable | ErrorKind::Locked => &UNAVAILABLE,
            ErrorKind::ShuttingDown => &SHUTTING_DOWN,
            _ => &INTERNAL_ERROR,
        }
    }
}

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static ProblemKind,
    detail: String,
    errors: Vec<Place>,
    failure: Option<Failure>,
}

/// What is wrong at one place of a document.
#[derive(Debug, Serialize)]
struct Place {
    pointer: String,
    detail: String,
}

/// The members of RFC 9457 and, for operations, those that Azure's clients read.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Place],
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Problem {
    /// The same, at this place of the request's document.
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.errors.push(Place { pointer: pointer.into(), detail: self.detail.clone() });
        self
    }

    /// The same, with what is wrong at another place.
    pub(crate) fn with(mut self, pointer: impl Into<String>, detail: &str) -> Self {
        self.errors.push(Place { pointer: pointer.into(), detail: detail.to_owned() });
        self
    }

    /// The problem of an error about events that stand so in the request's body.
    pub(crate) fn in_body(error: Error, shape: Shape) -> Self {
        let places: Vec<_> = error.places().iter().map(|place| (shape.pointer(place), place.message.clone())).collect();
        places.into_iter().fold(error.into(), |problem: Self, (pointer, detail)| problem.with(pointer, &detail))
    }

    /// The problem of an operation that failed.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure.clone()), ..OPERATION_FAILED.because(failure.message) }
    }

    fn status(&self) -> u16 {
        let named = self.failure.as_ref().and_then(|failure| failure.status);
        named.filter(|status| (400..600).contains(status)).unwrap_or(self.kind.status)
    }

    pub(crate) fn document(&self, site: &Site) -> Document<'_> {
        let failure = self.failure.as_ref();
        Document {
            kind: format!("{site}/problems/{}", self.kind.slug),
            title: self.kind.title,
            status: self.status(),
            detail: &self.detail,
            errors: &self.errors,
            code: failure.map(|failure| failure.code.as_str()),
            message: failure.map(|failure| failure.message.as_str()),
        }
    }

    pub(crate) fn respond(self, site: &Site) -> Response {
        let body = serde_json::to_vec(&self.document(site)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }

    fn retry_after(&self) -> Option<&'static str> {
        if self.failure.is_some() {
            return None;
        }
        match self.kind.slug {
            "storage-full" | "not-ready" => Some("10"),
            _ if self.kind.status == 503 => Some("2"),
            _ => None,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = ProblemKind::of(error.kind());
        if kind == &INTERNAL_ERROR || kind == &UNAVAILABLE {
            // What the store says may name files and hosts: that is for the log.
            tracing::error!(?error, "a request failed");
            return kind.because(kind.title);
        }
        kind.because(error.message())
    }
}

/// All of the table as the document `docs/errors.md`.
pub fn errors_markdown() -> String {
    let mut text = String::from(
        "# Errors\n\nEvery 4xx and 5xx answer has the media type `application/problem+json` (RFC 9457). Its `type` is \
         the address of a page `/problems/<name>`; these are the names. `detail` says in one sentence what happened.\n",
    );
    for kind in PROBLEMS {
        let _ = write!(text, "\n{}", kind.markdown());
    }
    text
}

//! The slow service that the demo uploads to: an HTTP endpoint as anyone could write it, in any language.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::demo::{RECOVERS, REFUSED};
use crate::exit::{Failure, Result};

/// What the service noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that came.
    pub(crate) requests: usize,
    /// Different items that were uploaded.
    pub(crate) uploaded: usize,
    /// The most requests that ran at once.
    pub(crate) at_once: usize,
}

#[derive(Default)]
struct Seen {
    counts: Counts,
    running: usize,
    /// The `Idempotency-Key` of each upload: one that comes again changes nothing.
    keys: HashSet<String>,
}

type Shared = Arc<Mutex<Seen>>;

/// The service, running.
pub(crate) struct UploadService {
    endpoint: reqwest::Url,
    seen: Shared,
}

#[derive(Deserialize)]
struct Upload {
    item: u64,
    #[serde(default)]
    of: Option<u64>,
}

impl UploadService {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let seen = Shared::default();
        let router = Router::new().route("/upload", post(upload)).with_state(Arc::clone(&seen));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = format!("http://{}/upload", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { endpoint: endpoint.parse().map_err(Failure::error)?, seen })
    }

    /// Where it takes uploads.
    pub(crate) fn endpoint(&self) -> reqwest::Url {
        self.endpoint.clone()
    }

    /// What it noticed so far.
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.seen).counts
    }
}

fn lock(seen: &Shared) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that runs; one that is broken off ends here, too.
struct Running(Shared);

impl Running {
    fn enter(seen: &Shared) -> Self {
        let mut guard = lock(seen);
        guard.running += 1;
        guard.counts.requests += 1;
        guard.counts.at_once = guard.counts.at_once.max(guard.running);
        drop(guard);
        Self(Arc::clone(seen))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0).running -= 1;
    }
}

async fn upload(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let _running = Running::enter(&seen);
    let Ok(Upload { item, of }) = serde_json::from_slice(&body) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "the data must be {\"item\": NUMBER}").into_response();
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let attempt: u32 = header("acceptd-attempt").parse().unwrap_or(1);
    if item == REFUSED {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return (StatusCode::UNPROCESSABLE_ENTITY, "this picture can't be read").into_response();
    }
    if item == RECOVERS && attempt <= 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return (StatusCode::SERVICE_UNAVAILABLE, "out of order for a moment").into_response();
    }
    tokio::time::sleep(Duration::from_millis(200 + item.wrapping_mul(137) % 401)).await;
    let mut guard = lock(&seen);
    guard.keys.insert(header("idempotency-key").to_owned());
    guard.counts.uploaded = guard.keys.len();
    drop(guard);
    let outcome = json!({
        "result": { "item": item, "url": format!("https://pictures.example/{item}") },
        "emit": [{ "type": "item.uploaded", "data": { "item": item, "of": of } }],
    });
    ([(CONTENT_TYPE, "application/vnd.acceptd.outcome+json")], outcome.to_string()).into_response()
}

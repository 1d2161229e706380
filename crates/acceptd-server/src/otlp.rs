//! Sends spans to an OpenTelemetry collector: OTLP over HTTP, in batches, from a thread of its own.
//!
//! Nothing waits for the collector. What does not fit into the queue is dropped, and so is what the collector does not
//! take; the log says so once, and once more when it takes spans again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acceptd::telemetry::{FinishedSpan, SpanKind, SpanSink, Value, attribute};
use acceptd::{Timestamp, TraceContext};
use bytes::Bytes;
use opentelemetry::trace::{self as otel, Link, SpanContext, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter as _, SpanLinks, SpanProcessor as _,
};
use reqwest::{Url, redirect};
use tokio::runtime::Handle;

use crate::exit::{Failure, Result};

/// Spans that may wait to be sent.
const QUEUE: usize = 32_768;
/// Spans in one request at most.
const BATCH: usize = 2_048;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take to answer, repeats included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take when the server stops.
const LAST: Duration = Duration::from_secs(3);
/// Where a collector takes spans, below its base URL.
const PATH: &str = "/v1/traces";

/// What sends spans.
pub(crate) struct Exporter(Arc<Sink>);

struct Sink {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporter {
    /// Starts its thread. Whether the collector is there shows later.
    pub(crate) fn start(endpoint: &Url, service: &str) -> Result<Self> {
        let base = endpoint.as_str().trim_end_matches('/');
        let client = Client::new(base.to_owned())?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}{PATH}"))
            .with_timeout(TIMEOUT)
            .build();
        let mut exporter = exporter.map_err(|error| Failure::error(format!("can't send spans: {error}")))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name(service.to_owned()).with_attribute(version).build();
        exporter.set_resource(&resource);
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(GATHER);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let scope = InstrumentationScope::builder("acceptd").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self(Arc::new(Sink { processor, scope })))
    }

    /// Where the engine gives its spans.
    pub(crate) fn sink(&self) -> Arc<dyn SpanSink> {
        Arc::clone(&self.0) as Arc<dyn SpanSink>
    }

    /// Sends what is left, for as long as that may take.
    pub(crate) async fn flush(self) {
        // Waiting for the thread blocks, and its requests need this runtime.
        let flushing = tokio::task::spawn_blocking(move || self.0.processor.shutdown_with_timeout(LAST));
        if !matches!(flushing.await, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent");
        }
    }
}

impl SpanSink for Sink {
    fn ended(&self, span: FinishedSpan) {
        self.processor.on_end(data(span, self.scope.clone()));
    }
}

fn data(span: FinishedSpan, instrumentation_scope: InstrumentationScope) -> SpanData {
    let mut links = SpanLinks::default();
    links.links = span.links.iter().map(|link| Link::with_context(context(link, true))).collect();
    let error = span.error.map(|error| (attribute::ERROR, Value::Text(error)));
    let status = match error {
        Some(_) => Status::error(""),
        None => Status::Unset,
    };
    SpanData {
        span_context: context(&span.context, false),
        parent_span_id: span.parent.as_ref().map_or(otel::SpanId::INVALID, span_id),
        // What another process may have made: a part of an attempt is of this one.
        parent_span_is_remote: span.kind != SpanKind::Client && span.parent.is_some(),
        span_kind: match span.kind {
            SpanKind::Producer => otel::SpanKind::Producer,
            SpanKind::Consumer => otel::SpanKind::Consumer,
            SpanKind::Client => otel::SpanKind::Client,
        },
        name: span.name.into(),
        start_time: time(span.start),
        end_time: time(span.end),
        attributes: span.attributes.into_iter().chain(error).map(key_value).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status,
        instrumentation_scope,
    }
}

fn key_value((name, value): (&'static str, Value)) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Number(number) => KeyValue::new(name, number),
    }
}

fn context(context: &TraceContext, is_remote: bool) -> SpanContext {
    let trace = otel::TraceId::from_bytes(*context.trace.as_bytes());
    let state = context.state().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    SpanContext::new(trace, span_id(context), TraceFlags::new(context.flags()), is_remote, state)
}

fn span_id(context: &TraceContext) -> otel::SpanId {
    otel::SpanId::from_bytes(*context.span.as_bytes())
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + at.since(Timestamp::from_micros(0))
}

/// Sends requests on the server's runtime, for a thread that has none.
struct Client {
    client: reqwest::Client,
    runtime: Handle,
    endpoint: String,
    /// Whether the last request failed.
    fails: Arc<AtomicBool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    fn new(endpoint: String) -> Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("acceptd/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build();
        let client = client.map_err(|error| Failure::error(format!("can't send spans: {}", innermost(&error))))?;
        Ok(Self { client, runtime: Handle::current(), endpoint, fails: Arc::default() })
    }

    fn tell(&self, error: Option<&dyn fmt::Display>) {
        let endpoint = &self.endpoint;
        let failed_before = self.fails.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed_before => {
                tracing::warn!(endpoint, %error, "spans can't be sent; they are dropped until someone takes them");
            }
            None if failed_before => tracing::info!(endpoint, "the collector takes spans again"),
            _ => {}
        }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Client {
    fn send_bytes<'life0, 'async_trait>(&'life0 self, request: Request<Bytes>) -> Sending<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move { send(&client, request).await });
        Box::pin(async move {
            let sent = sending.await?;
            match &sent {
                Ok(response) if response.status().is_success() => self.tell(None),
                Ok(response) => self.tell(Some(&response.status())),
                Err(error) => self.tell(Some(&innermost(&**error))),
            }
            sent
        })
    }
}

async fn send(client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request.try_into()?).await?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut response = Response::new(answer.bytes().await?);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}

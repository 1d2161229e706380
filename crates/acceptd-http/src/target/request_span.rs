//! The span of a request: by the semantic conventions for HTTP clients, a part of the attempt.

use acceptd::consumer::Context;
use acceptd::telemetry::{FinishedSpan, SpanKind, attribute};
use acceptd::{Timestamp, TraceContext};
use http::{Method, StatusCode};
use reqwest::Url;

/// The span of an attempt's request has this number under the attempt's.
const REQUEST: u64 = 1;

/// A request under way. When it is dropped the attempt was given up: it was out of time, or canceled.
pub(super) struct RequestSpan {
    context: Context,
    trace: TraceContext,
    start: Timestamp,
    address: Option<Address>,
}

/// Where the request goes, without what may be secret in it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    url: String,
    host: String,
    port: Option<u16>,
}

impl Address {
    pub(super) fn of(url: &Url) -> Self {
        let mut plain = url.clone();
        plain.set_query(None);
        plain.set_fragment(None);
        let host = url.host_str().unwrap_or_default().to_owned();
        Self { url: plain.into(), host, port: url.port_or_known_default() }
    }
}

impl RequestSpan {
    /// A request that begins now.
    pub(super) fn begin(context: &Context, address: &Address) -> Self {
        let process = context.trace();
        let trace = process.at(process.span.derive(REQUEST));
        // Without someone who takes it there is nothing to keep.
        let address = context.spans().map(|_| address.clone());
        Self { context: context.clone(), trace, start: context.now(), address }
    }

    /// Where in which trace the request is.
    pub(super) fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// It was answered.
    pub(super) fn answered(mut self, status: StatusCode) {
        let is_error = status.is_client_error() || status.is_server_error();
        let error = is_error.then(|| status.as_str().to_owned());
        self.end(Some(status), error);
    }

    /// It was not answered, for this reason.
    pub(super) fn failed(mut self, error: &str) {
        self.end(None, Some(error.to_owned()));
    }

    fn end(&mut self, status: Option<StatusCode>, error: Option<String>) {
        let (Some(sink), Some(address)) = (self.context.spans(), self.address.take()) else { return };
        let name = Method::POST.as_str();
        let times = (self.start, self.context.now().max(self.start));
        let span = FinishedSpan::new(name.to_owned(), SpanKind::Client, self.trace.clone(), times)
            .under(Some(self.context.trace().clone()))
            .with(attribute::METHOD, name)
            .with(attribute::URL, address.url)
            .with(attribute::ADDRESS, address.host)
            .failed(error);
        let span = match address.port {
            Some(port) => span.with(attribute::PORT, u32::from(port)),
            None => span,
        };
        sink.ended(match status {
            Some(status) => span.with(attribute::STATUS, u32::from(status.as_u16())),
            None => span,
        });
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        let error = if self.context.left().is_zero() { "timeout" } else { "canceled" };
        self.end(None, Some(error.to_owned()));
    }
}

//! The headers of a request that delivers an event: the event in CloudEvents binary mode, which attempt of which
//! delivery this is, the trace it belongs to, and the signature.

use std::time::Duration;

use acceptd::consumer::Context;
use acceptd::trace::{TRACEPARENT, TRACESTATE};
use acceptd::{DeliveryId, Error, Result, Timestamp, TraceContext};
use http::HeaderValue;
use http::header::{HeaderMap, HeaderName};

use crate::cloudevents::{percent, write_headers};
use crate::signature::Secret;

const OPERATION: HeaderName = HeaderName::from_static("acceptd-operation");
const DELIVERY: HeaderName = HeaderName::from_static("acceptd-delivery");
const ATTEMPT: HeaderName = HeaderName::from_static("acceptd-attempt");
const FENCE: HeaderName = HeaderName::from_static("acceptd-fence");
const DEADLINE: HeaderName = HeaderName::from_static("acceptd-deadline");
const TIMEOUT: HeaderName = HeaderName::from_static("acceptd-timeout");
const OWNER: HeaderName = HeaderName::from_static("acceptd-owner");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CE_TRACEPARENT: HeaderName = HeaderName::from_static("ce-traceparent");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Adds what every delivery says: its event, its place, its attempt, how much time that has, and where in which trace
/// the request is.
///
/// # Errors
/// `InvalidArgument` for what can't be a header: the media type, or an extension's name, that is none.
pub(crate) fn delivery_headers(
    context: &Context,
    (left, trace): (Duration, &TraceContext),
    headers: &mut HeaderMap,
) -> Result<()> {
    write_headers(context.event(), headers)?;
    trace_context(context.event().trace(), headers)?;
    headers.insert(TRACEPARENT, text(trace.to_string())?);
    if let Some(state) = trace.state() {
        headers.insert(TRACESTATE, text(state.to_owned())?);
    }
    let delivery = context.delivery().to_string();
    headers.insert(IDEMPOTENCY_KEY, text(format!("\"{delivery}\""))?);
    headers.insert(DELIVERY, text(delivery)?);
    headers.insert(OPERATION, text(context.operation().to_string())?);
    headers.insert(ATTEMPT, HeaderValue::from(context.attempt()));
    headers.insert(FENCE, HeaderValue::from(context.fence()));
    headers.insert(DEADLINE, text(context.deadline().to_string())?);
    headers.insert(TIMEOUT, text(format!("{:.3}", left.as_secs_f64()))?);
    if let Some(owner) = context.owner() {
        // Any text can be an owner; it is encoded like the attributes of the event.
        headers.insert(OWNER, text(percent::encode(owner).into_owned())?);
    }
    Ok(())
}

/// Adds the headers of Standard Webhooks, signed at `now`.
///
/// # Errors
/// Never, as all of it is plain text.
pub(crate) fn signature_headers(
    secret: &Secret,
    delivery: DeliveryId,
    body: &[u8],
    now: Timestamp,
    headers: &mut HeaderMap,
) -> Result<()> {
    let (id, timestamp) = (delivery.to_string(), (now.as_millis() / 1_000).to_string());
    headers.insert(WEBHOOK_SIGNATURE, text(secret.sign(&id, &timestamp, body))?);
    headers.insert(WEBHOOK_ID, text(id)?);
    headers.insert(WEBHOOK_TIMESTAMP, text(timestamp)?);
    Ok(())
}

/// Adds where the event was created, which it need not say itself.
fn trace_context(created: TraceContext, headers: &mut HeaderMap) -> Result<()> {
    if !headers.contains_key(CE_TRACEPARENT) {
        headers.insert(CE_TRACEPARENT, text(created.to_string())?);
    }
    Ok(())
}

fn text(plain: String) -> Result<HeaderValue> {
    HeaderValue::try_from(plain).map_err(|error| Error::invalid(error.to_string()))
}

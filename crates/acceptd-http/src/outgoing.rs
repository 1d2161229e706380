//! An event as headers of a request that goes out: the binary mode of the CloudEvents HTTP binding.
//!
//! Values are percent-encoded as the binding asks: space, `"`, `%` and everything outside of U+0021 to U+007E. The
//! media type of the data is `Content-Type`, and the data itself is the body.

use std::borrow::Cow;

use acceptd::{Error, Result, StoredEvent};
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};

const SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
const ID: HeaderName = HeaderName::from_static("ce-id");
const SOURCE: HeaderName = HeaderName::from_static("ce-source");
const TYPE: HeaderName = HeaderName::from_static("ce-type");
const TIME: HeaderName = HeaderName::from_static("ce-time");
const SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
const DATASCHEMA: HeaderName = HeaderName::from_static("ce-dataschema");
const CORRELATION: HeaderName = HeaderName::from_static("ce-correlationid");
const CAUSATION: HeaderName = HeaderName::from_static("ce-causationid");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Names that an extension can't have: they are attributes, or acceptd says them itself.
const RESERVED: [&str; 10] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
    "data",
    "correlationid",
];

/// Adds the event's attributes and extensions, its media type, and its trace context.
///
/// # Errors
/// `InvalidArgument` for what can't be a header: a media type or an extension's name that is none.
pub(crate) fn event_headers(event: &StoredEvent, headers: &mut HeaderMap) -> Result<()> {
    let draft = &event.draft;
    headers.insert(SPECVERSION, HeaderValue::from_static("1.0"));
    headers.insert(ID, encoded(&event.id())?);
    headers.insert(SOURCE, encoded(&draft.source)?);
    headers.insert(TYPE, encoded(&draft.kind)?);
    headers.insert(TIME, text(draft.time.unwrap_or(event.accepted).to_string())?);
    headers.insert(CORRELATION, text(event.operation.to_string())?);
    if let Some(subject) = &draft.subject {
        headers.insert(SUBJECT, encoded(subject)?);
    }
    if let Some(dataschema) = &draft.dataschema {
        headers.insert(DATASCHEMA, encoded(dataschema)?);
    }
    for (name, value) in draft.extensions.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())) {
        let header = HeaderName::try_from(format!("ce-{name}"))
            .map_err(|_| Error::invalid(format!("{name:?} is not a CloudEvents attribute name")))?;
        headers.insert(header, encoded(value)?);
    }
    if let Some(cause) = &event.cause {
        headers.insert(CAUSATION, encoded(cause)?);
    }
    trace_context(event, headers);
    if let Some(data) = &draft.data {
        let media_type = HeaderValue::from_str(&data.content_type)
            .map_err(|_| Error::invalid(format!("the media type {:?} can't be a header", data.content_type)))?;
        headers.insert(CONTENT_TYPE, media_type);
    }
    Ok(())
}

/// The context the event was created in, for receivers that trace but know nothing of CloudEvents.
fn trace_context(event: &StoredEvent, headers: &mut HeaderMap) {
    let extension = |name: &str| HeaderValue::from_str(event.draft.extensions.get(name)?).ok();
    if let Some(parent) = extension("traceparent") {
        headers.insert(TRACEPARENT, parent);
        if let Some(state) = extension("tracestate") {
            headers.insert(TRACESTATE, state);
        }
    }
}

/// A header value of text that is plain already.
///
/// # Errors
/// `InvalidArgument` when it is not.
pub(crate) fn text(plain: String) -> Result<HeaderValue> {
    HeaderValue::try_from(plain).map_err(|error| Error::invalid(error.to_string()))
}

/// A header value of any text.
///
/// # Errors
/// Never, as encoded text is plain.
pub(crate) fn encoded(any: &str) -> Result<HeaderValue> {
    match percent_encode(any) {
        Cow::Borrowed(plain) => HeaderValue::from_str(plain).map_err(|error| Error::invalid(error.to_string())),
        Cow::Owned(plain) => text(plain),
    }
}

fn percent_encode(value: &str) -> Cow<'_, str> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let stays = |byte: u8| matches!(byte, 0x21..=0x7e) && byte != b'"' && byte != b'%';
    if value.bytes().all(stays) {
        return Cow::Borrowed(value);
    }
    let mut encoded = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        if stays(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use acceptd::{Data, Draft, EventKey, Ids, OperationId, Timestamp};

    use super::*;

    fn event(draft: Draft) -> StoredEvent {
        let mut ids = Ids::seeded(0, 7);
        let now = Timestamp::from_millis(1_763_866_800_123);
        let (key, operation) = (ids.next::<EventKey>(now), ids.next::<OperationId>(now));
        StoredEvent { key, operation, cause: None, depth: 0, accepted: now, draft }
    }

    fn headers(draft: Draft) -> HeaderMap {
        let mut headers = HeaderMap::new();
        event_headers(&event(draft), &mut headers).unwrap();
        headers
    }

    #[test]
    fn encoding_follows_the_binding() {
        assert_eq!(percent_encode("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encode("a\"b%c\u{7f}\u{0}\n"), "a%22b%25c%7F%00%0A");
        assert!(matches!(percent_encode("!~#/plain?x=1"), Cow::Borrowed("!~#/plain?x=1")));
    }

    #[test]
    fn attributes_that_were_not_said_are_left_out() {
        let headers = headers(Draft::new("ec2.start"));
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["ce-correlationid", "ce-id", "ce-source", "ce-specversion", "ce-time", "ce-type"]);
        assert_eq!(headers["ce-time"], "2025-11-23T03:00:00.123Z");
    }

    #[test]
    fn extensions_take_no_attributes_place() {
        let mut draft = Draft::new("ec2.start").data(Data::new("text/plain", "x"));
        for name in ["id", "type", "datacontenttype", "correlationid", "partitionkey"] {
            draft.extensions.insert(name.into(), "mine".into());
        }
        let headers = headers(draft);
        assert_eq!(headers["ce-type"], "ec2.start");
        assert_ne!(headers["ce-id"], "mine");
        assert_ne!(headers["ce-correlationid"], "mine");
        assert_eq!(headers["ce-partitionkey"], "mine");
        assert!(!headers.contains_key("ce-datacontenttype"));
        assert_eq!(headers["content-type"], "text/plain");
    }

    #[test]
    fn a_media_type_that_is_no_header_is_an_error() {
        let draft = Draft::new("ec2.start").data(Data::new("text/plain\r\nx-evil: 1", "x"));
        let error = event_headers(&event(draft), &mut HeaderMap::new()).unwrap_err();
        assert!(error.message().contains("can't be a header"));
    }
}

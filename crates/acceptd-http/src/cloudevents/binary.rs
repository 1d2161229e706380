//! The HTTP binding: which mode a request is in, and binary mode's headers.

use acceptd::{Data, Draft, Error, Result, StoredEvent};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::json::keep_callers_chain;
use super::percent;

/// Whether a `Content-Type` says: a batch of events. Ask this before [`is_structured`].
pub fn is_batch(content_type: &[u8]) -> bool {
    has_prefix(content_type, b"application/cloudevents-batch")
}

/// Whether a `Content-Type` says: an event in one document.
pub fn is_structured(content_type: &[u8]) -> bool {
    has_prefix(content_type, b"application/cloudevents") && !is_batch(content_type)
}

fn has_prefix(content_type: &[u8], prefix: &[u8]) -> bool {
    content_type.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Reads an event in binary mode: attributes in `ce-` headers, the body is the data.
///
/// # Errors
/// `InvalidArgument` that names the header.
pub fn read_headers(headers: &HeaderMap, body: Bytes) -> Result<Draft> {
    let (mut draft, mut kind, mut source, mut version) = (Draft::new(""), None, None, None);
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let text =
            percent::decode(value.as_bytes()).map_err(|error| Error::invalid(format!("header {name}: {error}")))?;
        match attribute {
            "specversion" => version = Some(text),
            "type" => kind = Some(text),
            "source" => source = Some(text),
            "id" => draft.id = Some(text),
            "subject" => draft.subject = Some(text),
            "dataschema" => draft.dataschema = Some(text),
            "time" => {
                let time = text.parse().map_err(|error| Error::invalid(format!("header {name}: {error}")))?;
                draft.time = Some(time);
            }
            "datacontenttype" => {
                return Err(Error::invalid("in binary mode Content-Type says what ce-datacontenttype would"));
            }
            _ => {
                draft.extensions.insert(attribute.to_owned(), text);
            }
        }
    }
    let missing = |name: &str| Error::invalid(format!("there is no header ce-{name}"));
    match version.as_deref() {
        Some("1.0") => {}
        Some(other) => return Err(Error::invalid(format!("ce-specversion {other:?} is not known; 1.0 is"))),
        None => return Err(missing("specversion")),
    }
    draft.kind = kind.ok_or_else(|| missing("type"))?.into();
    draft.source = source.ok_or_else(|| missing("source"))?.into();
    if draft.id.is_none() {
        return Err(missing("id"));
    }
    draft.data = read_data(headers, body)?;
    keep_callers_chain(&mut draft);
    draft.check()?;
    Ok(draft)
}

fn read_data(headers: &HeaderMap, body: Bytes) -> Result<Option<Data>> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::to_str).transpose();
    let content_type = content_type.map_err(|_| Error::invalid("the Content-Type is not ASCII"))?;
    match content_type {
        _ if body.is_empty() => Ok(None),
        Some(content_type) => {
            if acceptd::is_json(content_type) {
                acceptd::check_json(&body)?;
            }
            Ok(Some(Data::new(content_type, body)))
        }
        None => Ok(Some(Data::new("application/octet-stream", body))),
    }
}

/// Writes an event's attributes as binary mode's headers, `Content-Type` included. The body is the event's data.
///
/// # Errors
/// `InvalidArgument` when an attribute can't be a header.
pub fn write_headers(event: &StoredEvent, headers: &mut HeaderMap) -> Result<()> {
    let draft = &event.draft;
    // First, so that an extension named like an attribute is overwritten by it; this one's header does not exist.
    for (name, value) in draft.extensions.iter().filter(|(name, _)| *name != "datacontenttype") {
        put(headers, name, value)?;
    }
    headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
    put(headers, "id", &event.id())?;
    put(headers, "source", &draft.source)?;
    put(headers, "type", &draft.kind)?;
    put(headers, "time", &draft.time.unwrap_or(event.accepted).to_string())?;
    put(headers, "correlationid", &event.operation.to_string())?;
    let optional = [("subject", &draft.subject), ("dataschema", &draft.dataschema), ("causationid", &event.cause)];
    for (name, value) in optional {
        if let Some(value) = value {
            put(headers, name, value)?;
        }
    }
    if let Some(data) = &draft.data {
        let content_type = HeaderValue::from_str(&data.content_type);
        let wrong = |error| Error::invalid("the data's media type can't be a header").caused_by(error);
        headers.insert(CONTENT_TYPE, content_type.map_err(wrong)?);
    }
    Ok(())
}

fn put(headers: &mut HeaderMap, attribute: &str, text: &str) -> Result<()> {
    let wrong = || Error::invalid(format!("attribute {attribute} can't be a header"));
    let name = HeaderName::from_bytes(format!("ce-{attribute}").as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(&percent::encode(text)).map_err(|_| wrong())?;
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn the_batch_is_not_taken_for_one_event() {
        assert!(
            is_batch(b"Application/CloudEvents-Batch+json") && !is_structured(b"application/cloudevents-batch+json")
        );
        assert!(is_structured(b"application/cloudevents+json; charset=utf-8") && !is_structured(b"application/json"));
    }

    #[test]
    fn headers_there_and_back() {
        let given = headers(&[
            ("ce-specversion", b"1.0"),
            ("ce-type", b"a.b"),
            ("ce-source", b"/s"),
            ("ce-id", b"\"an id\""),
            ("ce-subject", b"Euro%20%E2%82%AC"),
            ("ce-color", b"red"),
            ("content-type", b"text/plain"),
        ]);
        let draft = read_headers(&given, Bytes::from_static(b"hi")).unwrap();
        assert_eq!((draft.id.as_deref(), draft.subject.as_deref()), (Some("an id"), Some("Euro €")));
        let nil = "00000000-0000-0000-0000-000000000000";
        let stored = StoredEvent {
            key: nil.parse().unwrap(),
            operation: nil.parse().unwrap(),
            cause: None,
            depth: 0,
            accepted: acceptd::Timestamp::from_millis(0),
            draft,
        };
        let mut written = HeaderMap::new();
        write_headers(&stored, &mut written).unwrap();
        assert_eq!(written["ce-subject"], "Euro%20%E2%82%AC");
        assert_eq!(written["ce-correlationid"], nil);
        let again = read_headers(&written, Bytes::from_static(b"hi")).unwrap();
        assert_eq!((&again.data, &again.id), (&stored.draft.data, &stored.draft.id));
    }

    #[test]
    fn extensions_take_no_attributes_place() {
        let nil = "00000000-0000-0000-0000-000000000000";
        let mut draft = Draft::new("ec2.start").data(Data::new("text/plain", "x"));
        for name in ["id", "type", "time", "datacontenttype", "correlationid", "partitionkey"] {
            draft.extensions.insert(name.into(), "mine".into());
        }
        let (key, accepted) = (nil.parse().unwrap(), acceptd::Timestamp::from_millis(0));
        let event = StoredEvent { key, operation: nil.parse().unwrap(), cause: None, depth: 0, accepted, draft };
        let mut headers = HeaderMap::new();
        write_headers(&event, &mut headers).unwrap();
        let mine: Vec<_> =
            headers.iter().filter(|(_, value)| *value == "mine").map(|(name, _)| name.as_str()).collect();
        assert_eq!(mine, ["ce-partitionkey"]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let good: [(&str, &[u8]); 4] =
            [("ce-specversion", b"1.0"), ("ce-type", b"a"), ("ce-source", b"/s"), ("ce-id", b"1")];
        for (left_out, _) in good {
            let pairs: Vec<_> = good.into_iter().filter(|(name, _)| *name != left_out).collect();
            let error = read_headers(&headers(&pairs), Bytes::new()).unwrap_err();
            assert_eq!(error.message(), format!("there is no header {left_out}"));
        }
        for wrong in [("ce-subject", b"%C0%A0".as_slice()), ("ce-datacontenttype", b"x/y"), ("ce-bad-name", b"1")] {
            let pairs: Vec<_> = good.into_iter().chain([wrong]).collect();
            assert!(read_headers(&headers(&pairs), Bytes::new()).is_err(), "{wrong:?}");
        }
    }
}

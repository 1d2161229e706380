//! The JSON event format.

use std::borrow::Cow;
use std::fmt;

use acceptd::{Data, Draft, Error, JSON, Result, StoredEvent};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An event as JSON, read but not yet checked. Its data still points into the document.
#[derive(Debug, Default)]
pub struct EventJson<'a> {
    specversion: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    content_type: Option<String>,
    dataschema: Option<String>,
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    extensions: std::collections::BTreeMap<String, String>,
}

impl<'a> EventJson<'a> {
    /// The event as a producer's: all that CloudEvents requires must be there. `bytes_of` gives the bytes of a part
    /// of the document.
    ///
    /// # Errors
    /// `InvalidArgument` that names the attribute.
    pub fn into_draft(self, bytes_of: impl FnOnce(&'a RawValue) -> Bytes) -> Result<Draft> {
        match self.specversion.as_deref() {
            Some("1.0") => {}
            Some(other) => return Err(Error::invalid(format!("specversion {other:?} is not known; 1.0 is"))),
            None => return Err(missing("specversion")),
        }
        if self.id.is_none() {
            return Err(missing("id"));
        }
        if self.source.is_none() {
            return Err(missing("source"));
        }
        let mut draft = self.draft(bytes_of)?;
        keep_callers_chain(&mut draft);
        draft.check()?;
        Ok(draft)
    }

    /// The event as a handler's: only the type must be there.
    ///
    /// # Errors
    /// `InvalidArgument` that names the attribute.
    pub fn into_emitted(self, bytes_of: impl FnOnce(&'a RawValue) -> Bytes) -> Result<Draft> {
        let mut draft = self.draft(bytes_of)?;
        draft.extensions.remove("correlationid");
        draft.extensions.remove("causationid");
        draft.check()?;
        Ok(draft)
    }

    fn draft(self, bytes_of: impl FnOnce(&'a RawValue) -> Bytes) -> Result<Draft> {
        let data = payload(self.content_type, self.data, self.data_base64, bytes_of)?;
        let mut draft = Draft::new(self.kind.ok_or_else(|| missing("type"))?);
        if let Some(source) = self.source {
            draft.source = source.into();
        }
        let time = self.time.map(|time| time.parse()).transpose();
        draft.time = time.map_err(|error: Error| Error::invalid(format!("the event's time: {error}")))?;
        Ok(Draft {
            id: self.id,
            subject: self.subject,
            dataschema: self.dataschema,
            data,
            extensions: self.extensions,
            ..draft
        })
    }
}

/// Renames what a producer says of its own chain.
pub(super) fn keep_callers_chain(draft: &mut Draft) {
    for (given, kept) in [("correlationid", "callercorrelationid"), ("causationid", "callercausationid")] {
        if let Some(value) = draft.extensions.remove(given) {
            draft.extensions.insert(kept.to_owned(), value);
        }
    }
}

fn missing(attribute: &str) -> Error {
    Error::invalid(format!("the event has no {attribute}"))
}

fn payload<'a>(
    content_type: Option<String>,
    data: Option<&'a RawValue>,
    base64: Option<String>,
    bytes_of: impl FnOnce(&'a RawValue) -> Bytes,
) -> Result<Option<Data>> {
    let content_type = content_type.map_or(Cow::Borrowed(JSON), Cow::Owned);
    let is_json = acceptd::is_json(&content_type);
    match (data, base64) {
        (Some(_), Some(_)) => Err(Error::invalid("the event has both data and data_base64")),
        (None, None) => Ok(None),
        (None, Some(base64)) => {
            let bytes = STANDARD.decode(base64).map_err(|_| Error::invalid("data_base64 is not base64"))?;
            if is_json {
                acceptd::check_json(&bytes)?;
            }
            Ok(Some(Data::new(&content_type, bytes)))
        }
        // The data of another media type is text in a JSON string.
        (Some(raw), None) if !is_json && raw.get().starts_with('"') => {
            let text: String = serde_json::from_str(raw.get()).map_err(|_| Error::invalid("data is no text"))?;
            Ok(Some(Data::new(&content_type, text)))
        }
        (Some(raw), None) => Ok(Some(Data::new(&content_type, bytes_of(raw)))),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader(std::marker::PhantomData))
    }
}

struct Reader<'a>(std::marker::PhantomData<&'a ()>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// An extension's value; its text is kept.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
    Integer(i64),
    Null(()),
    Other(IgnoredAny),
}

impl<'de: 'a, 'a> Visitor<'de> for Reader<'a> {
    type Value = EventJson<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut event = EventJson::default();
        while let Some(Name(name)) = map.next_key()? {
            match name.as_ref() {
                "specversion" => event.specversion = map.next_value()?,
                "type" => event.kind = map.next_value()?,
                "source" => event.source = map.next_value()?,
                "id" => event.id = map.next_value()?,
                "subject" => event.subject = map.next_value()?,
                "time" => event.time = map.next_value()?,
                "datacontenttype" => event.content_type = map.next_value()?,
                "dataschema" => event.dataschema = map.next_value()?,
                "data" => event.data = map.next_value()?,
                "data_base64" => event.data_base64 = map.next_value()?,
                _ => {
                    let text = match map.next_value()? {
                        Scalar::Text(text) => text,
                        Scalar::Bool(value) => value.to_string(),
                        Scalar::Integer(value) => value.to_string(),
                        Scalar::Null(()) => continue,
                        Scalar::Other(_) => {
                            let message = format!("attribute {name} must be text, true, false or an integer");
                            return Err(A::Error::custom(message));
                        }
                    };
                    event.extensions.insert(name.into_owned(), text);
                }
            }
        }
        Ok(event)
    }
}

/// Writes a stored event in the JSON event format.
pub struct StructuredEvent<'a>(pub &'a StoredEvent);

impl Serialize for StructuredEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event) = self;
        let draft = &event.draft;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &event.id())?;
        map.serialize_entry("source", &draft.source)?;
        map.serialize_entry("type", &draft.kind)?;
        if let Some(subject) = &draft.subject {
            map.serialize_entry("subject", subject)?;
        }
        map.serialize_entry("time", &draft.time.unwrap_or(event.accepted))?;
        if let Some(dataschema) = &draft.dataschema {
            map.serialize_entry("dataschema", dataschema)?;
        }
        map.serialize_entry("correlationid", &event.operation)?;
        if let Some(cause) = &event.cause {
            map.serialize_entry("causationid", cause)?;
        }
        for (name, value) in &draft.extensions {
            map.serialize_entry(name, value)?;
        }
        if let Some(data) = &draft.data {
            map.serialize_entry("datacontenttype", &data.content_type)?;
            match data.to_raw_json() {
                Some(raw) => map.serialize_entry("data", &raw)?,
                None => map.serialize_entry("data_base64", &STANDARD.encode(&data.bytes))?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Draft> {
        let event: EventJson<'_> = serde_json::from_str(text).map_err(|error| Error::invalid(error.to_string()))?;
        event.into_draft(|raw| raw.get().to_owned().into())
    }

    #[test]
    fn attributes_data_and_extensions() {
        let draft = read(
            r#"{"specversion":"1.0","type":"a.b","source":"/s","id":"1","time":"2026-01-02T03:04:05Z","subject":"x",
               "dataschema":"/d","datacontenttype":"application/json","data":{"é":[1]},"color":"red","n":-7,"b":true,
               "gone":null,"correlationid":"c","causationid":"k"}"#,
        )
        .unwrap();
        assert_eq!((draft.kind.as_ref(), draft.source.as_ref(), draft.id.as_deref()), ("a.b", "/s", Some("1")));
        assert_eq!(draft.data.unwrap().bytes, "{\"é\":[1]}");
        let extensions: Vec<_> = draft.extensions.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            extensions,
            [("b", "true"), ("callercausationid", "k"), ("callercorrelationid", "c"), ("color", "red"), ("n", "-7")]
        );
    }

    #[test]
    fn text_and_binary_data() {
        let start = r#"{"specversion":"1.0","type":"a","source":"/s","id":"1","datacontenttype":"text/plain","#;
        let text = read(&format!("{start}\"data\":\"a\\u00e9\"}}")).unwrap().data.unwrap();
        assert_eq!((text.bytes.as_ref(), text.content_type.as_ref()), ("aé".as_bytes(), "text/plain"));
        let binary = read(&format!("{start}\"data_base64\":\"/wA=\"}}")).unwrap().data.unwrap();
        assert_eq!(binary.bytes.as_ref(), [0xff, 0]);
        assert!(read(&format!("{start}\"data_base64\":\"%\"}}")).is_err());
        assert!(read(&format!("{start}\"data\":\"\",\"data_base64\":\"\"}}")).is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = [("specversion", "1.0"), ("type", "a"), ("source", "/s"), ("id", "1")];
        for (left_out, _) in all {
            let object: serde_json::Map<String, serde_json::Value> =
                all.into_iter().filter(|(k, _)| *k != left_out).map(|(k, v)| (k.to_owned(), v.into())).collect();
            let error = read(&serde_json::to_string(&object).unwrap()).unwrap_err();
            assert_eq!(error.message(), format!("the event has no {left_out}"));
        }
        assert!(read(r#"{"specversion":"0.3","type":"a","source":"/s","id":"1"}"#).is_err());
        assert!(read(r#"{"specversion":"1.0","type":"a","source":"/s","id":""}"#).is_err());
        assert!(read(r#"{"specversion":"1.0","type":"a","source":"/s","id":"1","time":"now"}"#).is_err());
    }

    #[test]
    fn a_written_event_reads_back() {
        let draft = read(r#"{"specversion":"1.0","type":"a","source":"/s","id":"1","data":[1],"x":"y"}"#).unwrap();
        let nil = uuid_nil();
        let stored = StoredEvent {
            key: nil.parse().unwrap(),
            operation: nil.parse().unwrap(),
            cause: Some("before".into()),
            depth: 1,
            accepted: acceptd::Timestamp::from_millis(0),
            draft,
        };
        let text = serde_json::to_string(&StructuredEvent(&stored)).unwrap();
        let again = read(&text).unwrap();
        assert_eq!(again.data, stored.draft.data);
        assert_eq!(again.extensions["callercausationid"], "before");
        assert_eq!(again.extensions["callercorrelationid"], nil);
    }

    fn uuid_nil() -> &'static str {
        "00000000-0000-0000-0000-000000000000"
    }
}

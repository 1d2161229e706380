//! The outcome document, `application/vnd.acceptd.outcome+json`: how an HTTP consumer says more than a result.
//!
//! ```json
//! {"result": {"instanceId": "i-1"},
//!  "emit": [{"type": "ec2.started", "data": {"instanceId": "i-1"}}],
//!  "progress": {"done": 1, "total": 1},
//!  "notify": {"title": "i-1 is running", "level": "success"}}
//! ```
//! Every member is optional. A member that is not known is refused: a misspelt `emit` must not lose an event.

use acceptd::{Data, Done, Error, JSON, Notice, ProgressReport, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cloudevents::EventJson;

/// The media type of the document.
pub const OUTCOME: &str = "application/vnd.acceptd.outcome+json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    emit: Vec<EventJson<'a>>,
    #[serde(default)]
    progress: Option<Progress>,
    #[serde(default)]
    notify: Option<Notice>,
}

/// Progress as targets send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    #[serde(default)]
    done: u64,
    #[serde(default)]
    total: u64,
    #[serde(default)]
    message: Option<String>,
}

impl From<Progress> for ProgressReport {
    fn from(Progress { done, total, message }: Progress) -> Self {
        Self { done, total, message }
    }
}

/// Whether a `Content-Type` names the outcome document.
pub fn is_outcome(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(OUTCOME)
}

/// Reads the document.
///
/// # Errors
/// `InvalidArgument` that says what is wrong and where.
pub fn parse(bytes: &[u8]) -> Result<Done> {
    acceptd::check_json(bytes)?;
    // serde would also take an array of the members.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Error::invalid("this is not an outcome document: it is no JSON object"));
    }
    let document: Document<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("this is not an outcome document: {error}")))?;
    let copied = |raw: &RawValue| raw.get().to_owned().into();
    let drafts = document.emit.into_iter().map(|event| event.into_emitted(copied));
    Ok(Done {
        result: document.result.map(|raw| Data::new(JSON, raw.get().to_owned())),
        emit: drafts.collect::<Result<_>>()?,
        progress: document.progress.map(Into::into),
        notify: document.notify,
        pause: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use acceptd::Level;

    #[test]
    fn every_member_is_optional() {
        assert_eq!(parse(b"{}").unwrap(), Done::default());
        assert_eq!(parse(br#"{"result":null,"notify":null}"#).unwrap(), Done::default());
    }

    #[test]
    fn a_full_document() {
        let done = parse(
            br#"{"result": {"a" : 1}, "emit": [{"type":"x.y","data":[1, 2],"subject":"s","color":"red","n":3},
                {"type":"z"}], "progress": {"done":1,"total":2,"message":"m"},
                "notify": {"title":"t","level":"error"}}"#,
        )
        .unwrap();
        assert_eq!(done.result.unwrap(), Data::new(JSON, "{\"a\" : 1}"), "the bytes stay as they came");
        assert_eq!(done.emit.len(), 2);
        let first = &done.emit[0];
        assert_eq!((first.kind.as_ref(), first.subject.as_deref()), ("x.y", Some("s")));
        assert_eq!(first.data.as_ref().unwrap().bytes, "[1, 2]");
        assert_eq!((first.extensions["color"].as_str(), first.extensions["n"].as_str()), ("red", "3"));
        assert_eq!(done.emit[1].source, "/acceptd");
        assert_eq!(done.progress.unwrap(), ProgressReport { done: 1, total: 2, message: Some("m".into()) });
        assert_eq!(done.notify.unwrap().level, Level::Error);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("{", "not valid JSON"),
            ("[]", "not an outcome document"),
            (r#"{"emits":[]}"#, "unknown field `emits`"),
            (r#"{"emit":[{"data":1}]}"#, "type"),
            (r#"{"emit":[{"type":"a b"}]}"#, "is not an event type"),
            (r#"{"emit":[{"type":"a","Bad":"x"}]}"#, "attribute name"),
            (r#"{"emit":[{"type":"a","x":{}}]}"#, "attribute x"),
            (r#"{"notify":{"text":"x"}}"#, "title"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }
}

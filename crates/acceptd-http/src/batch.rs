//! Batches: many root events in one request, which are one operation. All of them are accepted, or none.
//!
//! Two shapes: a CloudEvents batch, and `{"items":[…]}` at `/v1/events/{type}`, where each item is the data of one
//! event.

use acceptd::{Data, Draft, JSON, Place};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cloudevents::EventJson;
use crate::problem::{CONTENT_TOO_LARGE, INVALID_EVENT, MALFORMED_JSON, Problem};

/// Events of a batch whose mistakes are told at most.
const ERRORS_MAX: usize = 100;

/// Where the data of a request's events stands in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The body is the data of its one event.
    Data,
    /// The body is one event in JSON.
    Event,
    /// The body is an array of events in JSON.
    Events,
    /// The body is an object with an array of data.
    Items,
}

impl Shape {
    /// Where a place of an event is in the body, as a URI fragment.
    pub(crate) fn pointer(self, place: &Place) -> String {
        let Place { event, pointer, .. } = place;
        let data = if pointer.is_empty() { "" } else { "/data" };
        match self {
            Self::Data => format!("#{pointer}"),
            Self::Event => format!("#{data}{pointer}"),
            Self::Events => format!("#/{event}{data}{pointer}"),
            Self::Items => format!("#/items/{event}{pointer}"),
        }
    }
}

/// Whether a body begins like `{"items":[…]}`; one that is too short to tell does.
pub(crate) fn begins_with_items(body: &[u8]) -> bool {
    const NAME: &[u8] = b"\"items\"";
    let rest = body.trim_ascii_start();
    let Some((b'{', rest)) = rest.split_first() else { return rest.is_empty() };
    let rest = rest.trim_ascii_start();
    rest.starts_with(NAME) || NAME.starts_with(rest)
}

/// The drafts of `{"items":[…]}`. None when the body is anything else: then it is the data of one event.
pub(crate) fn read_items(kind: &str, body: &Bytes, max: usize) -> Result<Option<Vec<Draft>>, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Items<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    if !begins_with_items(body) {
        return Ok(None);
    }
    let Ok(Items { items }) = serde_json::from_slice(body) else { return Ok(None) };
    check_count(items.len(), max).map_err(|problem| problem.at("#/items"))?;
    let first = Draft::new(kind.to_owned());
    let data = |raw: &RawValue| Data::new(JSON, body.slice_ref(raw.get().as_bytes()));
    Ok(Some(items.into_iter().map(|raw| first.clone().data(data(raw))).collect()))
}

/// The drafts of a CloudEvents batch, or everything that is wrong with any of its events.
pub(crate) fn read_events(body: &Bytes, max: usize) -> Result<Vec<Draft>, Problem> {
    acceptd::check_json(body).map_err(|error| MALFORMED_JSON.because(error.message()))?;
    let wrong = |error: serde_json::Error| INVALID_EVENT.because(error.to_string());
    let events: Vec<&RawValue> = serde_json::from_slice(body).map_err(wrong)?;
    check_count(events.len(), max)?;
    let mut drafts = Vec::with_capacity(events.len());
    let mut mistakes = Vec::new();
    for (at, raw) in events.into_iter().enumerate() {
        match read_event(raw, body) {
            Ok(draft) => drafts.push(draft),
            Err(mistake) => mistakes.push((at, mistake)),
        }
    }
    match mistakes.as_slice() {
        [] => Ok(drafts),
        [(at, one)] => Err(INVALID_EVENT.because(one).at(format!("#/{at}"))),
        [(at, first), ..] => {
            let count = mistakes.len();
            let problem = INVALID_EVENT.because(format!("{count} events are wrong; the first is event {at}: {first}"));
            let places = mistakes.iter().take(ERRORS_MAX);
            Err(places.fold(problem, |problem, (at, mistake)| problem.with(format!("#/{at}"), mistake)))
        }
    }
}

fn read_event(raw: &RawValue, body: &Bytes) -> Result<Draft, String> {
    let event = EventJson::deserialize(raw).map_err(|error| error.to_string())?;
    let draft = event.into_draft(|raw| body.slice_ref(raw.get().as_bytes()));
    draft.map_err(|error| error.message().to_owned())
}

fn check_count(count: usize, max: usize) -> Result<(), Problem> {
    match count {
        0 => Err(INVALID_EVENT.because("the batch has no event")),
        count if count > max => {
            Err(CONTENT_TOO_LARGE.because(format!("the batch has {count} events, and the most is {max}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(body: &str) -> Option<usize> {
        read_items("a", &Bytes::copy_from_slice(body.as_bytes()), 3).unwrap().map(|drafts| drafts.len())
    }

    #[test]
    fn only_an_object_of_items_is_a_batch() {
        assert_eq!(items(r#" { "items" : [1, {"a":2}] } "#), Some(2));
        for data in [r#"{"items":[1],"more":1}"#, r#"{"more":1,"items":[1]}"#, r#"{"items":1}"#, r#"["items"]"#, "{}"] {
            assert_eq!(items(data), None, "{data}");
        }
        for bad in [r#"{"items":[]}"#, r#"{"items":[1,2,3,4]}"#] {
            assert!(read_items("a", &Bytes::copy_from_slice(bad.as_bytes()), 3).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_beginning_of_a_body_tells() {
        for yes in ["", " ", "{", "{ \"it", "{\"items\":["] {
            assert!(begins_with_items(yes.as_bytes()), "{yes:?}");
        }
        for no in ["[", "{}", "{\"item\":1", "{\"x\"", "1"] {
            assert!(!begins_with_items(no.as_bytes()), "{no:?}");
        }
    }

    #[test]
    fn places_are_found_in_every_shape() {
        let place = |pointer: &str| Place { event: 3, pointer: pointer.to_owned(), message: String::new() };
        assert_eq!(Shape::Data.pointer(&place("/a")), "#/a");
        assert_eq!(Shape::Event.pointer(&place("/a")), "#/data/a");
        assert_eq!(Shape::Events.pointer(&place("/a")), "#/3/data/a");
        assert_eq!((Shape::Events.pointer(&place("")), Shape::Event.pointer(&place(""))), ("#/3".into(), "#".into()));
        assert_eq!(Shape::Items.pointer(&place("/a")), "#/items/3/a");
    }
}

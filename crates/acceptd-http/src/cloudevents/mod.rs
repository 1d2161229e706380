//! CloudEvents 1.0: the JSON event format and the HTTP binding's binary mode, both ways.
//!
//! `correlationid` and `causationid` are acceptd's own words for an event's place in its chain, so what a producer
//! says there is kept under other names: `callercorrelationid` and `callercausationid`. Events that a handler emits
//! lose both, because handlers often hand on the attributes of the event they got.

mod binary;
mod json;
pub(crate) mod percent;

pub use binary::{is_batch, is_structured, read_headers, write_headers};
pub use json::{EventJson, StructuredEvent};
pub(crate) use percent::decode_once;

/// The media type of one event in JSON.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// The media type of a JSON array of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

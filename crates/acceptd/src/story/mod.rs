//! The story of one operation: every event, delivery, attempt and wait of it, who caused what, and where the time went.
//!
//! A [`Story`] is the document of `GET /v1/operations/{id}/chain`. [`Engine::story`](crate::Engine::story) makes it,
//! and what is here renders it: [`text`] as a tree for people and for snapshot tests, [`mermaid`] as a picture for a
//! ticket. Nothing here does IO or reads a clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::delivery::{Ending, State};
use crate::wait::WaitingOn;
use crate::{DeliveryId, EventKey, Failure, Gate, NodeId, OperationId, ProgressReport, Status, Timestamp, Wait};

mod mermaid;
mod tell;
#[cfg(test)]
mod tests;
mod text;
mod times;
mod tree;
mod words;

pub use crate::safe::plain;
pub use mermaid::mermaid;
pub(crate) use tell::{Circumstances, tell};
pub use text::{Line, Rail, TextOptions, lines, text};
pub use times::Times;

/// Everything that is known of one operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// The operation.
    pub operation: OperationId,
    /// The type of its (first) root event.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands.
    pub status: Status,
    /// Who is told how it ends.
    pub owner: Option<String>,
    /// The trace that its spans belong to, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// When this was read.
    pub read_time: Timestamp,
    /// Where the time from `create_time` to `end_time`, or else to `read_time`, went.
    pub times: Times,
    /// How long its deliveries waited by gate, the longest first. Deliveries that waited at once count each.
    pub waits: Vec<GateTime>,
    /// What waits now, by consumer and gate.
    pub waiting_on: Vec<WaitingOn>,
    /// Its events, oldest first.
    pub events: Vec<StoryEvent>,
}

/// The time that deliveries of an operation spent before one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateTime {
    /// The gate.
    pub gate: Gate,
    /// What the gate is called: the limit, the consumer, or the event type that nobody took.
    pub name: String,
    /// The sum over the deliveries, in milliseconds.
    pub total_ms: u64,
    /// How many deliveries waited there.
    pub count: u64,
}

/// The delivery that emitted an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CausedBy {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its consumer.
    pub consumer: String,
}

/// An event with its deliveries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryEvent {
    /// acceptd's own key.
    pub key: EventKey,
    /// The CloudEvents `id`.
    pub id: String,
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who produced it.
    pub source: String,
    /// What in the source it is about.
    pub subject: Option<String>,
    /// When it happened, as its producer says.
    pub time: Timestamp,
    /// When it was accepted or emitted.
    pub accept_time: Timestamp,
    /// The id of the event before; None for a root event.
    pub causation_id: Option<String>,
    /// The delivery that emitted it; None for a root event, and where that can't be told.
    #[serde(default)]
    pub caused_by: Option<CausedBy>,
    /// How many events stand before it in the chain.
    pub depth: u32,
    /// Where the data's schema stands.
    pub dataschema: Option<String>,
    /// CloudEvents extensions.
    pub extensions: BTreeMap<String, String>,
    /// The data's media type; None without data.
    pub content_type: Option<String>,
    /// The data: JSON as it came, text as a string. None for anything else.
    pub data: Option<Box<RawValue>>,
    /// The data's size in bytes.
    pub size: usize,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<StoryDelivery>,
}

/// A delivery with its attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// The operation.
    pub operation: OperationId,
    /// The event it carries.
    pub event_key: EventKey,
    /// The consumer's name.
    pub consumer: String,
    /// Where it stands.
    pub state: State,
    /// Whether it decides the operation's state.
    pub tracked: bool,
    /// From -100 to 100.
    pub priority: i8,
    /// Attempts counted so far, the running one included.
    pub attempt: u32,
    /// The most attempts there may be; 0 before the first claim.
    pub max_attempts: u32,
    /// Grows with every claim.
    pub fence: u64,
    /// Since when it is in its state.
    pub since: Timestamp,
    /// The earliest instant it may run.
    pub due: Timestamp,
    /// The node that runs it.
    pub node: Option<NodeId>,
    /// Until when its target must call, when it answered 202.
    pub lease_until: Option<Timestamp>,
    /// Until when its target may be working on it whatever happens, while it holds slots of limits.
    pub slots_until: Option<Timestamp>,
    /// What its handler last reported.
    pub progress: Option<ProgressReport>,
    /// Attempts that ended, oldest first.
    pub attempts: Vec<StoryAttempt>,
    /// The waits since the last attempt's end.
    pub waits: Vec<Wait>,
    /// The size of its result in bytes; None without a result.
    #[serde(default)]
    pub result_size: Option<usize>,
}

/// An attempt that ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryAttempt {
    /// Which attempt it was, counted ones only.
    pub number: u32,
    /// The claim it belongs to.
    pub fence: u64,
    /// The node that ran it.
    pub node: Option<NodeId>,
    /// How it ended.
    pub ending: Ending,
    /// When it began to wait.
    pub waiting_since: Timestamp,
    /// When it was claimed.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Timestamp,
    /// What went wrong.
    pub error: Option<Failure>,
    /// What it waited for before it started.
    pub waits: Vec<Wait>,
}

impl Story {
    /// All deliveries with their events.
    pub fn deliveries(&self) -> impl Iterator<Item = (&StoryEvent, &StoryDelivery)> {
        self.events.iter().flat_map(|event| event.deliveries.iter().map(move |delivery| (event, delivery)))
    }
}

impl StoryDelivery {
    /// Why its last attempt that failed did.
    pub fn error(&self) -> Option<&Failure> {
        self.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref())
    }

    /// How it stands, in one sentence without its consumer.
    pub fn sentence(&self, now: Timestamp) -> String {
        words::sentence(self, now, None, true)
    }
}

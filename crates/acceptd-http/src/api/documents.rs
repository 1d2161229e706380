//! An event or a delivery by itself as JSON, with the fields that it has in a story, too.

use std::borrow::Cow;
use std::collections::BTreeMap;

use acceptd::delivery::State;
use acceptd::{
    Closure, Data, Delivery, DeliveryId, EventKey, NodeId, OperationId, ProgressReport, StoredEvent, Timestamp, Weight,
};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventDocument<'a> {
    key: EventKey,
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'a str,
    source: &'a str,
    subject: Option<&'a str>,
    time: Timestamp,
    accept_time: Timestamp,
    causation_id: Option<&'a str>,
    depth: u32,
    dataschema: Option<&'a str>,
    extensions: &'a BTreeMap<String, String>,
    content_type: Option<&'a str>,
    /// Null also for data that is neither JSON nor text.
    data: Option<Box<RawValue>>,
    size: usize,
}

impl<'a> EventDocument<'a> {
    pub(super) fn of(event: &'a StoredEvent) -> Self {
        let draft = &event.draft;
        Self {
            key: event.key,
            id: event.id(),
            kind: &draft.kind,
            source: &draft.source,
            subject: draft.subject.as_deref(),
            time: draft.time.unwrap_or(event.accepted),
            accept_time: event.accepted,
            causation_id: event.cause.as_deref(),
            depth: event.depth,
            dataschema: draft.dataschema.as_deref(),
            extensions: &draft.extensions,
            content_type: draft.data.as_ref().map(|data| data.content_type.as_ref()),
            data: draft.data.as_ref().and_then(Data::to_raw_json),
            size: draft.data.as_ref().map_or(0, |data| data.bytes.len()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryDocument<'a> {
    pub(super) id: DeliveryId,
    pub(super) operation: OperationId,
    event_key: EventKey,
    consumer: &'a str,
    state: State,
    tracked: bool,
    priority: i8,
    attempt: u32,
    max_attempts: u32,
    fence: u64,
    /// Since when it is in its state.
    since: Timestamp,
    due: Timestamp,
    node: Option<NodeId>,
    lease_until: Option<Timestamp>,
    /// Until when its target may be working on it whatever happens, while it holds slots of limits.
    slots_until: Option<Timestamp>,
    progress: Option<&'a ProgressReport>,
}

impl<'a> DeliveryDocument<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id,
            operation: delivery.operation,
            event_key: delivery.event,
            consumer: &delivery.consumer,
            state: delivery.state,
            tracked: delivery.weight == Weight::Tracked,
            priority: delivery.priority,
            attempt: delivery.attempts,
            max_attempts: delivery.max_attempts,
            fence: delivery.fence,
            since: delivery.since,
            due: delivery.due,
            node: delivery.node,
            lease_until: delivery.lease,
            slots_until: delivery.deadline,
            progress: delivery.progress.as_ref(),
        }
    }
}

/// Why nothing of a consumer or a limit starts.
#[derive(Serialize)]
pub(super) struct PauseDocument<'a> {
    since: Timestamp,
    until: Option<Timestamp>,
    by: &'a str,
    reason: &'a str,
}

impl<'a> PauseDocument<'a> {
    pub(super) fn of(closure: &'a Closure) -> Self {
        let Closure { from, until, by, reason, .. } = closure;
        Self { since: *from, until: *until, by, reason }
    }
}

//! Events, deliveries and attempts as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use acceptd::delivery::{Ending, State};
use acceptd::{
    Attempt, Closure, Data, Delivery, DeliveryId, EventKey, Failure, NodeId, OperationId, ProgressReport, StoredEvent,
    Timestamp, Wait, Weight,
    wait::{self, Held},
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptDocument<'a> {
    number: u32,
    fence: u64,
    node: Option<NodeId>,
    ending: Ending,
    waiting_since: Timestamp,
    start_time: Timestamp,
    end_time: Timestamp,
    error: Option<&'a Failure>,
    waits: Vec<Wait>,
}

impl<'a> AttemptDocument<'a> {
    pub(super) fn of(attempt: &'a Attempt, closures: &[Closure]) -> Self {
        Self {
            number: attempt.number,
            fence: attempt.fence,
            node: attempt.node,
            ending: attempt.ending,
            waiting_since: attempt.waiting_since,
            start_time: attempt.started,
            end_time: attempt.ended,
            error: attempt.failure.as_ref(),
            waits: wait::waits(
                (attempt.waiting_since, attempt.due, attempt.started),
                attempt.held_by.as_ref(),
                closures,
            ),
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

/// The waits of a delivery that belong to no attempt's record yet.
pub(super) fn open_waits(
    delivery: &Delivery,
    held_by: Option<&Held>,
    closures: &[Closure],
    now: Timestamp,
) -> Vec<Wait> {
    match delivery.state {
        State::Waiting => wait::waits((delivery.since, delivery.due, now), held_by, closures),
        State::Running => {
            wait::waits((delivery.waiting_since, delivery.due, delivery.since), delivery.held_by.as_ref(), closures)
        }
        State::Done | State::Dead | State::Canceled => Vec::new(),
    }
}

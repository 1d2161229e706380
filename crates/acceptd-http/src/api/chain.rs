//! `GET /v1/operations/{id}/chain`: every event, delivery, attempt and wait of an operation, oldest first.

use std::collections::HashMap;

use acceptd::engine::WaitingOn;
use acceptd::store::Chain;
use acceptd::wait::Held;
use acceptd::{Attempt, Closure, DeliveryId, EventKey, OperationId, Status, Timestamp, Wait};
use http::StatusCode;
use serde::Serialize;

use super::documents::{AttemptDocument, DeliveryDocument, EventDocument, open_waits};
use crate::call::{Answer, Call, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChainDocument<'a> {
    operation: OperationId,
    #[serde(rename = "type")]
    kind: &'a str,
    status: Status,
    owner: Option<&'a str>,
    create_time: Timestamp,
    end_time: Option<Timestamp>,
    waiting_on: &'a [WaitingOn],
    events: Vec<Link<'a>>,
}

#[derive(Serialize)]
struct Link<'a> {
    #[serde(flatten)]
    event: EventDocument<'a>,
    deliveries: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    #[serde(flatten)]
    delivery: DeliveryDocument<'a>,
    attempts: Vec<AttemptDocument<'a>>,
    /// The waits since the last attempt's end.
    waits: Vec<Wait>,
}

pub(crate) async fn get(call: Call) -> Answer {
    let (engine, id) = (&call.app.engine, call.id("operation")?);
    let chain = engine.store().chain(id).await?;
    let monitor = engine.monitor(id).await?;
    let operation = &chain.operation;
    let document = ChainDocument {
        operation: operation.id,
        kind: &operation.kind,
        status: monitor.status,
        owner: operation.owner.as_deref(),
        create_time: operation.created,
        end_time: operation.ended.map(|(_, at)| at),
        waiting_on: &monitor.waiting_on,
        events: links(&chain, &engine.held(&chain.deliveries).await?, engine.now()),
    };
    json(StatusCode::OK, &document)
}

fn links<'a>(chain: &'a Chain, held: &HashMap<DeliveryId, Held>, now: Timestamp) -> Vec<Link<'a>> {
    let mut closures: HashMap<&str, Vec<Closure>> = HashMap::new();
    for (consumer, closure) in &chain.closures {
        closures.entry(consumer).or_default().push(closure.clone());
    }
    let mut attempts: HashMap<DeliveryId, Vec<&Attempt>> = HashMap::new();
    for attempt in &chain.attempts {
        attempts.entry(attempt.delivery).or_default().push(attempt);
    }
    let mut runs: HashMap<EventKey, Vec<Run<'_>>> = HashMap::new();
    for delivery in &chain.deliveries {
        let shut = closures.get(delivery.consumer.as_str()).map_or(&[] as &[_], Vec::as_slice);
        let made = attempts.remove(&delivery.id).unwrap_or_default();
        let attempts = made.into_iter().map(|attempt| AttemptDocument::of(attempt, shut)).collect();
        let waits = open_waits(delivery, held.get(&delivery.id), shut, now);
        let run = Run { delivery: DeliveryDocument::of(delivery), attempts, waits };
        runs.entry(delivery.event).or_default().push(run);
    }
    let events = chain.events.iter();
    events
        .map(|event| Link { event: EventDocument::of(event), deliveries: runs.remove(&event.key).unwrap_or_default() })
        .collect()
}

//! The monitor: an operation as JSON, the same wherever it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptd::engine::{Monitor, WaitingOn};
use acceptd::store::{ConsumerResult, KnownEvent};
use acceptd::{Data, Engine, OperationId, Status, Timestamp};
use http::header::HeaderValue;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::value::RawValue;

use crate::problem::{Document, Problem};
use crate::site::{Address, Site};

/// The largest result that a monitor shows.
const RESULT_SHOWN_MAX: usize = 64 << 10;

/// The monitor's JSON. Everything is borrowed: it is written once and dropped.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MonitorDocument<'a> {
    id: OperationId,
    status: Status,
    done: bool,
    #[serde(rename = "type")]
    kind: &'a str,
    owner: Option<&'a str>,
    priority: i8,
    create_time: Timestamp,
    start_time: Option<Timestamp>,
    update_time: Timestamp,
    end_time: Option<Timestamp>,
    estimated_end_time: Option<Timestamp>,
    progress: ProgressDocument<'a>,
    waiting_on: &'a [WaitingOn],
    result: Option<&'a RawValue>,
    error: Option<Document<'a>>,
    resource_location: Option<Address<'a>>,
    links: Links<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "known_events")]
    known_events: &'a [KnownEvent],
}

#[derive(Serialize)]
struct ProgressDocument<'a> {
    total: u32,
    done: u32,
    failed: u32,
    percent: u8,
    message: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Links<'a> {
    #[serde(rename = "self")]
    own: Address<'a>,
    result: Address<'a>,
    chain: Address<'a>,
    stream: Address<'a>,
    cancel: Address<'a>,
}

/// A monitor with what its JSON needs besides.
pub(crate) struct Shown<'a> {
    pub(crate) site: &'a Site,
    pub(crate) monitor: &'a Monitor,
    pub(crate) result: Option<Box<RawValue>>,
    problem: Option<Problem>,
    known: &'a [KnownEvent],
}

impl<'a> Shown<'a> {
    /// The monitor without its result.
    pub(crate) fn new(site: &'a Site, monitor: &'a Monitor) -> Self {
        let failure = monitor.failure.as_ref().filter(|_| monitor.status == Status::Failed);
        Self { site, monitor, result: None, problem: failure.cloned().map(Problem::failed), known: &[] }
    }

    /// The monitor with its result, when it has ended well and the result is not large.
    pub(crate) async fn whole(engine: &Engine, site: &'a Site, monitor: &'a Monitor) -> Result<Self, Problem> {
        let mut shown = Self::new(site, monitor);
        if monitor.status == Status::Succeeded {
            let results = engine.store().results(monitor.operation.id).await?;
            let size: usize = results.iter().map(|result| result.data.bytes.len()).sum();
            shown.result = if size <= RESULT_SHOWN_MAX { as_json(&results) } else { None };
        }
        Ok(shown)
    }

    /// The same with events of the request that were accepted before.
    pub(crate) fn known(mut self, known: &'a [KnownEvent]) -> Self {
        self.known = known;
        self
    }

    pub(crate) fn document(&self) -> MonitorDocument<'_> {
        let Self { site, monitor, .. } = self;
        let operation = &monitor.operation;
        let (id, tally) = (&operation.id, operation.deciding());
        let succeeded = monitor.status == Status::Succeeded;
        MonitorDocument {
            id: *id,
            status: monitor.status,
            done: monitor.status.is_done(),
            kind: &operation.kind,
            owner: operation.owner.as_deref(),
            priority: operation.priority,
            create_time: operation.created,
            start_time: operation.started,
            update_time: operation.updated,
            end_time: operation.ended.map(|(_, at)| at),
            estimated_end_time: monitor.estimated_end,
            progress: ProgressDocument {
                total: tally.total + operation.unrouted,
                done: tally.done,
                failed: tally.dead,
                percent: monitor.percent,
                message: monitor.message.as_deref(),
            },
            waiting_on: &monitor.waiting_on,
            result: self.result.as_deref(),
            error: self.problem.as_ref().map(|problem| problem.document(site)),
            resource_location: succeeded.then(|| site.operation(id, "/result")),
            links: Links {
                own: site.operation(id, ""),
                result: site.operation(id, "/result"),
                chain: site.operation(id, "/chain"),
                stream: site.operation(id, "/stream"),
                cancel: site.operation(id, "/cancel"),
            },
            known_events: self.known,
        }
    }

    /// The document as bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::with_capacity(1_280);
        serde_json::to_writer(&mut bytes, &self.document())
            .map_err(|error| acceptd::Error::new(acceptd::ErrorKind::Internal, error.to_string()))?;
        Ok(bytes)
    }
}

fn known_events<S: Serializer>(known: &&[KnownEvent], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Known<'a> {
        id: &'a str,
        operation: OperationId,
    }
    serializer.collect_seq(known.iter().map(|event| Known { id: &event.id, operation: event.operation }))
}

/// Results as one JSON value: a single one is itself; several are an object by consumer name, where a consumer with
/// several results has an array of them in the order of their events. None when one of them is not text.
pub(crate) fn as_json(results: &[ConsumerResult]) -> Option<Box<RawValue>> {
    by_consumer(&results.iter().map(|result| (result.consumer.as_str(), &result.data)).collect::<Vec<_>>())
}

/// The same of results with their consumers' names.
pub(crate) fn by_consumer(results: &[(&str, &Data)]) -> Option<Box<RawValue>> {
    if let [(_, data)] = results {
        return data.to_raw_json();
    }
    let mut by_consumer: BTreeMap<&str, Vec<Box<RawValue>>> = BTreeMap::new();
    for (consumer, data) in results {
        by_consumer.entry(consumer).or_default().push(data.to_raw_json()?);
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value<'a> {
        One(&'a RawValue),
        Many(&'a [Box<RawValue>]),
    }
    let object: BTreeMap<_, _> = by_consumer
        .iter()
        .map(|(name, values)| match values.as_slice() {
            [value] => (name, Value::One(value)),
            values => (name, Value::Many(values)),
        })
        .collect();
    if object.is_empty() { None } else { serde_json::value::to_raw_value(&object).ok() }
}

/// When a client should ask again, by what it waits for and by when it will have ended; None when the operation has
/// ended.
pub(crate) fn retry_after(monitor: &Monitor, now: Timestamp) -> Option<HeaderValue> {
    if monitor.status.is_done() {
        return None;
    }
    let opens = monitor.waiting_on.iter().map(|waiting| waiting.until).min().flatten();
    let opens = opens.map_or(Duration::ZERO, |until| until.since(now));
    // Half of what is left: clients come back a few times, and soon after the end.
    let half = monitor.estimated_end.map_or(Duration::ZERO, |end| end.since(now) / 2);
    // A client that asks while something is about to happen asks every 2 s; one that waits for longer, less often.
    Some(match opens.max(half).as_secs() {
        0..=2 => HeaderValue::from_static("2"),
        seconds => HeaderValue::from(seconds.min(60)),
    })
}

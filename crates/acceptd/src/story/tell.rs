//! Makes a story of a chain as the store keeps it, and of what the engine knows besides.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::times::{Span, Times, between};
use super::{CausedBy, GateTime, Story, StoryAttempt, StoryDelivery, StoryEvent};
use crate::delivery::{Ending, State};
use crate::store::Chain;
use crate::wait::{self, Held, WaitingOn};
use crate::{
    Attempt, Closure, Data, Delivery, DeliveryId, EventKey, Gate, Status, StoredEvent, Timestamp, Wait, Weight,
};

/// What the engine knows of an operation besides its chain.
pub(crate) struct Circumstances {
    pub(crate) status: Status,
    pub(crate) waiting_on: Vec<WaitingOn>,
    /// The limit that holds each delivery that waits for one.
    pub(crate) held: HashMap<DeliveryId, Held>,
    pub(crate) now: Timestamp,
}

/// The story of a chain.
pub(crate) fn tell(chain: &Chain, how: Circumstances) -> Story {
    let operation = &chain.operation;
    let end_time = operation.ended.map(|(_, at)| at);
    let index = Index::of(chain);
    let (running, backing_off) = index.spans(chain, how.now);
    let life = (operation.created, end_time.unwrap_or(how.now));
    let mut events: Vec<_> = chain.events.iter().map(|event| index.event(event)).collect();
    let places: HashMap<EventKey, usize> = events.iter().enumerate().map(|(at, event)| (event.key, at)).collect();
    for delivery in &chain.deliveries {
        if let Some(event) = places.get(&delivery.event).and_then(|at| events.get_mut(*at)) {
            event.deliveries.push(index.delivery(chain, delivery, &how));
        }
    }
    let routed = index.routed(chain);
    Story {
        operation: operation.id,
        kind: operation.kind.clone(),
        status: how.status,
        owner: operation.owner.clone(),
        trace_id: None,
        create_time: operation.created,
        end_time,
        read_time: how.now,
        times: Times::split(life, &running, &backing_off),
        waits: gate_times(&events, &routed, life.1),
        waiting_on: how.waiting_on,
        events,
    }
}

/// A chain's parts by what they belong to.
struct Index<'a> {
    attempts: HashMap<DeliveryId, Vec<&'a Attempt>>,
    closures: HashMap<&'a str, Vec<Closure>>,
    /// Deliveries that are done and whose event has others after it, by that event's id and depth.
    done: HashMap<(String, u32), Vec<&'a Delivery>>,
}

impl<'a> Index<'a> {
    fn of(chain: &'a Chain) -> Self {
        let mut closures: HashMap<&str, Vec<Closure>> = HashMap::new();
        for (consumer, closure) in &chain.closures {
            closures.entry(consumer).or_default().push(closure.clone());
        }
        let mut attempts: HashMap<DeliveryId, Vec<&Attempt>> = HashMap::new();
        for attempt in &chain.attempts {
            attempts.entry(attempt.delivery).or_default().push(attempt);
        }
        // A clock that was set back must not change the order of a delivery's attempts.
        attempts.values_mut().for_each(|attempts| attempts.sort_by_key(|attempt| attempt.fence));
        let causes: HashSet<&str> = chain.events.iter().filter_map(|event| event.cause.as_deref()).collect();
        let before = chain.events.iter().map(|event| (event.key, (event.id(), event.depth)));
        let before: HashMap<EventKey, _> = before.filter(|(_, (id, _))| causes.contains(id.as_ref())).collect();
        let mut done: HashMap<(String, u32), Vec<&Delivery>> = HashMap::new();
        for delivery in chain.deliveries.iter().filter(|delivery| delivery.state == State::Done) {
            if let Some((id, depth)) = before.get(&delivery.event) {
                done.entry((id.to_string(), *depth)).or_default().push(delivery);
            }
        }
        Self { attempts, closures, done }
    }

    fn attempts(&self, delivery: DeliveryId) -> &[&'a Attempt] {
        self.attempts.get(&delivery).map_or(&[], Vec::as_slice)
    }

    /// When deliveries ran, and when they were not due yet after an attempt that failed.
    fn spans(&self, chain: &Chain, now: Timestamp) -> (Vec<Span>, Vec<Span>) {
        let mut running: Vec<Span> = chain.attempts.iter().map(|attempt| (attempt.started, attempt.ended)).collect();
        let mut backing_off = Vec::new();
        for delivery in &chain.deliveries {
            if delivery.state == State::Running {
                running.push((delivery.since, now));
            }
            let attempts = self.attempts(delivery.id);
            for (at, attempt) in attempts.iter().enumerate() {
                let until = match attempts.get(at + 1) {
                    Some(next) => next.due.min(next.started),
                    None if delivery.state == State::Waiting => delivery.due.min(now),
                    None => delivery.due.min(delivery.since),
                };
                if matches!(attempt.ending, Ending::Retry | Ending::Lost) {
                    backing_off.push((attempt.ended, until));
                }
            }
        }
        (running, backing_off)
    }

    /// When the first delivery of each event began to wait.
    fn routed(&self, chain: &Chain) -> HashMap<EventKey, Timestamp> {
        let mut routed: HashMap<EventKey, Timestamp> = HashMap::new();
        for delivery in &chain.deliveries {
            let first = self.attempts(delivery.id).first();
            let from = first.map_or(delivery.waiting_since, |attempt| attempt.waiting_since);
            routed.entry(delivery.event).and_modify(|known| *known = from.min(*known)).or_insert(from);
        }
        routed
    }

    fn event(&self, event: &StoredEvent) -> StoryEvent {
        let draft = &event.draft;
        StoryEvent {
            key: event.key,
            id: event.id().into_owned(),
            kind: draft.kind.to_string(),
            source: draft.source.to_string(),
            subject: draft.subject.clone(),
            time: draft.time.unwrap_or(event.accepted),
            accept_time: event.accepted,
            causation_id: event.cause.clone(),
            caused_by: self.cause(event),
            depth: event.depth,
            dataschema: draft.dataschema.clone(),
            extensions: draft.extensions.clone(),
            content_type: draft.data.as_ref().map(|data| data.content_type.to_string()),
            data: draft.data.as_ref().and_then(Data::to_raw_json),
            size: draft.data.as_ref().map_or(0, |data| data.bytes.len()),
            deliveries: Vec::new(),
        }
    }

    /// The delivery that emitted an event: it carried the event before and was done in the same transaction. Where
    /// that holds for several, the source tells whose it is, unless the handler named another.
    fn cause(&self, event: &StoredEvent) -> Option<CausedBy> {
        let before = (event.cause.clone()?, event.depth.checked_sub(1)?);
        let all = self.done.get(&before)?.iter().filter(|delivery| delivery.since == event.accepted);
        let named = |delivery: &&&Delivery| event.draft.source == format!("/consumers/{}", delivery.consumer);
        let cause = only(all.clone()).or_else(|| only(all.filter(named)))?;
        Some(CausedBy { delivery: cause.id, consumer: cause.consumer.clone() })
    }

    fn delivery(&self, chain: &Chain, delivery: &Delivery, how: &Circumstances) -> StoryDelivery {
        let closures = self.closures.get(delivery.consumer.as_str()).map_or(&[] as &[_], Vec::as_slice);
        let attempts = self.attempts(delivery.id).iter();
        StoryDelivery {
            id: delivery.id,
            operation: delivery.operation,
            event_key: delivery.event,
            consumer: delivery.consumer.clone(),
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
            progress: delivery.progress.clone(),
            attempts: attempts.map(|attempt| told(attempt, closures)).collect(),
            waits: open_waits(delivery, how.held.get(&delivery.id), closures, how.now),
            result_size: chain.result_sizes.get(&delivery.id).copied(),
        }
    }
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

fn told(attempt: &Attempt, closures: &[Closure]) -> StoryAttempt {
    let times = (attempt.waiting_since, attempt.due, attempt.started);
    StoryAttempt {
        number: attempt.number,
        fence: attempt.fence,
        node: attempt.node,
        ending: attempt.ending,
        waiting_since: attempt.waiting_since,
        start_time: attempt.started,
        end_time: attempt.ended,
        error: attempt.failure.clone(),
        waits: wait::waits(times, attempt.held_by.as_ref(), closures),
    }
}

/// The waits of a delivery that belong to no attempt's record yet.
fn open_waits(delivery: &Delivery, held_by: Option<&Held>, closures: &[Closure], now: Timestamp) -> Vec<Wait> {
    match delivery.state {
        State::Waiting => wait::waits((delivery.since, delivery.due, now), held_by, closures),
        State::Running => {
            wait::waits((delivery.waiting_since, delivery.due, delivery.since), delivery.held_by.as_ref(), closures)
        }
        State::Done | State::Dead | State::Canceled => Vec::new(),
    }
}

/// Sums the waits of deliveries by gate, and the time in which no consumer took a root event.
fn gate_times(events: &[StoryEvent], routed: &HashMap<EventKey, Timestamp>, end: Timestamp) -> Vec<GateTime> {
    let mut sums: HashMap<(Gate, &str), (u64, u64)> = HashMap::new();
    for event in events {
        let alone = between(event.accept_time, routed.get(&event.key).copied().unwrap_or(end));
        if event.depth == 0 && alone > 0 {
            add(&mut sums, (Gate::NoConsumer, &event.kind), alone, 1);
        }
        for delivery in &event.deliveries {
            let mut seen = BTreeSet::new();
            for wait in delivery.all_waits() {
                let key = (wait.gate, wait.limit.as_ref().unwrap_or(&delivery.consumer).as_str());
                add(&mut sums, key, between(wait.from, wait.until), u64::from(seen.insert(key)));
            }
        }
    }
    let told = |((gate, name), (total_ms, count)): ((Gate, &str), _)| {
        let name = name.to_owned();
        GateTime { gate, name, total_ms, count }
    };
    let mut times: Vec<_> = sums.into_iter().map(told).collect();
    times.sort_by(|a, b| b.total_ms.cmp(&a.total_ms).then_with(|| (&a.name, a.gate).cmp(&(&b.name, b.gate))));
    times
}

fn add<'a>(sums: &mut HashMap<(Gate, &'a str), (u64, u64)>, key: (Gate, &'a str), millis: u64, count: u64) {
    let sum = sums.entry(key).or_default();
    *sum = (sum.0 + millis, sum.1 + count);
}

impl StoryDelivery {
    /// Everything it waited for, in order.
    pub(super) fn all_waits(&self) -> impl Iterator<Item = &Wait> {
        self.attempts.iter().flat_map(|attempt| &attempt.waits).chain(&self.waits)
    }
}

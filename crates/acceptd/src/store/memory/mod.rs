//! The store in memory, for tests. It forgets everything when it is dropped.
//!
//! It is also the reference that the other stores are compared with: one lock around ordered maps, whole scans
//! instead of indexes. Each verb holds the lock from its first look to its last change, and changes nothing before
//! everything that can be refused has been checked: that makes it one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::turnstile::{Head, Turnstile};
use super::*;
use crate::catalog::{Day, Observation};
use crate::clock::Uptime;
use crate::delivery::State;
use crate::limit::LimitChange;
use crate::{
    Attempt, Closure, Data, Delivery, DeliveryId, Error, EventKey, Ids, NodeId, Notification, NotificationId,
    Operation, OperationId, ProgressReport, Result, StoredEvent, Timestamp,
};

mod accept;
mod claim;
mod control;
mod end;
mod limits;
mod observe;
mod prune;
mod query;
mod settle;

/// A [`Store`] that keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore(Mutex<Tables>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with(Ids::after(0))
    }

    /// An empty store whose ids repeat for the same seed and the same calls.
    pub fn seeded(seed: u64) -> Self {
        Self::with(Ids::seeded(0, seed))
    }

    /// Forgets what no store keeps when it is closed: in which order groups and lanes had their turns, and who takes
    /// the ends of operations until they register again.
    pub fn restart(&self) {
        let mut tables = self.lock();
        tables.takers.clear();
        tables.recall();
    }

    fn with(ids: Ids) -> Self {
        Self(Mutex::new(Tables::empty(ids)))
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<'a, T: Send + 'a>(&'a self, verb: impl FnOnce(&mut Tables) -> Result<T> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move { verb(&mut self.lock()) })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything that is kept. Ids sort by age, so each map lists its rows oldest first.
#[derive(Debug)]
struct Tables {
    ids: Ids,
    operations: BTreeMap<OperationId, Operation>,
    events: BTreeMap<EventKey, StoredEvent>,
    /// Root events that no consumer takes yet, with the due time of their deliveries to come.
    unrouted: BTreeMap<EventKey, Timestamp>,
    /// The operation of each root event with an id of its producer's, by source and id.
    known: BTreeMap<(String, String), OperationId>,
    keys: BTreeMap<(String, String), KeptKey>,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    /// The deliveries that have not ended.
    live: BTreeSet<DeliveryId>,
    /// Those of them that wait, are due, and are known to the turnstile.
    ready: BTreeSet<DeliveryId>,
    turnstile: Turnstile,
    attempts: BTreeMap<(DeliveryId, u64), Attempt>,
    /// Results of deliveries that are done, and kept outcomes of dead letters.
    results: BTreeMap<DeliveryId, Data>,
    steps: BTreeMap<(DeliveryId, String), Vec<u8>>,
    notifications: BTreeMap<NotificationId, Notification>,
    nodes: BTreeMap<NodeId, Node>,
    /// When each consumer was last served.
    served: BTreeMap<String, Timestamp>,
    /// What shut each consumer's gate, oldest first.
    closures: BTreeMap<String, Vec<Closure>>,
    /// The consumers that take the ends of operations.
    takers: Vec<Serving>,
    /// What was seen of each edge, by day, event type, consumer and emitted type.
    observations: BTreeMap<(Day, String, String, String), Observation>,
}

/// An idempotency key and what was accepted under it.
#[derive(Debug)]
struct KeptKey {
    fingerprint: [u8; 32],
    operation: OperationId,
    expires: Timestamp,
}

/// A node and when it last showed that it lives.
#[derive(Debug, Default)]
struct Node {
    heartbeat: Timestamp,
    consumers: Vec<String>,
}

impl Tables {
    fn empty(ids: Ids) -> Self {
        Self {
            ids,
            operations: BTreeMap::new(),
            events: BTreeMap::new(),
            unrouted: BTreeMap::new(),
            known: BTreeMap::new(),
            keys: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            live: BTreeSet::new(),
            ready: BTreeSet::new(),
            turnstile: Turnstile::default(),
            attempts: BTreeMap::new(),
            results: BTreeMap::new(),
            steps: BTreeMap::new(),
            notifications: BTreeMap::new(),
            nodes: BTreeMap::new(),
            served: BTreeMap::new(),
            closures: BTreeMap::new(),
            takers: Vec::new(),
            observations: BTreeMap::new(),
        }
    }

    fn operation(&self, id: OperationId) -> Result<&Operation> {
        self.operations.get(&id).ok_or_else(|| Error::not_found("operation", id))
    }

    fn delivery(&self, id: DeliveryId) -> Result<&Delivery> {
        self.deliveries.get(&id).ok_or_else(|| Error::not_found("delivery", id))
    }

    fn event(&self, key: EventKey) -> Result<&StoredEvent> {
        self.events.get(&key).ok_or_else(|| Error::not_found("event", key))
    }

    /// Writes a delivery and tells the turnstile. Answers the consumers whose limits have room again.
    fn put(&mut self, delivery: Delivery) -> Vec<String> {
        self.put_lingering(delivery, None)
    }

    /// The same for one whose attempt may still be going on until then, where nobody hears of it.
    fn put_lingering(&mut self, delivery: Delivery, lingers: Option<Timestamp>) -> Vec<String> {
        let (consumer, group) = (delivery.consumer.clone(), delivery.lane.group.clone());
        let mut woken = Vec::new();
        if self.ready.remove(&delivery.id) {
            self.turnstile.withdraw(&consumer, &group);
        }
        if let Some(before) = self.deliveries.get(&delivery.id).filter(|before| before.state == State::Running)
            && delivery.state != State::Running
        {
            let attempt = HoldId::of(before);
            for permit in self.turnstile.permits(attempt) {
                woken.extend(self.turnstile.left(permit, None));
            }
            woken.extend(self.turnstile.left(attempt, lingers));
        }
        if delivery.state == State::Waiting && delivery.due <= delivery.since {
            self.ready.insert(delivery.id);
            self.turnstile.offer(&consumer, &group, Head::of(&delivery));
        }
        // The head of its group may be another one; but for one that is new, which comes last.
        let is_head_gone = delivery.lane.ordered && delivery.state != State::Running;
        let was_known = self.deliveries.contains_key(&delivery.id);
        self.keep(delivery);
        if is_head_gone && was_known {
            self.turnstile.look_again(&consumer, &group);
            woken.push(consumer);
        }
        woken
    }

    /// Writes a delivery, and nothing else.
    fn keep(&mut self, delivery: Delivery) {
        if delivery.state.has_ended() {
            self.live.remove(&delivery.id);
        } else {
            self.live.insert(delivery.id);
        }
        self.deliveries.insert(delivery.id, delivery);
    }

    /// The deliveries that have not ended, oldest first.
    fn live(&self) -> impl Iterator<Item = &Delivery> {
        self.live.iter().filter_map(|id| self.deliveries.get(id))
    }

    /// Every delivery of an operation, oldest first.
    fn of(&self, operation: OperationId) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values().filter(move |delivery| delivery.operation == operation)
    }
}

/// The consumers of deliveries, each once.
fn consumers_of<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Vec<String> {
    let names: BTreeSet<_> = deliveries.into_iter().map(|delivery| delivery.consumer.clone()).collect();
    names.into_iter().collect()
}

impl Store for MemoryStore {
    fn accept(&self, accept: Accept) -> Answer<'_, Accepted> {
        self.answer(|tables| tables.accept(accept))
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Claims> {
        self.answer(move |tables| tables.claim(&claim))
    }

    fn settle(&self, settle: Settle) -> Answer<'_, Settled> {
        self.answer(move |tables| tables.settle(&settle))
    }

    fn extend(&self, delivery: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Answer<'_, ()> {
        self.answer(move |tables| tables.extend(delivery, fence, lease, now))
    }

    fn report(&self, delivery: DeliveryId, fence: u64, progress: ProgressReport, now: Timestamp) -> Answer<'_, ()> {
        self.answer(move |tables| tables.report(delivery, fence, progress, now))
    }

    fn remember(&self, step: Step) -> Answer<'_, ()> {
        self.answer(|tables| tables.remember(step))
    }

    fn steps(&self, delivery: DeliveryId) -> Answer<'_, Vec<(String, Vec<u8>)>> {
        self.answer(move |tables| Ok(tables.steps(delivery)))
    }

    fn cancel(&self, operation: OperationId, now: Timestamp) -> Answer<'_, Stopped> {
        self.answer(move |tables| tables.cancel(operation, now))
    }

    fn retry(&self, what: DeadLetters, now: Timestamp) -> Answer<'_, Stopped> {
        self.answer(move |tables| tables.retry(what, now))
    }

    fn discard(&self, delivery: DeliveryId, now: Timestamp) -> Answer<'_, Stopped> {
        self.answer(move |tables| tables.discard(delivery, now))
    }

    fn pause(&self, what: Pausable, closure: Closure) -> Answer<'_, ()> {
        self.answer(move |tables| tables.pause(&what, closure))
    }

    fn resume(&self, what: Pausable, now: Timestamp) -> Answer<'_, bool> {
        self.answer(move |tables| tables.resume(&what, now))
    }

    fn change_limit(&self, limit: String, change: Option<LimitChange>) -> Answer<'_, LimitView> {
        self.answer(move |tables| tables.change_limit(&limit, change))
    }

    fn permit(&self, permit: Permit) -> Answer<'_, Permitted> {
        self.answer(move |tables| tables.permit(&permit))
    }

    fn give_back(&self, hold: HoldId) -> Answer<'_, Vec<String>> {
        self.answer(move |tables| match hold.permit == 0 && !tables.turnstile.lingers(hold) {
            true => Ok(Vec::new()),
            false => Ok(tables.turnstile.left(hold, None)),
        })
    }

    fn shift(&self, micros: i64, now: Timestamp) -> Answer<'_, ()> {
        self.answer(move |tables| {
            tables.shift(micros, now);
            Ok(())
        })
    }

    fn register(&self, register: Register) -> Answer<'_, Registered> {
        self.answer(move |tables| tables.register(&register))
    }

    fn heartbeat(&self, node: NodeId, now: Timestamp, _: Option<Uptime>) -> Answer<'_, Vec<(String, Closure)>> {
        self.answer(move |tables| {
            tables.heartbeat(node, now);
            Ok(tables.shut_gates(now))
        })
    }

    fn rescue(&self, me: NodeId, lease: Duration, now: Timestamp) -> Answer<'_, Vec<Rescued>> {
        self.answer(move |tables| tables.rescue(me, lease, now))
    }

    fn prune(&self, before: Timestamp, now: Timestamp, max: usize) -> Answer<'_, usize> {
        self.answer(move |tables| Ok(tables.prune(before, now, max)))
    }

    fn operation(&self, id: OperationId) -> Answer<'_, OperationView> {
        self.answer(move |tables| tables.operation(id).map(|operation| tables.view(operation)))
    }

    fn results(&self, id: OperationId) -> Answer<'_, Vec<ConsumerResult>> {
        self.answer(move |tables| tables.results(id))
    }

    fn operations(&self, filter: OperationFilter, page: Page) -> Answer<'_, Listing<OperationView>> {
        self.answer(move |tables| Ok(tables.operations(&filter, page)))
    }

    fn chain(&self, id: OperationId) -> Answer<'_, Chain> {
        self.answer(move |tables| tables.chain(id))
    }

    fn items(&self, id: OperationId, after: Option<i64>, size: usize) -> Answer<'_, Listing<Item>> {
        self.answer(move |tables| tables.items(id, after, size))
    }

    fn groups(&self, id: OperationId) -> Answer<'_, Vec<GroupCount>> {
        self.answer(move |tables| tables.groups(id))
    }

    fn standing(&self, groups: Vec<(String, String)>, now: Timestamp) -> Answer<'_, Vec<Standing>> {
        self.answer(move |tables| {
            let standing = |(consumer, group): &(String, String)| tables.turnstile.standing(consumer, group, now);
            Ok(groups.iter().map(standing).collect())
        })
    }

    fn limits(&self, now: Timestamp) -> Answer<'_, Vec<LimitView>> {
        self.answer(move |tables| Ok(tables.turnstile.limits(now)))
    }

    fn delivery(&self, id: DeliveryId) -> Answer<'_, DeliveryView> {
        self.answer(move |tables| tables.delivery_view(id))
    }

    fn dead_letters(&self, page: Page) -> Answer<'_, Listing<DeadLetter>> {
        self.answer(move |tables| tables.dead_letters(page))
    }

    fn notifications(&self, query: NotificationQuery) -> Answer<'_, Listing<Notification>> {
        self.answer(move |tables| Ok(tables.notifications(&query)))
    }

    fn read(&self, id: NotificationId, now: Timestamp) -> Answer<'_, Notification> {
        self.answer(move |tables| tables.read(id, now))
    }

    fn consumers(&self, now: Timestamp) -> Answer<'_, Vec<ConsumerView>> {
        self.answer(move |tables| Ok(tables.consumers(now)))
    }

    fn observe(&self, observations: Vec<Observation>, keep: Day) -> Answer<'_, ()> {
        self.answer(move |tables| {
            tables.observe(observations, keep);
            Ok(())
        })
    }

    fn observed(&self, since: Day) -> Answer<'_, Vec<Observation>> {
        self.answer(move |tables| Ok(tables.observed(since)))
    }

    fn health(&self) -> Health {
        let tables = self.lock();
        let backlog = (tables.live.len() + tables.unrouted.len()) as u64;
        Health { backlog, writable: true, away: false, full: false }
    }
}

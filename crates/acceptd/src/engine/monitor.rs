//! The monitor: an operation as its caller sees it, with what it waits for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::delivery::State;
use crate::engine::Engine;
use crate::engine::gate::{self, Circumstances, WaitingOn};
use crate::engine::outlook::Load;
use crate::store::{GroupCount, OperationView, Standing};
use crate::wait::Held;
use crate::{
    Closure, Delivery, DeliveryId, Failure, Gate, Operation, OperationId, ProgressReport, Result, Route, Status, Timestamp,
};

/// An operation with everything its caller may want to know now.
#[derive(Debug, Clone)]
pub struct Monitor {
    /// The operation.
    pub operation: Operation,
    /// Where it stands.
    pub status: Status,
    /// What waits, by consumer and gate.
    pub waiting_on: Vec<WaitingOn>,
    /// From 0 to 100.
    pub percent: u8,
    /// What is going on, as the handler that reported last says it.
    pub message: Option<String>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
    /// When what is known of it will have ended, as far as that can be reckoned from rates, slots, the queue and how
    /// long attempts took so far.
    pub estimated_end: Option<Timestamp>,
}

/// Groups of a monitor whose position is asked for at most.
const POSITIONS_MAX: usize = 16;

/// What holds groups, by consumer and group.
pub(crate) type Standings = BTreeMap<(String, String), Standing>;

/// Deliveries of an operation that wait for the same.
pub(crate) struct Group<'a> {
    pub(crate) gate: Gate,
    pub(crate) first: Delivery,
    pub(crate) count: u64,
    pub(crate) standing: Option<&'a Standing>,
    pub(crate) closure: Option<Closure>,
}

impl Group<'_> {
    fn is_of(&self, delivery: &Delivery) -> bool {
        self.first.consumer == delivery.consumer && self.first.lane.group == delivery.lane.group
    }

    fn is(&self, count: &GroupCount) -> bool {
        self.first.consumer == count.consumer && self.first.lane.group == count.group
    }
}

impl Engine {
    /// Where an operation stands.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn monitor(&self, id: OperationId) -> Result<Monitor> {
        let view = self.0.store.operation(id).await?;
        self.explain(view).await
    }

    /// Explains an operation that was read before, with the positions of what waits and when it will have ended.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn explain(&self, view: OperationView) -> Result<Monitor> {
        let standings = self.standings(view.live.iter()).await?;
        let (mut monitor, groups) = self.summarize(&view, &standings);
        let counts = self.counts(&view).await?;
        let mut load = Load::default();
        for group in groups {
            let counted = counts.iter().find(|count| group.is(count)).map_or(group.count, |count| count.waiting);
            let asks = matches!(group.gate, Gate::Capacity | Gate::Limit | Gate::Lock) && load.asked < POSITIONS_MAX;
            let ahead = match asks {
                true => self.0.store.delivery(group.first.id).await.map(|view| view.ahead).ok(),
                false => None,
            };
            load.asked += usize::from(asks);
            load.wait(self, &group, counted, ahead);
            monitor.waiting_on.push(self.explain_group(&group, counted, ahead));
        }
        monitor.estimated_end = load.end(self, &view);
        Ok(monitor)
    }

    /// Explains operations that were read before, without the position of what waits.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn explain_all(&self, views: Vec<OperationView>) -> Result<Vec<Monitor>> {
        let standings = self.standings(views.iter().flat_map(|view| &view.live)).await?;
        let explain = |view: OperationView| {
            let (mut monitor, groups) = self.summarize(&view, &standings);
            monitor.waiting_on.extend(groups.iter().map(|group| self.explain_group(group, group.count, None)));
            monitor
        };
        Ok(views.into_iter().map(explain).collect())
    }

    /// The monitor of an operation that was accepted just now: everything of it waits.
    pub(crate) fn new_monitor(&self, view: &OperationView, woken: &[String], due: Timestamp) -> Monitor {
        let (mut monitor, _) = self.summarize(view, &Standings::default());
        let operation = &monitor.operation;
        let nil = uuid::Uuid::nil();
        let explain = |name: &String| {
            let first = Delivery::new(nil.into(), operation, nil.into(), &Route::to(name), (due, operation.created));
            self.explain_group(&self.group(first, None), 1, None)
        };
        let waits: Vec<_> = woken.iter().map(explain).collect();
        monitor.waiting_on.extend(waits);
        monitor.estimated_end = self.end_of_new(woken, due);
        monitor
    }

    /// What holds each group of these deliveries that has limits.
    pub(crate) async fn standings<'a>(&self, live: impl Iterator<Item = &'a Delivery>) -> Result<Standings> {
        let has_limits = |name: &str| self.0.served.get(name).is_some_and(|served| !served.policy().limits.is_empty());
        let waiting = live.filter(|one| one.state == State::Waiting && has_limits(&one.consumer));
        let groups: BTreeSet<_> = waiting.map(|one| (one.consumer.clone(), one.lane.group.clone())).collect();
        if groups.is_empty() {
            return Ok(Standings::default());
        }
        let groups: Vec<_> = groups.into_iter().collect();
        let standings = self.0.store.standing(groups.clone(), self.now()).await?;
        Ok(groups.into_iter().zip(standings).collect())
    }

    /// The limit that holds each of these deliveries now, of those that wait for one.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn held(&self, deliveries: &[Delivery]) -> Result<HashMap<DeliveryId, Held>> {
        let standings = self.standings(deliveries.iter()).await?;
        let held = |delivery: &Delivery| {
            let standing = standings.get(&(delivery.consumer.clone(), delivery.lane.group.clone()))?;
            let limit = &standing.blocker.as_ref()?.limit;
            Some((delivery.id, Held { gate: limit.gate(), limit: limit.name.clone() }))
        };
        let waiting = deliveries.iter().filter(|delivery| delivery.state == State::Waiting);
        Ok(waiting.filter_map(held).collect())
    }

    /// How much of an operation waits in each group, where its list of live deliveries is cut off.
    async fn counts(&self, view: &OperationView) -> Result<Vec<GroupCount>> {
        let live = view.operation.tracked.live() + view.operation.untracked.live();
        match live as usize > view.live.len() {
            true => self.0.store.groups(view.operation.id).await,
            false => Ok(Vec::new()),
        }
    }

    fn summarize<'a>(&self, view: &'a OperationView, standings: &'a Standings) -> (Monitor, Vec<Group<'a>>) {
        let status = view.status();
        let OperationView { operation, live } = view;
        let mut groups: Vec<Group<'_>> = Vec::new();
        for delivery in live.iter().filter(|delivery| delivery.state == State::Waiting) {
            let standing = standings.get(&(delivery.consumer.clone(), delivery.lane.group.clone()));
            let group = self.group(delivery.clone(), standing);
            match groups.iter_mut().find(|other| other.gate == group.gate && other.is_of(delivery)) {
                Some(other) => other.count += 1,
                None => groups.push(group),
            }
        }
        let mut unrouted = Vec::new();
        if operation.unrouted > 0 {
            unrouted.push(gate::explain_unrouted(&operation.kind, operation.unrouted, operation.created));
        }
        let failure = crate::store::plan::shown_failure(operation).cloned().filter(|_| status == Status::Failed);
        let message = live.iter().rev().find_map(|delivery| delivery.progress.as_ref()?.message.clone());
        let percent = percent(operation, status, live);
        let operation = operation.clone();
        let monitor =
            Monitor { operation, status, waiting_on: unrouted, percent, message, failure, estimated_end: None };
        (monitor, groups)
    }

    /// A group of waiting deliveries by its first, with the gate that holds it.
    fn group<'a>(&self, first: Delivery, standing: Option<&'a Standing>) -> Group<'a> {
        let closure = self.closure(&first.consumer);
        let mut group = Group { gate: Gate::Capacity, first, count: 1, standing, closure };
        group.gate = gate::gate(&group.first, &self.circumstances(&group, None), self.now());
        group
    }

    fn circumstances<'a>(&self, group: &'a Group<'_>, left: Option<Duration>) -> Circumstances<'a> {
        let served = self.0.served.get(&group.first.consumer);
        Circumstances {
            served: served.is_some(),
            running: served.map_or(0, |served| served.running()),
            slots: served.map_or(0, |served| served.slots()),
            closure: group.closure.as_ref(),
            blocker: group.standing.and_then(|standing| standing.blocker.as_ref()),
            left,
        }
    }

    fn explain_group(&self, group: &Group<'_>, count: u64, ahead: Option<usize>) -> WaitingOn {
        let left = ahead.filter(|ahead| *ahead <= 1_000).and_then(|ahead| self.time_to_start(group, ahead));
        gate::explain(&group.first, count, ahead, &self.circumstances(group, left), self.now())
    }

    /// Explains one waiting delivery that was read before, with its position.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn explain_delivery(&self, delivery: &Delivery, ahead: Option<usize>) -> Result<WaitingOn> {
        let standings = self.standings(std::iter::once(delivery)).await?;
        let standing = standings.get(&(delivery.consumer.clone(), delivery.lane.group.clone()));
        Ok(self.explain_group(&self.group(delivery.clone(), standing), 1, ahead))
    }
}

/// Ended deliveries count whole, running ones as far as they report, of all that decide the operation.
fn percent(operation: &Operation, status: Status, live: &[Delivery]) -> u8 {
    let tally = operation.deciding();
    if status == Status::Succeeded || tally.total == 0 {
        return if status.is_done() { 100 } else { 0 };
    }
    let ended = f64::from(tally.total - tally.live());
    let part = |report: &ProgressReport| match report.total {
        0 => 0.0,
        total => (report.done.min(total) as f64) / (total as f64),
    };
    let parts: f64 = live.iter().filter_map(|delivery| delivery.progress.as_ref()).map(part).sum();
    // The last percent belongs to the end itself.
    (((ended + parts) / f64::from(tally.total) * 100.0).floor() as u8).min(99)
}

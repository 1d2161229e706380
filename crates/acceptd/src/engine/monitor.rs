//! The monitor: an operation as its caller sees it, with what it waits for.

use std::time::Duration;

use crate::delivery::State;
use crate::engine::Engine;
use crate::engine::gate::{self, Circumstances};
use crate::engine::group::{Group, Standings, merged, place};
use crate::engine::outlook::Load;
use crate::store::OperationView;
use crate::wait::WaitingOn;
use crate::{Delivery, Failure, Gate, Operation, OperationId, ProgressReport, Result, Route, Status, Timestamp};

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
    /// When what is known of it will have ended, as far as that can be reckoned from rates, slots, who waits and how
    /// long attempts took so far.
    pub estimated_end: Option<Timestamp>,
}

/// Groups of a monitor whose position is asked for at most.
const POSITIONS_MAX: usize = 16;

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
        let counts = self.counts(&view).await?;
        let counted = counts.iter().map(|count| (count.consumer.as_str(), count.group.as_str()));
        let standings = self.standings(waiting(&view).map(place).chain(counted)).await?;
        let mut monitor = self.summarize(&view);
        let groups = self.gather(&view, &counts, &standings);
        let mut load = Load::default();
        groups.iter().for_each(|group| load.wait(self, group));
        let mut asked = 0;
        for (group, count) in merged(&groups) {
            let asks = matches!(group.gate, Gate::Capacity | Gate::Limit | Gate::Lock) && asked < POSITIONS_MAX;
            let ahead = match asks && group.is_listed() {
                true => self.0.store.delivery(group.first.id).await.map(|view| group.position(view.ahead)).ok(),
                false => None,
            };
            asked += usize::from(asks);
            load.stand_behind(group, ahead);
            monitor.waiting_on.push(self.explain_group(group, count, ahead));
        }
        monitor.estimated_end = load.end(self, &view);
        Ok(monitor)
    }

    /// Explains operations that were read before, without the position of what waits.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn explain_all(&self, views: Vec<OperationView>) -> Result<Vec<Monitor>> {
        let standings = self.standings(views.iter().flat_map(waiting).map(place)).await?;
        let explain = |view: OperationView| {
            let mut monitor = self.summarize(&view);
            let groups = self.gather(&view, &[], &standings);
            let explained = merged(&groups).into_iter().map(|(group, count)| self.explain_group(group, count, None));
            monitor.waiting_on.extend(explained);
            monitor
        };
        Ok(views.into_iter().map(explain).collect())
    }

    /// The monitor of an operation that was accepted just now: everything of it waits.
    pub(crate) fn new_monitor(&self, view: &OperationView, woken: &[String], due: Timestamp) -> Monitor {
        let (mut monitor, standings) = (self.summarize(view), Standings::default());
        let operation = &monitor.operation;
        let nil = uuid::Uuid::nil();
        let explain = |name: &String| {
            let first = Delivery::new(nil.into(), operation, nil.into(), &Route::to(name), (due, operation.created));
            self.explain_group(&self.group(first, &standings), 1, None)
        };
        let waits: Vec<_> = woken.iter().map(explain).collect();
        monitor.waiting_on.extend(waits);
        monitor.estimated_end = self.end_of_new(woken, due);
        monitor
    }

    fn summarize(&self, view: &OperationView) -> Monitor {
        let status = view.status();
        let OperationView { operation, live } = view;
        let mut waiting_on = Vec::new();
        if operation.unrouted > 0 {
            waiting_on.push(gate::explain_unrouted(&operation.kind, operation.unrouted, operation.created));
        }
        let failure = crate::store::plan::shown_failure(operation).cloned().filter(|_| status == Status::Failed);
        let message = live.iter().rev().find_map(|delivery| delivery.progress.as_ref()?.message.clone());
        let percent = percent(operation, status, live);
        let operation = operation.clone();
        Monitor { operation, status, waiting_on, percent, message, failure, estimated_end: None }
    }

    pub(crate) fn circumstances<'a>(&self, group: &'a Group<'_>, left: Option<Duration>) -> Circumstances<'a> {
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
        let standings = self.standings(std::iter::once(place(delivery))).await?;
        let group = self.group(delivery.clone(), &standings);
        Ok(self.explain_group(&group, 1, ahead.map(|ahead| group.position(ahead))))
    }
}

fn waiting(view: &OperationView) -> impl Iterator<Item = &Delivery> {
    view.live.iter().filter(|delivery| delivery.state == State::Waiting)
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

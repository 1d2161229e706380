//! The monitor: an operation as its caller sees it, with what it waits for.

use crate::delivery::State;
use crate::engine::Engine;
use crate::engine::gate::{self, Standing, WaitingOn};
use crate::store::OperationView;
use crate::{
    Delivery, Failure, Gate, Operation, OperationId, ProgressReport, Result, Route, Status, Timestamp, Weight,
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

    /// Explains an operation that was read before, with the position of what waits.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn explain(&self, view: OperationView) -> Result<Monitor> {
        let (mut monitor, waits) = self.summarize(view);
        for (waiting, delivery) in waits {
            let ahead = match waiting.gate {
                Gate::Capacity => self.0.store.delivery(delivery.id).await.map(|view| view.ahead).ok(),
                _ => None,
            };
            monitor.waiting_on.push(self.explain_delivery(&delivery, waiting.count, ahead));
        }
        Ok(monitor)
    }

    /// Explains operations that were read before, without the position of what waits.
    pub fn explain_all(&self, views: Vec<OperationView>) -> Vec<Monitor> {
        let explain = |view| {
            let (mut monitor, waits) = self.summarize(view);
            monitor.waiting_on.extend(waits.into_iter().map(|(waiting, _)| waiting));
            monitor
        };
        views.into_iter().map(explain).collect()
    }

    /// The monitor of an operation that was accepted just now: everything of it waits.
    pub(crate) fn new_monitor(&self, view: OperationView, woken: &[String], due: Timestamp) -> Monitor {
        let (mut monitor, _) = self.summarize(view);
        let operation = &monitor.operation;
        let nil = uuid::Uuid::nil();
        let explain = |name: &String| {
            let route = Route { consumer: name.clone(), weight: Weight::Tracked };
            let times = (due, operation.created);
            self.explain_delivery(&Delivery::new(nil.into(), operation, nil.into(), &route, times), 1, None)
        };
        let waits: Vec<_> = woken.iter().map(explain).collect();
        monitor.waiting_on.extend(waits);
        monitor
    }

    fn summarize(&self, view: OperationView) -> (Monitor, Vec<(WaitingOn, Delivery)>) {
        let status = view.status();
        let OperationView { operation, live } = view;
        let mut groups: Vec<(Gate, Delivery, u64)> = Vec::new();
        for delivery in live.iter().filter(|delivery| delivery.state == State::Waiting) {
            let gate = self.explain_delivery(delivery, 1, None).gate;
            match groups.iter_mut().find(|(g, first, _)| *g == gate && first.consumer == delivery.consumer) {
                Some((_, _, count)) => *count += 1,
                None => groups.push((gate, delivery.clone(), 1)),
            }
        }
        if let [(_, _, count)] = groups.as_mut_slice() {
            // A long list of live deliveries is cut off; the tally is not.
            let running = live.iter().filter(|delivery| delivery.state == State::Running).count() as u64;
            let unended = u64::from(operation.tracked.live() + operation.untracked.live());
            *count = unended.saturating_sub(running).max(*count);
        }
        let waits = groups.into_iter().map(|(_, first, count)| {
            let waiting = self.explain_delivery(&first, count, None);
            (waiting, first)
        });
        let waits = waits.collect();
        let mut unrouted = Vec::new();
        if operation.unrouted > 0 {
            unrouted.push(gate::explain_unrouted(&operation.kind, operation.unrouted, operation.created));
        }
        let failure = crate::store::plan::shown_failure(&operation).cloned().filter(|_| status == Status::Failed);
        let message = live.iter().rev().find_map(|delivery| delivery.progress.as_ref()?.message.clone());
        let percent = percent(&operation, status, &live);
        (Monitor { operation, status, waiting_on: unrouted, percent, message, failure }, waits)
    }

    /// Explains `count` waiting deliveries that wait for the same gate, by the first of them.
    pub fn explain_delivery(&self, delivery: &Delivery, count: u64, ahead: Option<usize>) -> WaitingOn {
        let dispatcher = self.0.dispatchers.get(&delivery.consumer);
        let closure = self.closure(&delivery.consumer);
        let standing = Standing {
            served: dispatcher.is_some(),
            running: dispatcher.map_or(0, |dispatcher| dispatcher.running()),
            concurrency: dispatcher.map_or(0, |dispatcher| dispatcher.consumer().concurrency),
            closure: closure.as_ref(),
        };
        gate::explain(delivery, count, ahead, &standing, self.now())
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

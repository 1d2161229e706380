//! Settling an attempt, and what may happen while it runs: extend, report, remember.

use super::{Tables, consumers_of};
use crate::delivery::{Action, transition};
use crate::operation::Status;
use crate::store::plan::{self, Change};
use crate::store::{Settle, Settled, Step, Verdict};
use crate::{Closure, Delivery, DeliveryId, Error, Gate, NotificationId, ProgressReport, Result, Timestamp};

/// What writing a change comes to, for the answers.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) ended: Option<Status>,
    pub(super) woken: Vec<String>,
    pub(super) notified: Vec<NotificationId>,
}

impl Tables {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Settled> {
        let delivery = self.delivery(settle.delivery)?.clone();
        let operation = self.operation(delivery.operation)?.clone();
        let events = &self.events;
        let cause = || events.get(&delivery.event).cloned().ok_or_else(|| Error::not_found("event", delivery.event));
        let change = plan::settle(settle, &delivery, operation, cause, &mut self.ids)?;
        let delivery = change.delivery.clone();
        let Applied { ended, woken, notified } = self.apply(change);
        if let Verdict::Throttled { due, failure } = &settle.verdict {
            let by = "target".to_owned();
            let reason = failure.message.clone();
            let closure = Closure { gate: Gate::Pause, from: settle.now, until: Some(*due), by, reason };
            self.shut(&delivery.consumer, closure);
        }
        Ok(Settled { delivery, ended, woken, notified })
    }

    /// Writes what a plan says.
    pub(super) fn apply(&mut self, change: Change) -> Applied {
        let applied = Applied {
            ended: change.operation.ended.filter(|_| change.concluded).map(|(status, _)| status),
            woken: consumers_of(&change.deliveries),
            notified: change.notifications.iter().map(|notification| notification.id).collect(),
        };
        // A result is that of the last ending: a dead letter's kept outcome goes when it ends in another way.
        match change.result {
            Some(result) => self.results.insert(change.delivery.id, result),
            None => self.results.remove(&change.delivery.id),
        };
        if let Some(attempt) = change.attempt {
            self.attempts.insert((attempt.delivery, attempt.fence), attempt);
        }
        self.events.extend(change.events.into_iter().map(|event| (event.key, event)));
        self.notifications.extend(change.notifications.into_iter().map(|message| (message.id, message)));
        self.operations.insert(change.operation.id, change.operation);
        change.deliveries.into_iter().for_each(|delivery| self.put(delivery));
        self.put(change.delivery);
        applied
    }

    pub(super) fn extend(&mut self, id: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Result<()> {
        let next = self.extended(id, fence, lease, now)?;
        self.put(next);
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        id: DeliveryId,
        fence: u64,
        progress: ProgressReport,
        now: Timestamp,
    ) -> Result<()> {
        self.extended(id, fence, now, now)?;
        let mut delivery = self.delivery(id)?.clone();
        delivery.progress = Some(progress);
        if let Some(operation) = self.operations.get_mut(&delivery.operation) {
            operation.updated = now;
        }
        self.put(delivery);
        Ok(())
    }

    pub(super) fn remember(&mut self, step: Step) -> Result<()> {
        self.extended(step.delivery, step.fence, Timestamp::MAX, Timestamp::MAX)?;
        self.steps.entry((step.delivery, step.name)).or_insert(step.value);
        Ok(())
    }

    pub(super) fn steps(&self, delivery: DeliveryId) -> Vec<(String, Vec<u8>)> {
        let of_delivery = self.steps.iter().filter(|((of, _), _)| *of == delivery);
        of_delivery.map(|((_, name), value)| (name.clone(), value.clone())).collect()
    }

    /// The delivery with a lease of its own; asked also just to check the fence of a running attempt.
    fn extended(&self, id: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Result<Delivery> {
        let delivery = self.delivery(id)?;
        let extended = transition(delivery, &Action::Extend { fence, lease }, now);
        extended.map(|(next, _)| next).map_err(|refusal| plan::refused(delivery, refusal))
    }
}

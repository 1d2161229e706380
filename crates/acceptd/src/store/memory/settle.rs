//! Settling an attempt, and what may happen while it runs: extend, report, remember.

use super::{Tables, consumers_of};
use crate::delivery::{Action, transition};
use crate::operation::{Operation, Status};
use crate::store::plan::{self, Change};
use crate::store::turnstile::Wish;
use crate::store::{HoldId, KeyRef, Settle, Settled, Step};
use crate::{Closure, Delivery, DeliveryId, Error, NotificationId, ProgressReport, Result, Timestamp};

/// What writing a change comes to, for the answers.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) ended: Option<Status>,
    pub(super) kind: Option<String>,
    pub(super) woken: Vec<String>,
    pub(super) notified: Vec<NotificationId>,
}

impl Tables {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Settled> {
        let before = self.delivery(settle.delivery)?.clone();
        let delivery = &before;
        let operation = self.operation(delivery.operation)?.clone();
        let events = &self.events;
        let cause = || events.get(&delivery.event).cloned().ok_or_else(|| Error::not_found("event", delivery.event));
        let change = plan::settle(settle, delivery, operation, cause, &mut self.ids)?;
        let delivery = change.delivery.clone();
        let permits = self.turnstile.keys_of_permits(HoldId::of(&before));
        let Applied { ended, kind, woken, notified } = self.apply(change, settle.now);
        if let Some((limit, throttled)) = plan::lesson(settle) {
            self.learn((&before, permits), limit, throttled, settle.now);
        }
        Ok(Settled { delivery, ended, kind, woken, notified })
    }

    /// What a target said of its limits: those that the delivery took, or else its consumer, are left alone.
    fn learn(
        &mut self,
        (before, permits): (&Delivery, Vec<KeyRef>),
        limit: Option<&str>,
        throttled: Option<(Closure, Wish)>,
        now: Timestamp,
    ) {
        let takes_limits = self.turnstile.policy(&before.consumer).is_some_and(|policy| !policy.limits.is_empty());
        let is_declared = limit.is_some_and(|limit| self.turnstile.declared(limit).is_some());
        if takes_limits || is_declared {
            let limit = limit.filter(|_| is_declared);
            self.turnstile.learn(
                (before, permits),
                limit,
                throttled.as_ref().map(|(closure, wish)| (closure, *wish)),
                now,
            );
        } else if let Some((closure, _)) = throttled {
            self.shut(&before.consumer, closure);
        }
    }

    /// Writes what a plan says.
    pub(super) fn apply(&mut self, change: Change, now: Timestamp) -> Applied {
        let mut applied = Applied {
            ended: change.operation.ended.filter(|_| change.concluded).map(|(status, _)| status),
            kind: change.concluded.then(|| change.operation.kind.clone()),
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
        if change.concluded {
            applied.woken.extend(self.announce(&change.operation, now));
        }
        self.operations.insert(change.operation.id, change.operation);
        for delivery in change.deliveries {
            self.put(delivery);
        }
        applied.woken.extend(self.put_lingering(change.delivery, change.lingers));
        applied.woken.sort_unstable();
        applied.woken.dedup();
        applied
    }

    /// Tells consumers of an operation's end. Answers who they are.
    pub(super) fn announce(&mut self, ended: &Operation, now: Timestamp) -> Vec<String> {
        match plan::announce(ended, &self.takers, now, &mut self.ids) {
            Some(new) => self.add(new, now),
            None => Vec::new(),
        }
    }

    pub(super) fn extend(&mut self, id: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Result<()> {
        let next = self.extended(id, fence, lease, now)?;
        self.keep(next);
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
        self.keep(delivery);
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

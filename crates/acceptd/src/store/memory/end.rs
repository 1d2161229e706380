//! What people do to operations and dead letters: cancel, retry, discard.

use super::{Tables, consumers_of};
use crate::delivery::{Action, State};
use crate::store::{DeadLetters, KEPT_OUTCOME, Stopped, plan};
use crate::{Delivery, DeliveryId, Error, ErrorKind, NotificationId, OperationId, Result, Timestamp};

impl Tables {
    pub(super) fn cancel(&mut self, id: OperationId, now: Timestamp) -> Result<Stopped> {
        if let Some((status, _)) = self.operation(id)?.ended {
            return Err(Error::new(ErrorKind::Conflict, format!("operation {id} has ended: {}", status.as_str())));
        }
        let live: Vec<_> = self.live().filter(|delivery| delivery.operation == id).cloned().collect();
        let running = live.iter().filter(|delivery| delivery.state == State::Running).map(|one| one.id).collect();
        let (mut notified, mut woken) = self.act_on(&live, &Action::Cancel, now)?;
        let (operation, notifications) = match self.operation(id)? {
            operation if operation.unrouted == 0 => (operation.clone(), Vec::new()),
            operation => plan::abandon(operation.clone(), now, &mut self.ids),
        };
        notified.extend(notifications.iter().map(|notification| notification.id));
        self.notifications.extend(notifications.into_iter().map(|message| (message.id, message)));
        let was_open = self.operation(id)?.ended.is_none();
        if was_open && operation.ended.is_some() {
            woken.extend(self.announce(&operation, now));
        }
        self.operations.insert(id, operation);
        let events = &self.events;
        self.unrouted.retain(|key, _| events.get(key).is_some_and(|event| event.operation != id));
        self.stopped(id, running, woken, notified)
    }

    pub(super) fn retry(&mut self, what: DeadLetters, now: Timestamp) -> Result<Stopped> {
        let (operation, dead) = match what {
            DeadLetters::Delivery(id) | DeadLetters::Outcome(id) => {
                (self.delivery(id)?.operation, vec![self.delivery(id)?.clone()])
            }
            DeadLetters::Operation(id) => {
                self.operation(id)?;
                (id, self.of(id).filter(|delivery| delivery.state == State::Dead).cloned().collect())
            }
        };
        if dead.is_empty() {
            return Err(Error::new(ErrorKind::Conflict, format!("operation {operation} has no dead letter")));
        }
        let kept = match what {
            DeadLetters::Outcome(id) => Some(self.results.get(&id).cloned().ok_or_else(|| plan::no_outcome(id))?),
            DeadLetters::Delivery(_) | DeadLetters::Operation(_) => None,
        };
        let (notified, mut woken) = self.act_on(&dead, &Action::Revive, now)?;
        for delivery in &dead {
            let step = (delivery.id, KEPT_OUTCOME.to_owned());
            match &kept {
                Some(outcome) => drop(self.steps.insert(step, outcome.bytes.to_vec())),
                None => drop(self.steps.remove(&step)),
            }
        }
        woken.extend(consumers_of(&dead));
        self.stopped(operation, Vec::new(), woken, notified)
    }

    pub(super) fn discard(&mut self, id: DeliveryId, now: Timestamp) -> Result<Stopped> {
        let dead = self.delivery(id)?.clone();
        let (notified, woken) = self.act_on(std::slice::from_ref(&dead), &Action::Discard, now)?;
        self.stopped(dead.operation, Vec::new(), woken, notified)
    }

    /// Does the same to each of the deliveries. Callers pass only deliveries that allow it, or just one.
    fn act_on(
        &mut self,
        deliveries: &[Delivery],
        action: &Action,
        now: Timestamp,
    ) -> Result<(Vec<NotificationId>, Vec<String>)> {
        let (mut notified, mut woken) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            let operation = self.operation(delivery.operation)?.clone();
            let change = plan::act(action, delivery, operation, now, &mut self.ids)?;
            let applied = self.apply(change, now);
            notified.extend(applied.notified);
            woken.extend(applied.woken);
        }
        Ok((notified, woken))
    }

    fn stopped(
        &self,
        operation: OperationId,
        running: Vec<DeliveryId>,
        mut woken: Vec<String>,
        notified: Vec<NotificationId>,
    ) -> Result<Stopped> {
        woken.sort_unstable();
        woken.dedup();
        Ok(Stopped { operation: self.view(self.operation(operation)?), running, woken, notified })
    }
}

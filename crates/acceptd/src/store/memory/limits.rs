//! Limits: pause, resume and change them, permits within attempts, and the clock being set.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tables;
use crate::delivery::{Action, State, transition};
use crate::limit::LimitChange;
use crate::store::turnstile::{self, Head};
use crate::store::{LimitView, Pausable, Permit, Permitted, plan};
use crate::{Closure, Error, Gate, Result, Timestamp};

impl Tables {
    pub(super) fn pause(&mut self, what: &Pausable, closure: Closure) -> Result<()> {
        match what {
            Pausable::Consumer(consumer) => self.shut(consumer, closure),
            Pausable::Limit { limit, key } => {
                self.declared(limit)?;
                self.turnstile.pause(limit, key.as_deref(), closure);
            }
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, what: &Pausable, now: Timestamp) -> Result<bool> {
        match what {
            Pausable::Consumer(consumer) => Ok(self.open(consumer, now)),
            Pausable::Limit { limit, key } => {
                self.declared(limit)?;
                Ok(self.turnstile.resume(limit, key.as_deref(), now))
            }
        }
    }

    pub(super) fn change_limit(&mut self, limit: &str, change: Option<LimitChange>) -> Result<LimitView> {
        self.declared(limit)?;
        let now = change.as_ref().map_or(Timestamp::default(), |change| change.at);
        self.turnstile.set_change(limit, change);
        self.turnstile.limit(limit, now).ok_or_else(|| Error::not_found("limit", limit))
    }

    pub(super) fn permit(&mut self, permit: &Permit) -> Result<Permitted> {
        self.declared(&permit.key.limit)?;
        let delivery = self.delivery(permit.delivery)?;
        // Extending checks the fence of a running attempt; it is not stored.
        let action = Action::Extend { fence: permit.fence, lease: permit.now };
        transition(delivery, &action, permit.now).map_err(|refusal| plan::refused(delivery, refusal))?;
        let delivery = delivery.clone();
        Ok(match self.turnstile.permit(&delivery, &permit.key, permit.now) {
            Ok((hold, grant)) => Permitted::Held { id: hold.id, grant },
            Err(again) => Permitted::Busy(again),
        })
    }

    pub(super) fn shift(&mut self, micros: i64, now: Timestamp) {
        let moved = |at: Timestamp| Timestamp::from_micros(at.as_micros().saturating_add(micros));
        for id in &self.live {
            if let Some(delivery) = self.deliveries.get_mut(id) {
                delivery.lease = delivery.lease.map(moved);
                delivery.deadline = delivery.deadline.map(moved);
                delivery.throttled_since = delivery.throttled_since.map(moved);
                // The due time of what was tried before is a wait from then on; that of the rest may be one that a
                // caller named.
                if delivery.state == State::Waiting && delivery.fence > 0 && !self.ready.contains(id) {
                    delivery.due = moved(delivery.due);
                }
            }
        }
        for closure in self.closures.values_mut().flatten().filter(|closure| closure.gate == Gate::Pause) {
            // What is over stays over.
            match closure.until {
                Some(until) if until <= now => {
                    (closure.from, closure.until) = (moved(closure.from), Some(moved(until)));
                }
                _ => turnstile::shift(closure, micros),
            }
        }
        self.turnstile.shift(micros);
    }

    fn declared(&self, limit: &str) -> Result<()> {
        self.turnstile.declared(limit).map(drop).ok_or_else(|| Error::not_found("limit", limit))
    }

    /// Tells the turnstile of everything that waits and runs, as if it had just been opened.
    pub(super) fn recall(&mut self) {
        self.turnstile.forget_order();
        let mut groups: BTreeMap<(&str, &str), (u64, Head)> = BTreeMap::new();
        for delivery in self.ready.iter().filter_map(|id| self.deliveries.get(id)) {
            let new = Head::of(delivery);
            let place = (delivery.consumer.as_str(), delivery.lane.group.as_str());
            let (count, head) = groups.entry(place).or_insert_with(|| (0, new.clone()));
            *count += 1;
            let turn = new.turn.min(Arc::clone(&head.turn));
            *head = Head { turn, priority: new.priority.max(head.priority), age: new.age.min(head.age) };
        }
        for ((consumer, group), (count, head)) in groups {
            self.turnstile.offer_many(consumer, group, count, head);
        }
        let running =
            self.live.iter().filter_map(|id| self.deliveries.get(id)).filter(|one| one.state == State::Running);
        for delivery in running {
            self.turnstile.hold(delivery);
        }
    }
}

//! The turnstile beside the rows: rebuilt from them at open and after a rollback, told of every change on the way.

use super::tables::Tables;
use super::{Book, Try, lock};
use crate::delivery::State;
use crate::store::turnstile::{Head, Hold, HoldId, KeyRow};
use crate::{Delivery, Timestamp};

/// Deliveries that get in line by one claim at most, when their time has come.
const PROMOTED_MAX: usize = 2_000;

/// Whether a delivery was due when it began to wait.
pub(in crate::store) fn is_due(delivery: &Delivery) -> bool {
    delivery.due <= delivery.since
}

impl<T: Tables> Book<T> {
    /// A delivery waits from now on.
    pub(super) fn get_in_line(&mut self, delivery: &Delivery, consumer: i64) {
        if is_due(delivery) {
            lock(&self.turnstile).offer(&delivery.consumer, &delivery.lane.group, Head::of(delivery));
        } else {
            self.names.note_due(consumer, delivery.due);
        }
    }

    /// Lets what is due now get in line. Answers when the next will be due.
    pub(super) fn promote(&mut self, consumer: i64, name: &str, now: Timestamp) -> Try<Option<Timestamp>, T> {
        if self.names.next_due(consumer).is_none_or(|due| due > now) {
            return Ok(self.names.next_due(consumer));
        }
        let due = self.tables.due(consumer, now, PROMOTED_MAX)?;
        self.tables.make_ready(&due)?;
        for one in due {
            let mut turnstile = lock(&self.turnstile);
            turnstile.offer(name, &one.group, one.head);
            turnstile.look_again(name, &one.group);
        }
        let next = self.tables.next_due(consumer)?;
        self.names.set_due(consumer, next);
        Ok(next)
    }

    /// An attempt left, or what waited changed: slots are free, or stay held for a while. Answers who may go on.
    pub(super) fn leave(
        &mut self,
        before: &Delivery,
        after: &Delivery,
        lingers: Option<Timestamp>,
    ) -> Try<Vec<String>, T> {
        let mut woken = Vec::new();
        let attempt = HoldId::of(before);
        if before.state == State::Running && after.state != State::Running {
            let permits = lock(&self.turnstile).permits(attempt);
            for permit in permits {
                self.tables.forget_hold(permit)?;
                woken.extend(lock(&self.turnstile).left(permit, None));
            }
            if let Some(until) = lingers {
                let keys = lock(&self.turnstile).keys_of(attempt).to_vec();
                let hold = Hold { until: Some(until), ..Hold::of(before) };
                keys.iter().try_for_each(|key| self.tables.put_hold(key, &hold))?;
            }
            woken.extend(lock(&self.turnstile).left(attempt, lingers));
        }
        if after.state == State::Waiting {
            let consumer = self.consumer(&after.consumer)?;
            self.get_in_line(after, consumer);
        }
        if after.lane.ordered && after.state != State::Running {
            lock(&self.turnstile).look_again(&after.consumer, &after.lane.group);
            woken.push(after.consumer.clone());
        }
        Ok(woken)
    }

    /// Writes what changed of limits' keys.
    pub(super) fn write_keys(&mut self) -> Try<(), T> {
        let dirty = lock(&self.turnstile).take_dirty();
        for (key, row) in dirty {
            match row == KeyRow::default() {
                true => self.tables.forget_key(&key)?,
                false => self.tables.put_key(&key, &row)?,
            }
        }
        Ok(())
    }

    /// Forgets slots that are held no longer, and keys of limits that say nothing any more.
    pub(in crate::store) fn sweep(&mut self, now: Timestamp) -> Try<(), T> {
        let idle = lock(&self.turnstile).sweep(now);
        idle.iter().try_for_each(|key| self.tables.forget_key(key))
    }
}

//! The book of a store that keeps its rows in a database: what each verb does, and what is remembered of the rows.
//!
//! Only one book writes at a time, so what it remembers is never older than the tables; after a rollback
//! [`Book::forget`] drops all of it. What a verb changes is decided in [`plan`], the rows are the
//! business of [`Tables`], and a database brings only those.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::delivery::{Attempt, State};
use crate::operation::{Operation, Status};
use crate::store::plan::{Change, NewOperation};
use crate::store::turnstile::Turnstile;
use crate::store::{Serving, plan};
use crate::{
    Data, Delivery, DeliveryId, Error, ErrorKind, EventKey, Ids, NotificationId, OperationId, StoredEvent, Timestamp,
    fault,
};

pub(super) mod accept;
pub(super) mod claim;
pub(super) mod control;
pub(super) mod end;
pub(super) mod limits;
mod line;
pub(super) mod names;
pub(super) mod settle;
pub(super) mod tables;
#[cfg(feature = "postgres")]
pub(super) mod take;

pub(super) use line::is_due;
use names::Names;
use tables::Tables;

/// Running deliveries and their operations that are remembered at most.
const REMEMBERED_MAX: usize = 20_000;

/// Why a command stopped.
#[derive(Debug)]
pub(super) enum Stop<F> {
    /// It was refused before it wrote anything.
    Refused(Error),
    /// It can't go on, and may have written something: nothing of it may stay.
    HalfWay(Error),
    /// The database failed, perhaps half way.
    Broken(F),
}

/// What a command comes to.
pub(super) type Try<X, T> = Result<X, Stop<<T as Tables>::Failure>>;

impl<F> From<Error> for Stop<F> {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The writer's view of the store.
pub(super) struct Book<T> {
    pub(super) tables: T,
    pub(super) ids: Ids,
    pub(super) names: Names,
    /// Deliveries that wait or run, with what this transaction changes.
    pub(super) backlog: i64,
    /// Who may start; shared with those who only look.
    pub(super) turnstile: Arc<Mutex<Turnstile>>,
    /// The consumers that take the ends of operations.
    takers: Vec<Serving>,
    /// The consumers that this node serves.
    pub(super) serving: Vec<Serving>,
    /// Rows that a planted bug keeps back until after the commit.
    deferred: Vec<(Vec<StoredEvent>, Vec<Delivery>)>,
    running: HashMap<i64, Delivery>,
    operations: HashMap<i64, Operation>,
}

/// What writing a change comes to, for the answers.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) delivery: Delivery,
    pub(super) attempt: Option<Attempt>,
    pub(super) ended: Option<Status>,
    pub(super) kind: Option<String>,
    pub(super) woken: Vec<String>,
    pub(super) notified: Vec<NotificationId>,
}

/// The turnstile, for as long as one look or change takes.
pub(super) fn lock(turnstile: &Mutex<Turnstile>) -> MutexGuard<'_, Turnstile> {
    turnstile.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Tables> Book<T> {
    /// A book of tables whose last ordinal and whose backlog are these.
    #[cfg(feature = "sqlite")]
    pub(super) fn open(tables: T, last: i64, backlog: i64, turnstile: Arc<Mutex<Turnstile>>) -> Try<Self, T> {
        let mut book = Self::unread(tables, turnstile);
        book.ids = Ids::after(last);
        book.forget(backlog)?;
        Ok(book)
    }

    /// A book that [`Book::forget`] reads before anything is asked of it.
    pub(super) fn unread(tables: T, turnstile: Arc<Mutex<Turnstile>>) -> Self {
        Self {
            tables,
            ids: Ids::after(0),
            names: Names::default(),
            backlog: 0,
            turnstile,
            takers: Vec::new(),
            serving: Vec::new(),
            deferred: Vec::new(),
            running: HashMap::new(),
            operations: HashMap::new(),
        }
    }

    /// Drops everything that a rollback may have made untrue; `backlog` is what it was before.
    pub(super) fn forget(&mut self, backlog: i64) -> Try<(), T> {
        self.backlog = backlog;
        self.deferred.clear();
        self.forget_rows();
        self.names = self.tables.names()?;
        self.load_turnstile()
    }

    /// Rows are read again.
    pub(super) fn forget_rows(&mut self) {
        self.running.clear();
        self.operations.clear();
    }

    /// Rebuilds the turnstile from the rows.
    pub(super) fn load_turnstile(&mut self) -> Try<(), T> {
        let mut turnstile = lock(&self.turnstile);
        // What was rolled back may be a limit or a policy.
        let records = turnstile.records();
        *turnstile = Turnstile::default();
        self.tables.load(&mut turnstile)?;
        if records {
            turnstile.record();
        }
        Ok(())
    }

    /// An operation as it stands.
    pub(super) fn operation(&mut self, id: OperationId) -> Try<Operation, T> {
        if let Some(operation) = self.operations.get(&id.ordinal()).filter(|operation| operation.id == id) {
            return Ok(operation.clone());
        }
        self.tables.operation(id)?.ok_or_else(|| Error::not_found("operation", id).into())
    }

    /// A delivery as it stands.
    pub(super) fn delivery(&mut self, id: DeliveryId) -> Try<Delivery, T> {
        if let Some(delivery) = self.running.get(&id.ordinal()).filter(|delivery| delivery.id == id) {
            return Ok(delivery.clone());
        }
        self.tables.delivery(id)?.ok_or_else(|| Error::not_found("delivery", id).into())
    }

    /// An event as it stands; without its data and extensions when only its place in the chain matters.
    pub(super) fn event(&mut self, key: EventKey, whole: bool) -> Try<StoredEvent, T> {
        self.tables.event(key, whole)?.ok_or_else(|| Error::not_found("event", key).into())
    }

    /// Remembers what a settle of a delivery that was just claimed will need.
    fn remember(&mut self, delivery: &Delivery, operation: Operation) {
        if self.running.len() >= REMEMBERED_MAX || self.operations.len() >= REMEMBERED_MAX {
            self.forget_rows();
        }
        self.running.insert(delivery.id.ordinal(), delivery.clone());
        self.operations.insert(operation.id.ordinal(), operation);
    }

    pub(super) fn is_remembered(&self, delivery: DeliveryId) -> bool {
        self.running.contains_key(&delivery.ordinal())
    }

    /// Drops one delivery and its operation, so that they are read again.
    fn unremember(&mut self, delivery: DeliveryId, operation: OperationId) {
        self.running.remove(&delivery.ordinal());
        self.operations.remove(&operation.ordinal());
    }

    /// Writes a new operation that `due` says the start of. Answers the consumers that got deliveries.
    pub(super) fn add_new(&mut self, new: &NewOperation, due: Timestamp) -> Try<Vec<String>, T> {
        let id = new.operation.id;
        let last_event = new.events.last().map_or(0, |(event, _)| event.key.ordinal());
        let last_delivery = new.deliveries.last().map_or(0, |delivery| delivery.id.ordinal());
        self.tables.add_operation(&new.operation, last_event.max(last_delivery) - id.ordinal())?;
        for (event, unrouted) in &new.events {
            self.add_event(event, unrouted.then_some(due))?;
        }
        for delivery in &new.deliveries {
            self.add_delivery(delivery, false)?;
        }
        Ok(consumers_of(&new.deliveries))
    }

    fn add_event(&mut self, event: &StoredEvent, unrouted: Option<Timestamp>) -> Try<(), T> {
        self.tables.add_event(event, unrouted)?;
        self.backlog += i64::from(unrouted.is_some());
        Ok(())
    }

    /// Writes a new delivery; `later` says that it was not made by the accept.
    fn add_delivery(&mut self, delivery: &Delivery, later: bool) -> Try<(), T> {
        let consumer = self.consumer(&delivery.consumer)?;
        self.tables.add_delivery(delivery, consumer, later)?;
        self.backlog += 1;
        self.get_in_line(delivery, consumer);
        Ok(())
    }

    /// Writes a claim. False when the row is not what `before` says.
    fn claim_row(&mut self, before: &Delivery, after: &Delivery) -> Try<bool, T> {
        let node = self.node_maybe(after.node)?;
        if fault::planted("attempt-counted-after-start") {
            return self.tables.claim(before, &Delivery { attempts: before.attempts, ..after.clone() }, node);
        }
        self.tables.claim(before, after, node)
    }

    /// Writes what became of a delivery. False when its row has not this fence and the state of `before`.
    fn change_delivery(&mut self, fence: u64, before: &Delivery, after: &Delivery) -> Try<bool, T> {
        let ordinal = after.id.ordinal();
        let was_ready = before.state == State::Waiting && self.tables.is_ready(after.id)?;
        let node = self.node_maybe(after.node)?;
        if !self.tables.change_delivery(fence, before, after, node)? {
            return Ok(false);
        }
        if before.state == State::Waiting && !was_ready {
            // The next that is due may be another one now.
            let consumer = self.consumer(&after.consumer)?;
            self.names.note_due(consumer, Timestamp::from_micros(0));
        }
        if was_ready {
            lock(&self.turnstile).withdraw(&after.consumer, &after.lane.group);
        }
        self.backlog += i64::from(before.state.has_ended()) - i64::from(after.state.has_ended());
        match after.state {
            State::Running => {
                if let Some(remembered) = self.running.get_mut(&ordinal) {
                    remembered.clone_from(after);
                }
            }
            _ => drop(self.running.remove(&ordinal)),
        }
        Ok(true)
    }

    fn change_operation(&mut self, operation: Operation) -> Try<(), T> {
        self.tables.change_operation(&operation)?;
        if operation.ended.is_some() {
            self.operations.remove(&operation.id.ordinal());
        } else if let Some(remembered) = self.operations.get_mut(&operation.id.ordinal()) {
            *remembered = operation;
        }
        Ok(())
    }

    /// A result is that of the last ending: a dead letter's kept outcome goes when it ends in another way.
    fn put_result(&mut self, id: DeliveryId, before: State, result: Option<&Data>) -> Try<(), T> {
        match result {
            Some(data) => self.tables.put_result(id, data),
            None if before == State::Dead => self.tables.forget_result(id),
            None => Ok(()),
        }
    }

    /// Writes what a plan says. `fence` guards the delivery's row, which is written first: when it is not what
    /// `before` says, nothing is written.
    fn apply(&mut self, fence: u64, before: &Delivery, change: Change) -> Try<Applied, T> {
        if !self.change_delivery(fence, before, &change.delivery)? {
            return Err(Stop::Refused(moved_on(before.id)));
        }
        fault::crash_point("settle.inside");
        let mut applied = Applied {
            attempt: change.attempt,
            ended: change.operation.ended.filter(|_| change.concluded).map(|(status, _)| status),
            kind: change.concluded.then(|| change.operation.kind.clone()),
            woken: consumers_of(&change.deliveries),
            notified: change.notifications.iter().map(|notification| notification.id).collect(),
            delivery: change.delivery,
        };
        if let Some(attempt) = &applied.attempt {
            let node = self.node_maybe(attempt.node)?;
            self.tables.add_attempt(attempt, node)?;
        }
        self.put_result(before.id, before.state, change.result.as_ref())?;
        let at = change.operation.updated;
        if change.concluded {
            applied.woken.extend(self.announce(&change.operation, at)?);
        }
        self.change_operation(change.operation)?;
        for notification in &change.notifications {
            self.tables.add_notification(notification)?;
        }
        if fault::planted("emit-outside-transaction") {
            self.deferred.push((change.events, change.deliveries));
        } else {
            self.add_emitted(&change.events, &change.deliveries)?;
        }
        applied.woken.extend(self.leave(before, &applied.delivery, change.lingers)?);
        applied.woken.sort_unstable();
        applied.woken.dedup();
        Ok(applied)
    }

    fn add_emitted(&mut self, events: &[StoredEvent], deliveries: &[Delivery]) -> Try<(), T> {
        events.iter().try_for_each(|event| self.add_event(event, None))?;
        deliveries.iter().try_for_each(|delivery| self.add_delivery(delivery, true))
    }

    /// Writes what a planted bug kept back. True when there was something.
    pub(super) fn write_deferred(&mut self) -> Try<bool, T> {
        let deferred = std::mem::take(&mut self.deferred);
        for (events, deliveries) in &deferred {
            self.add_emitted(events, deliveries)?;
        }
        Ok(!deferred.is_empty())
    }

    /// Tells consumers of an operation's end. Answers who they are.
    fn announce(&mut self, ended: &Operation, now: Timestamp) -> Try<Vec<String>, T> {
        match plan::announce(ended, &self.takers, now, &mut self.ids) {
            Some(new) => self.add_new(&new, now),
            None => Ok(Vec::new()),
        }
    }
}

/// A guarded write found another row than the one that was read.
pub(super) fn moved_on(delivery: DeliveryId) -> Error {
    Error::new(ErrorKind::StaleFence, format!("delivery {delivery}: it is not what it was a moment ago"))
}

/// The consumers of deliveries, each once.
pub(super) fn consumers_of<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for delivery in deliveries {
        if !names.contains(&delivery.consumer) {
            names.push(delivery.consumer.clone());
        }
    }
    names.sort_unstable();
    names
}

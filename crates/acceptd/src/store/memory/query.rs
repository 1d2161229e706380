//! Looking: nothing here changes anything but the mark that a notification was read.

use std::collections::BTreeSet;

use super::Tables;
use super::claim::place;
use crate::delivery::State;
use crate::store::{
    Chain, ConsumerResult, ConsumerView, DeadLetter, DeliveryView, Listing, NotificationQuery, OperationFilter,
    OperationView, Ordinal, Page,
};
use crate::{
    Closure, Delivery, DeliveryId, Error, Notification, NotificationId, Operation, OperationId, Result, StoredEvent,
    Timestamp,
};

/// Live deliveries that an operation is shown with.
const LIVE_MAX: usize = 100;
/// Deliveries that are counted before one.
const AHEAD_MAX: usize = 1_001;

impl Tables {
    pub(super) fn view(&self, operation: &Operation) -> OperationView {
        let live = self.live().filter(|delivery| delivery.operation == operation.id);
        OperationView { operation: operation.clone(), live: live.take(LIVE_MAX).cloned().collect() }
    }

    pub(super) fn results(&self, id: OperationId) -> Result<Vec<ConsumerResult>> {
        self.operation(id)?;
        let is_root = |delivery: &Delivery| self.events.get(&delivery.event).is_some_and(|event| event.depth == 0);
        let done = self.of(id).filter(|delivery| delivery.state == State::Done && is_root(delivery));
        let result = |delivery: &Delivery| {
            let data = self.results.get(&delivery.id)?.clone();
            Some(ConsumerResult { consumer: delivery.consumer.clone(), data })
        };
        Ok(done.filter_map(result).collect())
    }

    pub(super) fn operations(&self, filter: &OperationFilter, page: Page) -> Listing<OperationView> {
        let newest_first = self.operations.values().rev().filter(|operation| self.matches(operation, filter));
        let views = newest_first.map(|operation| self.view(operation));
        listed(views.filter(|view| filter.status.is_none_or(|status| view.status() == status)), page)
    }

    fn matches(&self, operation: &Operation, filter: &OperationFilter) -> bool {
        let is_root = |event: &&StoredEvent| event.operation == operation.id && event.depth == 0;
        let has_root = |id: &String| {
            let is_it = |event: &StoredEvent| event.id() == *id || event.key.to_string() == *id;
            self.events.values().filter(is_root).any(is_it)
        };
        filter.kind.as_ref().is_none_or(|kind| operation.kind == *kind)
            && filter.owner.as_ref().is_none_or(|owner| operation.owner.as_ref() == Some(owner))
            && filter.event_id.as_ref().is_none_or(has_root)
    }

    pub(super) fn chain(&self, id: OperationId) -> Result<Chain> {
        let operation = self.operation(id)?.clone();
        let deliveries: Vec<_> = self.of(id).cloned().collect();
        let ids: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.id).collect();
        let mut attempts: Vec<_> =
            self.attempts.values().filter(|attempt| ids.contains(&attempt.delivery)).cloned().collect();
        attempts.sort_by_key(|attempt| (attempt.started, attempt.delivery, attempt.fence));
        let events = self.events.values().filter(|event| event.operation == id).cloned().collect();
        let closures = self.closures_over(&operation, &deliveries);
        Ok(Chain { operation, events, deliveries, attempts, closures })
    }

    /// Closures of the deliveries' consumers that fall into the operation's life.
    fn closures_over(&self, operation: &Operation, deliveries: &[Delivery]) -> Vec<(String, Closure)> {
        let begins_before_end = |closure: &Closure| operation.ended.is_none_or(|(_, at)| closure.from < at);
        let ends_after_start = |closure: &Closure| closure.until.is_none_or(|until| until > operation.created);
        let consumers = super::consumers_of(deliveries).into_iter();
        let of_consumer = |name: String| {
            let closures = self.closures.get(&name).into_iter().flatten();
            let held = closures.filter(|closure| begins_before_end(closure) && ends_after_start(closure)).cloned();
            held.map(move |closure| (name.clone(), closure)).collect::<Vec<_>>()
        };
        consumers.flat_map(of_consumer).collect()
    }

    pub(super) fn delivery_view(&self, id: DeliveryId) -> Result<DeliveryView> {
        let delivery = self.delivery(id)?.clone();
        let event = self.event(delivery.event)?.clone();
        let owner = self.operation(delivery.operation)?.owner.clone();
        let ahead = match delivery.state {
            State::Waiting => {
                let before = |other: &&Delivery| place(other) < place(&delivery);
                self.waiting(&delivery.consumer).filter(before).take(AHEAD_MAX).count()
            }
            _ => 0,
        };
        Ok(DeliveryView { delivery, event, owner, ahead })
    }

    pub(super) fn dead_letters(&self, page: Page) -> Result<Listing<DeadLetter>> {
        let dead = self.deliveries.values().rev().filter(|delivery| delivery.state == State::Dead);
        let before = dead.filter(|delivery| page.before.is_none_or(|before| delivery.id.ordinal() < before));
        let letters: Result<Vec<_>> =
            before.take(page.size.saturating_add(1)).map(|delivery| self.dead_letter(delivery)).collect();
        Ok(listed(letters?.into_iter(), page))
    }

    fn dead_letter(&self, delivery: &Delivery) -> Result<DeadLetter> {
        let attempts = self.attempts.range((delivery.id, 0)..=(delivery.id, u64::MAX));
        Ok(DeadLetter {
            delivery: delivery.clone(),
            event: self.event(delivery.event)?.clone(),
            attempt: attempts.last().map(|(_, attempt)| attempt.clone()),
            outcome: self.results.get(&delivery.id).cloned(),
        })
    }

    pub(super) fn notifications(&self, query: &NotificationQuery) -> Listing<Notification> {
        let is_theirs = |message: &&Notification| query.owner.is_none() || message.owner == query.owner;
        let messages = self.notifications.values().filter(is_theirs);
        match query.after {
            Some(after) => {
                let later = messages.filter(|message| message.ordinal() > after).cloned();
                listed(later, Page { before: None, size: query.page.size })
            }
            None => listed(messages.rev().cloned(), query.page),
        }
    }

    pub(super) fn read(&mut self, id: NotificationId, now: Timestamp) -> Result<Notification> {
        let message = self.notifications.get_mut(&id).ok_or_else(|| Error::not_found("notification", id))?;
        message.read.get_or_insert(now);
        Ok(message.clone())
    }

    pub(super) fn consumers(&self, now: Timestamp) -> Vec<ConsumerView> {
        let mut names: BTreeSet<&str> = self.live().map(|delivery| delivery.consumer.as_str()).collect();
        names.extend(self.served.keys().map(String::as_str));
        names.extend(self.closures.keys().filter(|name| self.shut_by(name, now).is_some()).map(String::as_str));
        names.into_iter().map(|name| self.consumer(name, now)).collect()
    }

    fn consumer(&self, name: &str, now: Timestamp) -> ConsumerView {
        let is_running = |delivery: &&Delivery| delivery.state == State::Running && delivery.consumer == name;
        ConsumerView {
            name: name.to_owned(),
            waiting: self.waiting(name).count() as u64,
            running: self.live().filter(is_running).count() as u64,
            oldest: self.waiting(name).map(|delivery| delivery.since).min(),
            closure: self.shut_by(name, now).cloned(),
        }
    }
}

/// A page of rows that come in the listing's order.
fn listed<T: Ordinal>(rows: impl Iterator<Item = T>, page: Page) -> Listing<T> {
    let mut rows = rows.filter(|row| page.before.is_none_or(|before| row.ordinal() < before));
    let items: Vec<T> = rows.by_ref().take(page.size).collect();
    let next = items.last().map(Ordinal::ordinal).filter(|_| rows.next().is_some());
    Listing { items, next }
}

//! Looking: nothing here changes anything but the mark that a notification was read.

use std::collections::{BTreeMap, BTreeSet};

use super::Tables;
use super::claim::place;
use crate::delivery::State;
use crate::limit::Lane;
use crate::store::{
    Chain, ConsumerResult, ConsumerView, DeadLetter, DeliveryView, GroupCount, Item, ItemDelivery, Listing,
    NotificationQuery, OperationFilter, OperationView, Ordinal, Page,
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
        let done = deliveries.iter().filter(|delivery| delivery.state == State::Done);
        let result_sizes = done.filter_map(|delivery| Some((delivery.id, self.results.get(&delivery.id)?.bytes.len())));
        let result_sizes = result_sizes.collect();
        Ok(Chain { operation, events, deliveries, attempts, closures, result_sizes })
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
            State::Waiting => self.ahead(&delivery),
            _ => 0,
        };
        let outcome = self.results.get(&id).filter(|_| delivery.state == State::Dead).cloned();
        Ok(DeliveryView { delivery, event, owner, ahead, outcome })
    }

    /// How many in line come before a waiting delivery: all before it in its lane, and as many turns of the others.
    fn ahead(&self, delivery: &Delivery) -> usize {
        let Lane { group, turn, ordered } = &delivery.lane;
        if *ordered {
            let before = |other: &&Delivery| other.consumer == delivery.consumer && other.id < delivery.id;
            return self.live().filter(before).filter(|other| other.lane.group == *group).take(AHEAD_MAX).count();
        }
        let mut lanes: BTreeMap<&str, usize> = BTreeMap::new();
        for other in self.in_line(&delivery.consumer, group).filter(|other| other.id != delivery.id) {
            if other.lane.turn != *turn || place(other) < place(delivery) {
                *lanes.entry(&other.lane.turn).or_default() += 1;
            }
        }
        let mine = lanes.remove(turn.as_str()).unwrap_or(0);
        let turns = lanes.into_iter().map(|(lane, count)| count.min(mine + usize::from(lane < turn.as_str())));
        (mine + turns.sum::<usize>()).min(AHEAD_MAX)
    }

    pub(super) fn items(&self, id: OperationId, after: Option<i64>, size: usize) -> Result<Listing<Item>> {
        self.operation(id)?;
        let roots = self.events.values().filter(|event| event.operation == id && event.depth == 0);
        let numbered = roots.zip(0_u64..).filter(|(event, _)| after.is_none_or(|after| event.key.ordinal() > after));
        let mut numbered = numbered.peekable();
        let mut items = Vec::new();
        while items.len() < size
            && let Some((event, index)) = numbered.next()
        {
            let of_event = self.of(id).filter(|delivery| delivery.event == event.key);
            items.push(Item { index, event: event.head(), deliveries: of_event.map(|one| self.item(one)).collect() });
        }
        let next = items.last().map(|item| item.event.key.ordinal()).filter(|_| numbered.peek().is_some());
        Ok(Listing { items, next })
    }

    fn item(&self, delivery: &Delivery) -> ItemDelivery {
        let is_done = delivery.state == State::Done;
        let last = self.attempts.range((delivery.id, 0)..=(delivery.id, u64::MAX)).next_back();
        let failure = last.and_then(|(_, attempt)| attempt.failure.clone()).filter(|_| !is_done);
        let result = self.results.get(&delivery.id).filter(|_| is_done).cloned();
        ItemDelivery { delivery: delivery.clone(), result, failure }
    }

    pub(super) fn groups(&self, id: OperationId) -> Result<Vec<GroupCount>> {
        self.operation(id)?;
        Ok(GroupCount::of(self.of(id).filter(|delivery| !delivery.state.has_ended()).cloned()))
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
        let is_dead = |delivery: &&Delivery| delivery.state == State::Dead && delivery.consumer == name;
        let ready = self.waiting(name).filter(|delivery| delivery.due <= now);
        ConsumerView {
            name: name.to_owned(),
            waiting: self.waiting(name).count() as u64,
            running: self.live().filter(is_running).count() as u64,
            dead: self.deliveries.values().filter(is_dead).count() as u64,
            oldest: self.waiting(name).map(|delivery| delivery.since).min(),
            ready_since: ready.map(|delivery| delivery.since.max(delivery.due)).min(),
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

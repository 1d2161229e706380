//! Nodes: register, heartbeat, rescue.

use std::collections::BTreeSet;
use std::time::Duration;

use super::names::Names;
use super::tables::{Tables, Unrouted};
use super::{Applied, Book, Try, lock};
use crate::delivery::Action;
use crate::store::{Register, Rescued, Serving, plan};
use crate::{Closure, Draft, Gate, NodeId, Route, Timestamp};

/// Root events that are routed, or deliveries that are rescued, in one transaction at most.
pub(in crate::store) const SLICE: usize = 2_000;

/// Enters a node; root events that wait for one of its consumers are routed by [`route_waiting`].
pub(in crate::store) fn register<T: Tables>(book: &mut Book<T>, register: &Register) -> Try<(), T> {
    declare(book, register)?;
    book.serving.clone_from(&register.consumers);
    let mut consumers = Vec::new();
    for name in names_of(register) {
        let consumer = book.consumer(name)?;
        note_absence(book, consumer, register)?;
        consumers.push(consumer);
    }
    let node = book.node(register.node)?;
    book.tables.serve(node, &consumers)?;
    book.beat(register.node, register.now)
}

fn names_of(register: &Register) -> BTreeSet<&str> {
    register.consumers.iter().map(|serving| &serving.consumer[..]).collect()
}

/// Takes over the limits and how each consumer's deliveries wait by now. Those that stand elsewhere by that move.
fn declare<T: Tables>(book: &mut Book<T>, register: &Register) -> Try<(), T> {
    for limit in &register.limits {
        book.declare(limit)?;
    }
    book.takers.clear();
    let mut changed = false;
    for serving in &register.consumers {
        if serving.takes(plan::OPERATION_ENDED) {
            book.takers.push(serving.clone());
        }
        let before = lock(&book.turnstile).policy(&serving.consumer).cloned().unwrap_or_default();
        if before == serving.policy {
            continue;
        }
        changed = true;
        let consumer = book.consumer(&serving.consumer)?;
        book.tables.set_policy(consumer, &serving.policy)?;
        if before.moves(&serving.policy) {
            replace(book, consumer, serving)?;
        }
    }
    if changed {
        book.load_turnstile()?;
        book.running.clear();
    }
    Ok(())
}

/// Finds the new places of a consumer's deliveries.
fn replace<T: Tables>(book: &mut Book<T>, consumer: i64, serving: &Serving) -> Try<(), T> {
    for delivery in book.tables.live_of(consumer)? {
        let owner = book.operation(delivery.operation)?.owner;
        let event = book.event(delivery.event, true)?;
        let lane = serving.route_anyway(&event.draft, owner.as_deref()).lane;
        book.tables.move_to(delivery.id, &lane)?;
    }
    Ok(())
}

/// The consumers of a node that have something waiting.
pub(in crate::store) fn woken<T: Tables>(book: &mut Book<T>, register: &Register) -> Try<Vec<String>, T> {
    let mut woken = Vec::new();
    for name in names_of(register) {
        let Some(consumer) = book.names.known_consumer(name) else { continue };
        if book.tables.has_waiting(consumer)? {
            woken.push(name.to_owned());
        }
    }
    Ok(woken)
}

/// Shows that a node lives. Answers which consumers' gates are shut.
pub(in crate::store) fn heartbeat<T: Tables>(
    book: &mut Book<T>,
    node: NodeId,
    now: Timestamp,
) -> Try<Vec<(String, Closure)>, T> {
    book.beat(node, now)?;
    Ok(book.names.shut_gates(now))
}

/// Notes since when nobody served a consumer, when that is longer than a lease.
fn note_absence<T: Tables>(book: &mut Book<T>, consumer: i64, register: &Register) -> Try<(), T> {
    let from = match book.tables.last_served(consumer)? {
        None => book.tables.oldest(consumer)?,
        served => served,
    };
    let Some(from) = from.filter(|from| *from < register.now - register.lease) else { return Ok(()) };
    let (gate, until) = (Gate::NoConsumer, Some(register.now));
    let reason = "no node served the consumer".to_owned();
    book.tables.add_closure(consumer, &Closure { gate, from, until, by: "acceptd".to_owned(), reason })?;
    Ok(())
}

/// Gives root events that no consumer took to those of this node that match: at most [`SLICE`] of them. Answers how
/// many.
pub(in crate::store) fn route_waiting<T: Tables>(book: &mut Book<T>, now: Timestamp) -> Try<usize, T> {
    let (mut routed, mut kind) = (0, String::new());
    while let Some(next) = book.tables.next_unrouted(&kind)? {
        kind = next;
        if !book.serving.iter().any(|serving| serving.takes(&kind)) {
            continue;
        }
        for unrouted in book.tables.unrouted(&kind, SLICE - routed)? {
            route(book, &unrouted, now)?;
            routed += 1;
        }
        if routed >= SLICE {
            break;
        }
    }
    Ok(routed)
}

fn route<T: Tables>(book: &mut Book<T>, unrouted: &Unrouted, now: Timestamp) -> Try<(), T> {
    let Unrouted { key, operation, due } = unrouted;
    let mut operation = book.operation(*operation)?;
    let event = book.event(*key, true)?;
    let routes = routes_for(&event.draft, operation.owner.as_deref(), &book.serving);
    operation.unrouted = operation.unrouted.saturating_sub(1);
    let mut deliveries = Vec::new();
    let times = ((*due).max(now), now);
    plan::route(key, &routes, &mut operation, times, &mut book.ids, &mut deliveries);
    let (notifications, concluded) = plan::routed(&mut operation, now, &mut book.ids);
    notifications.iter().try_for_each(|notification| book.tables.add_notification(notification))?;
    book.change_operation(operation.clone())?;
    deliveries.iter().try_for_each(|delivery| book.add_delivery(delivery, true))?;
    book.tables.routed(*key)?;
    if concluded {
        book.announce(&operation, now)?;
    }
    book.backlog -= 1;
    Ok(())
}

fn routes_for(draft: &Draft, owner: Option<&str>, serving: &[Serving]) -> Vec<Route> {
    let takers = serving.iter().filter(|serving| serving.takes(&draft.kind));
    takers.map(|serving| serving.route_anyway(draft, owner)).collect()
}

/// Takes at most [`SLICE`] running deliveries from nodes that are silent and from targets whose lease is over.
pub(in crate::store) fn rescue<T: Tables>(
    book: &mut Book<T>,
    me: NodeId,
    lease: Duration,
    now: Timestamp,
) -> Try<Vec<Rescued>, T> {
    let silent = Names::silent(&book.names, me, now - lease);
    let mut lost = book.tables.lost(&silent, now, SLICE)?;
    // The oldest gets in line first.
    lost.sort_by_key(|delivery| delivery.id.ordinal());
    let mut rescued = Vec::with_capacity(lost.len());
    for delivery in lost {
        let operation = book.operation(delivery.operation)?;
        let change = plan::act(&Action::Rescue, &delivery, operation, now, &mut book.ids)?;
        let applied = book.apply(delivery.fence, &delivery, change)?;
        let Applied { delivery, attempt, ended, kind, woken, notified } = applied;
        rescued.push(Rescued { delivery, attempt, ended, kind, notified, woken });
    }
    Ok(rescued)
}

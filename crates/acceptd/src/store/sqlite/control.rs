//! Gates and nodes: pause, resume, register, heartbeat, rescue.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::book::Book;
use super::error::Try;
use super::names::{Names, add_closure};
use super::query;
use super::row::{self, delivery_columns};
use crate::delivery::Action;
use crate::store::{Register, Rescued, plan};
use crate::{Closure, Delivery, EventKey, Gate, NodeId, Route, Timestamp, event};

/// Root events that are routed, or deliveries that are rescued, in one transaction at most.
pub(super) const SLICE: usize = 2_000;

pub(super) fn pause(book: &mut Book<'_>, consumer: &str, closure: &Closure) -> Try<()> {
    let consumer = book.names.consumer(book.conn, consumer)?;
    Ok(book.names.shut(book.conn, consumer, closure)?)
}

pub(super) fn resume(book: &mut Book<'_>, consumer: &str, now: Timestamp) -> Try<bool> {
    let Some(consumer) = book.names.known_consumer(consumer) else { return Ok(false) };
    Ok(book.names.open(book.conn, consumer, now)?)
}

/// Enters a node; root events that wait for one of its consumers are routed by [`route_waiting`].
pub(super) fn register(book: &mut Book<'_>, register: &Register) -> Try<()> {
    let names: BTreeSet<&str> = register.consumers.iter().map(|serving| &serving.route.consumer[..]).collect();
    let node = book.names.node(book.conn, register.node)?;
    book.conn.prepare_cached("DELETE FROM serving WHERE node = ?1")?.execute([node])?;
    for name in names {
        let consumer = book.names.consumer(book.conn, name)?;
        note_absence(book, consumer, register)?;
        let sql = "INSERT INTO serving (node, consumer) VALUES (?1, ?2)";
        book.conn.prepare_cached(sql)?.execute([node, consumer])?;
    }
    heartbeat(book, register.node, register.now)
}

/// The consumers of a node that have something waiting.
pub(super) fn woken(book: &Book<'_>, register: &Register) -> Try<Vec<String>> {
    let names: BTreeSet<&str> = register.consumers.iter().map(|serving| &serving.route.consumer[..]).collect();
    let mut woken = Vec::new();
    for name in names {
        let Some(consumer) = book.names.known_consumer(name) else { continue };
        if query::has_waiting(book.conn, consumer)? {
            woken.push(name.to_owned());
        }
    }
    Ok(woken)
}

pub(super) fn heartbeat(book: &mut Book<'_>, node: NodeId, now: Timestamp) -> Try<()> {
    let node = book.names.heartbeat(book.conn, node, now)?;
    let sql = "UPDATE consumers SET last_served = ?2 WHERE id IN (SELECT consumer FROM serving WHERE node = ?1)";
    book.conn.prepare_cached(sql)?.execute(params![node, now.as_micros()])?;
    Ok(())
}

/// Notes since when nobody served a consumer, when that is longer than a lease.
fn note_absence(book: &Book<'_>, consumer: i64, register: &Register) -> Try<()> {
    let from = match Names::last_served(book.conn, consumer)? {
        None => query::oldest(book.conn, consumer)?,
        served => served,
    };
    let Some(from) = from.filter(|from| *from < register.now - register.lease) else { return Ok(()) };
    let (gate, until) = (Gate::NoConsumer, Some(register.now));
    let reason = "no node served the consumer".to_owned();
    add_closure(book.conn, consumer, &Closure { gate, from, until, by: "acceptd".to_owned(), reason })?;
    Ok(())
}

const NEXT_KIND: &str = "SELECT kind FROM events INDEXED BY events_unrouted \
    WHERE unrouted IS NOT NULL AND kind > ?1 ORDER BY kind LIMIT 1";
const UNROUTED: &str = "SELECT id, operation, unrouted FROM events INDEXED BY events_unrouted \
    WHERE unrouted IS NOT NULL AND kind = ?1 ORDER BY ordinal LIMIT ?2";

/// Gives root events that no consumer took to those that match now: at most [`SLICE`] of them. Answers how many.
pub(super) fn route_waiting(book: &mut Book<'_>, register: &Register) -> Try<usize> {
    let (mut routed, mut kind) = (0, String::new());
    while let Some(next) = next_kind(book, &kind)? {
        kind = next;
        let routes = routes_for(&kind, register);
        if routes.is_empty() {
            continue;
        }
        let left = i64::try_from(SLICE - routed).unwrap_or_default();
        let events = {
            let mut sql = book.conn.prepare_cached(UNROUTED)?;
            let event = |row: &rusqlite::Row<'_>| {
                let operation = crate::OperationId::from_bytes(row.get(1)?);
                Ok((EventKey::from_bytes(row.get(0)?), operation, row::instant(row, 2)?))
            };
            sql.query_map(params![kind, left], event)?.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for (key, operation, due) in events {
            let mut operation = book.operation(operation)?;
            operation.unrouted = operation.unrouted.saturating_sub(1);
            let mut deliveries = Vec::new();
            let times = (due.max(register.now), register.now);
            plan::route(&key, &routes, &mut operation, times, &mut book.ids, &mut deliveries);
            book.change_operation(operation)?;
            deliveries.iter().try_for_each(|delivery| book.add_delivery(delivery, true))?;
            let sql = "UPDATE events SET unrouted = NULL WHERE ordinal = ?1";
            book.conn.prepare_cached(sql)?.execute([key.ordinal()])?;
            book.backlog -= 1;
            routed += 1;
        }
        if routed >= SLICE {
            break;
        }
    }
    Ok(routed)
}

fn next_kind(book: &Book<'_>, after: &str) -> Try<Option<String>> {
    Ok(book.conn.prepare_cached(NEXT_KIND)?.query_row([after], |row| row.get(0)).optional()?)
}

fn routes_for(kind: &str, register: &Register) -> Vec<Route> {
    let takes = |on: &[String]| on.iter().any(|pattern| event::matches(pattern, kind));
    let serving = register.consumers.iter().filter(|serving| takes(&serving.on));
    serving.map(|serving| serving.route.clone()).collect()
}

/// Takes at most [`SLICE`] running deliveries from nodes that are silent and from targets whose lease is over.
pub(super) fn rescue(book: &mut Book<'_>, me: NodeId, lease: Duration, now: Timestamp) -> Try<Vec<Rescued>> {
    let lost = lost(book, me, lease, now)?;
    let mut rescued = Vec::with_capacity(lost.len());
    for delivery in lost {
        let operation = book.operation(delivery.operation)?;
        let change = plan::act(&Action::Rescue, &delivery, operation, now, &mut book.ids)?;
        let applied = book.apply(delivery.fence, &delivery, change)?;
        rescued.push(Rescued { delivery: applied.delivery, notified: applied.notified });
    }
    Ok(rescued)
}

const OF_NODE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_running WHERE d.state = 1 AND d.node = ?1 LIMIT ?2"
);
const LEASE_OVER: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_running \
     WHERE d.state = 1 AND d.node IS NULL AND d.lease <= ?1 LIMIT ?2"
);

/// Statements that must be answered by an index alone, for the query plan tests.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 4] = [NEXT_KIND, UNROUTED, OF_NODE, LEASE_OVER];

fn lost(book: &Book<'_>, me: NodeId, lease: Duration, now: Timestamp) -> Try<Vec<Delivery>> {
    let limit = i64::try_from(SLICE).unwrap_or_default();
    let mut sql = book.conn.prepare_cached(LEASE_OVER)?;
    let rows = sql.query_map([now.as_micros(), limit], row::delivery)?;
    let mut lost = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut sql = book.conn.prepare_cached(OF_NODE)?;
    for node in book.names.silent(me, now - lease) {
        if lost.len() >= SLICE {
            break;
        }
        for delivery in sql.query_map([node, limit], row::delivery)? {
            lost.push(delivery?);
        }
    }
    Ok(lost)
}

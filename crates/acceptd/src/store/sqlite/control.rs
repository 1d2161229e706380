//! Gates and nodes: pause, resume, register, heartbeat, rescue.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::book::{Applied, Book};
use super::error::Try;
use super::names::{Names, add_closure};
use super::query;
use super::row::{self, delivery_columns, to_json};
use super::turnstile::lock;
use crate::clock::{Clock as _, SystemClock, Uptime};
use crate::delivery::Action;
use crate::store::{Register, Rescued, Serving, plan};
use crate::{Closure, Delivery, Draft, EventKey, Gate, NodeId, Route, Timestamp};

/// Root events that are routed, or deliveries that are rescued, in one transaction at most.
pub(super) const SLICE: usize = 2_000;

/// Enters a node; root events that wait for one of its consumers are routed by [`route_waiting`].
pub(super) fn register(book: &mut Book<'_>, register: &Register) -> Try<()> {
    declare(book, register)?;
    let names: BTreeSet<&str> = register.consumers.iter().map(|serving| &serving.consumer[..]).collect();
    let node = book.names.node(book.conn, register.node)?;
    book.conn.prepare_cached("DELETE FROM serving WHERE node = ?1")?.execute([node])?;
    for name in names {
        let consumer = book.names.consumer(book.conn, name)?;
        note_absence(book, consumer, register)?;
        let sql = "INSERT INTO serving (node, consumer) VALUES (?1, ?2)";
        book.conn.prepare_cached(sql)?.execute([node, consumer])?;
    }
    heartbeat(book, register.node, register.now, None)
}

/// Takes over the limits and how each consumer's deliveries wait by now. Those that stand elsewhere by that move.
fn declare(book: &mut Book<'_>, register: &Register) -> Try<()> {
    for limit in &register.limits {
        super::limits::declare(book, limit)?;
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
        let consumer = book.names.consumer(book.conn, &serving.consumer)?;
        let sql = "UPDATE consumers SET policy = ?2 WHERE id = ?1";
        book.conn.prepare_cached(sql)?.execute(params![consumer, to_json(Some(&serving.policy))?])?;
        if before.moves(&serving.policy) {
            replace(book, consumer, serving)?;
        }
    }
    if changed {
        super::turnstile::load(book.conn, &mut lock(&book.turnstile))?;
        book.forget_running();
    }
    Ok(())
}

/// Finds the new places of a consumer's deliveries.
fn replace(book: &mut Book<'_>, consumer: i64, serving: &Serving) -> Try<()> {
    let live = {
        let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.state < 2 AND d.consumer = ?1");
        let mut sql = book.conn.prepare_cached(sql)?;
        sql.query_map([consumer], row::delivery)?.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for delivery in live {
        let owner = book.operation(delivery.operation)?.owner;
        let event = super::book::event(book.conn, delivery.event, true)?;
        let lane = serving.route_anyway(&event.draft, owner.as_deref()).lane;
        let sql = "UPDATE deliveries SET grp = ?2, turn = ?3, ordered = ?4 WHERE ordinal = ?1";
        let place = params![delivery.id.ordinal(), lane.group, lane.turn, lane.ordered];
        book.conn.prepare_cached(sql)?.execute(place)?;
    }
    Ok(())
}

/// The consumers of a node that have something waiting.
pub(super) fn woken(book: &Book<'_>, register: &Register) -> Try<Vec<String>> {
    let names: BTreeSet<&str> = register.consumers.iter().map(|serving| &serving.consumer[..]).collect();
    let mut woken = Vec::new();
    for name in names {
        let Some(consumer) = book.names.known_consumer(name) else { continue };
        if query::has_waiting(book.conn, consumer)? {
            woken.push(name.to_owned());
        }
    }
    Ok(woken)
}

pub(super) fn heartbeat(book: &mut Book<'_>, node: NodeId, now: Timestamp, uptime: Option<&Uptime>) -> Try<()> {
    let node = book.names.heartbeat(book.conn, node, now)?;
    let sql = "UPDATE consumers SET last_served = ?2 WHERE id IN (SELECT consumer FROM serving WHERE node = ?1)";
    book.conn.prepare_cached(sql)?.execute(params![node, now.as_micros()])?;
    if let Some(Uptime { boot, micros, at }) = uptime {
        let sql = "INSERT OR REPLACE INTO uptime (id, boot, micros, at) VALUES (1, ?1, ?2, ?3)";
        book.conn.prepare_cached(sql)?.execute(params![boot, micros, at.as_micros()])?;
    }
    Ok(())
}

/// By how much the machine's clock was set since this store was last in use, by whoever goes by that clock.
pub(super) fn set_while_closed(book: &Book<'_>) -> Try<i64> {
    let row =
        |row: &rusqlite::Row<'_>| Ok(Uptime { boot: row.get(0)?, micros: row.get(1)?, at: row::instant(row, 2)? });
    let then = book.conn.query_row("SELECT boot, micros, at FROM uptime", [], row).optional()?;
    Ok(then.zip(Uptime::read(SystemClock.now())).map_or(0, |(then, now)| now.set_since(&then)))
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
        if !register.consumers.iter().any(|serving| serving.takes(&kind)) {
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
            let event = super::book::event(book.conn, key, true)?;
            let routes = routes_for(&event.draft, operation.owner.as_deref(), register);
            operation.unrouted = operation.unrouted.saturating_sub(1);
            let mut deliveries = Vec::new();
            let times = (due.max(register.now), register.now);
            plan::route(&key, &routes, &mut operation, times, &mut book.ids, &mut deliveries);
            let (notifications, concluded) = plan::routed(&mut operation, register.now, &mut book.ids);
            notifications.iter().try_for_each(|notification| book.add_notification(notification))?;
            book.change_operation(operation.clone())?;
            deliveries.iter().try_for_each(|delivery| book.add_delivery(delivery, true))?;
            let sql = "UPDATE events SET unrouted = NULL WHERE ordinal = ?1";
            book.conn.prepare_cached(sql)?.execute([key.ordinal()])?;
            if concluded {
                book.announce(&operation, register.now)?;
            }
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

fn routes_for(draft: &Draft, owner: Option<&str>, register: &Register) -> Vec<Route> {
    let takers = register.consumers.iter().filter(|serving| serving.takes(&draft.kind));
    takers.map(|serving| serving.route_anyway(draft, owner)).collect()
}

/// Takes at most [`SLICE`] running deliveries from nodes that are silent and from targets whose lease is over.
pub(super) fn rescue(book: &mut Book<'_>, me: NodeId, lease: Duration, now: Timestamp) -> Try<Vec<Rescued>> {
    let lost = lost(book, me, lease, now)?;
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
    // The oldest gets in line first.
    lost.sort_by_key(|delivery| delivery.id.ordinal());
    Ok(lost)
}

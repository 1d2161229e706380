//! Looking at one thing: an operation, its chain and results, a delivery, consumers. Listings are in `list.rs`.
//!
//! Everything here takes a connection, so that readers and the writer ask in the same way. What belongs to an
//! operation is found without an index on it: what the accept made has the next `span` ordinals, and only what came
//! later is in the indexes `events_later` and `deliveries_later`.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Try;
use super::row::{self, attempt_columns, delivery_columns, event_columns, notification_columns, operation_columns};
use super::tables;
use crate::delivery::{Attempt, State};
use crate::limit::Lane;
use crate::store::book::consumers_of;
use crate::store::book::tables::Which;
use crate::store::{Chain, ConsumerResult, ConsumerView, DeliveryView, OperationView};
use crate::{
    Closure, Delivery, DeliveryId, Error, EventKey, Notification, NotificationId, Operation, OperationId, StoredEvent,
    Timestamp,
};

/// Live deliveries that an operation is shown with.
const LIVE_MAX: usize = 100;
/// Deliveries that are counted before one.
const AHEAD_MAX: i64 = 1_001;
/// Waiting deliveries of a consumer that are counted.
const WAITING_MAX: i64 = 1_000_001;
/// Waiting deliveries that are looked at for the oldest.
const OLDEST_EXACT: i64 = 5_000;

/// An event; without its data and extensions when only its place in the chain matters.
pub(super) fn event(conn: &Connection, key: EventKey, whole: bool) -> Try<StoredEvent> {
    tables::event(conn, key, whole)?.ok_or_else(|| Error::not_found("event", key).into())
}

/// An operation's row and its span.
pub(super) fn operation_row(conn: &Connection, id: OperationId) -> Try<(Operation, i64)> {
    let sql = concat!("SELECT ", operation_columns!(), " FROM operations o WHERE o.ordinal = ?1");
    let found = conn.prepare_cached(sql)?.query_row([id.ordinal()], row::operation).optional()?;
    found.filter(|(operation, _)| operation.id == id).ok_or_else(|| Error::not_found("operation", id).into())
}

pub(super) fn operation(conn: &Connection, id: OperationId) -> Try<OperationView> {
    let (operation, span) = operation_row(conn, id)?;
    view(conn, operation, span)
}

/// An operation with its live deliveries.
pub(super) fn view(conn: &Connection, operation: Operation, span: i64) -> Try<OperationView> {
    let is_over = operation.tracked.live() + operation.untracked.live() == 0;
    let live = match is_over {
        true => Vec::new(),
        false => deliveries(conn, operation.id.ordinal(), span, Which::Live, LIVE_MAX)?,
    };
    Ok(OperationView { operation, live })
}

/// Deliveries of an operation, oldest first.
pub(super) fn deliveries_of(conn: &Connection, id: OperationId, which: Which) -> Try<Vec<Delivery>> {
    let (_, span) = operation_row(conn, id)?;
    deliveries(conn, id.ordinal(), span, which, usize::MAX)
}

/// Deliveries with these ordinals that were made by an accept, oldest first.
pub(super) fn deliveries_between(conn: &Connection, after: i64, last: i64) -> Try<Vec<Delivery>> {
    let mut sql = conn.prepare_cached(FIRST_DELIVERIES)?;
    let rows = sql.query_map(params![after, last, 0, 4, i64::MAX], row::delivery)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const FIRST_DELIVERIES: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d WHERE d.ordinal > ?1 AND d.ordinal <= ?2 AND d.state BETWEEN ?3 AND ?4 \
     ORDER BY d.ordinal LIMIT ?5"
);
const LATER_DELIVERIES: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_later WHERE d.later = ?1 AND d.state BETWEEN ?2 AND ?3 \
     ORDER BY d.ordinal LIMIT ?4"
);

fn deliveries(conn: &Connection, operation: i64, span: i64, which: Which, max: usize) -> Try<Vec<Delivery>> {
    let (from, to) = match which {
        Which::All => (0, 4),
        Which::Live => (0, 1),
        Which::Dead => (3, 3),
    };
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut sql = conn.prepare_cached(FIRST_DELIVERIES)?;
    let rows = sql.query_map(params![operation, operation + span, from, to, max], row::delivery)?;
    let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let left = max - found.len() as i64;
    if left > 0 {
        let mut sql = conn.prepare_cached(LATER_DELIVERIES)?;
        for delivery in sql.query_map([operation, from, to, left], row::delivery)? {
            found.push(delivery?);
        }
    }
    Ok(found)
}

pub(super) fn results(conn: &Connection, id: OperationId) -> Try<Vec<ConsumerResult>> {
    let (_, span) = operation_row(conn, id)?;
    let sql = "SELECT c.name, r.content_type, r.data \
        FROM deliveries d JOIN results r ON r.delivery = d.ordinal JOIN consumers c ON c.id = d.consumer \
        WHERE d.ordinal > ?1 AND d.ordinal <= ?2 AND d.state = 2 ORDER BY d.ordinal";
    let result = |row: &rusqlite::Row<'_>| Ok(ConsumerResult { consumer: row.get(0)?, data: row::data(row, 1)? });
    let mut found = conn
        .prepare_cached(sql)?
        .query_map([id.ordinal(), id.ordinal() + span], result)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // Root events that found their consumer later.
    for delivery in deliveries_later(conn, id)? {
        if delivery.state != State::Done || event(conn, delivery.event, false)?.depth > 0 {
            continue;
        }
        if let Some(data) = result_of(conn, delivery.id)? {
            found.push(ConsumerResult { consumer: delivery.consumer, data });
        }
    }
    Ok(found)
}

fn deliveries_later(conn: &Connection, id: OperationId) -> Try<Vec<Delivery>> {
    let mut sql = conn.prepare_cached(LATER_DELIVERIES)?;
    let rows = sql.query_map([id.ordinal(), 0, 4, i64::MAX], row::delivery)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What a delivery left: its result, or the kept outcome of a dead letter.
pub(super) fn result_of(conn: &Connection, id: DeliveryId) -> Try<Option<crate::Data>> {
    let mut sql = conn.prepare_cached("SELECT content_type, data FROM results WHERE delivery = ?1")?;
    Ok(sql.query_row([id.ordinal()], |row| row::data(row, 0)).optional()?)
}

const FIRST_EVENTS: &str =
    concat!("SELECT ", event_columns!(), " FROM events e WHERE e.ordinal > ?1 AND e.ordinal <= ?2 ORDER BY e.ordinal");
const LATER_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events e INDEXED BY events_later WHERE e.later = ?1 ORDER BY e.ordinal"
);

pub(super) fn chain(conn: &Connection, id: OperationId) -> Try<Chain> {
    let (operation, span) = operation_row(conn, id)?;
    let mut events: Vec<StoredEvent> = Vec::new();
    let mut sql = conn.prepare_cached(FIRST_EVENTS)?;
    for event in sql.query_map([id.ordinal(), id.ordinal() + span], row::event)? {
        events.push(event?);
    }
    let mut sql = conn.prepare_cached(LATER_EVENTS)?;
    for event in sql.query_map([id.ordinal()], row::event)? {
        events.push(event?);
    }
    let deliveries = deliveries(conn, id.ordinal(), span, Which::All, usize::MAX)?;
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut sql = conn.prepare_cached(FIRST_ATTEMPTS)?;
    for attempt in sql.query_map([id.ordinal(), id.ordinal() + span], row::attempt)? {
        attempts.push(attempt?);
    }
    let is_later = |delivery: &&Delivery| delivery.id.ordinal() > id.ordinal() + span;
    for delivery in deliveries.iter().filter(is_later).filter(|delivery| delivery.fence > 0) {
        attempts.extend(attempts_of(conn, delivery.id, i64::MAX)?);
    }
    attempts.sort_by_key(|attempt| (attempt.started, attempt.delivery, attempt.fence));
    let closures = closures_over(conn, &operation, &deliveries)?;
    let result_sizes = result_sizes(conn, (id.ordinal(), span), &deliveries)?;
    Ok(Chain { operation, events, deliveries, attempts, closures, result_sizes })
}

const FIRST_SIZES: &str = "SELECT r.delivery, length(r.data) FROM results r WHERE r.delivery > ?1 AND r.delivery <= ?2";

/// How large the results are of those deliveries of an operation that are done. The results themselves are not read.
fn result_sizes(
    conn: &Connection,
    (operation, span): (i64, i64),
    deliveries: &[Delivery],
) -> Try<BTreeMap<DeliveryId, usize>> {
    let mut sql = conn.prepare_cached(FIRST_SIZES)?;
    let first = sql.query_map([operation, operation + span], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let first = first.collect::<rusqlite::Result<HashMap<i64, i64>>>()?;
    let mut later = conn.prepare_cached("SELECT length(data) FROM results WHERE delivery = ?1")?;
    let mut sizes = BTreeMap::new();
    for delivery in deliveries.iter().filter(|delivery| delivery.state == State::Done) {
        let ordinal = delivery.id.ordinal();
        let size: Option<i64> = match ordinal > operation + span {
            true => later.query_row([ordinal], |row| row.get(0)).optional()?,
            false => first.get(&ordinal).copied(),
        };
        sizes.extend(size.and_then(|size| Some((delivery.id, usize::try_from(size).ok()?))));
    }
    Ok(sizes)
}

const FIRST_ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts a JOIN deliveries d ON d.ordinal = a.delivery WHERE a.delivery > ?1 AND a.delivery <= ?2"
);
const ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts a JOIN deliveries d ON d.ordinal = a.delivery WHERE a.delivery = ?1 ORDER BY a.fence DESC LIMIT ?2"
);

/// The attempts of a delivery, newest first.
pub(super) fn attempts_of(conn: &Connection, id: DeliveryId, max: i64) -> Try<Vec<Attempt>> {
    let mut sql = conn.prepare_cached(ATTEMPTS)?;
    let rows = sql.query_map([id.ordinal(), max], row::attempt)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const CLOSURES: &str = "SELECT gate, since, until, by, reason FROM closures INDEXED BY closures_consumer \
    WHERE consumer = (SELECT id FROM consumers WHERE name = ?1) AND since < ?2 AND (until IS NULL OR until > ?3) \
    ORDER BY id";

/// Closures of the deliveries' consumers that fall into the operation's life.
fn closures_over(conn: &Connection, operation: &Operation, deliveries: &[Delivery]) -> Try<Vec<(String, Closure)>> {
    let until = operation.ended.map_or(i64::MAX, |(_, at)| at.as_micros());
    let mut closures = Vec::new();
    let mut sql = conn.prepare_cached(CLOSURES)?;
    for name in consumers_of(deliveries) {
        let range = params![name, until, operation.created.as_micros()];
        for closure in sql.query_map(range, |row| row::closure(row, 0))? {
            closures.push((name.clone(), closure?));
        }
    }
    Ok(closures)
}

pub(super) fn delivery_row(conn: &Connection, id: DeliveryId) -> Try<Delivery> {
    let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.ordinal = ?1");
    let found = conn.prepare_cached(sql)?.query_row([id.ordinal()], row::delivery).optional()?;
    found.filter(|delivery| delivery.id == id).ok_or_else(|| Error::not_found("delivery", id).into())
}

pub(super) fn delivery(conn: &Connection, id: DeliveryId) -> Try<DeliveryView> {
    let delivery = delivery_row(conn, id)?;
    let event = event(conn, delivery.event, true)?;
    let (operation, _) = operation_row(conn, delivery.operation)?;
    let ahead = if delivery.state == State::Waiting { ahead(conn, &delivery)? } else { 0 };
    let outcome = if delivery.state == State::Dead { result_of(conn, delivery.id)? } else { None };
    Ok(DeliveryView { delivery, event, owner: operation.owner, ahead, outcome })
}

const AHEAD: [&str; 3] = [
    "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ready WHERE state = 0 AND ready = 1 \
     AND consumer = ?1 AND grp = ?6 AND turn = ?7 AND priority > ?2 AND ?3 IS NOT NULL AND ?4 IS NOT NULL LIMIT ?5)",
    "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ready WHERE state = 0 AND ready = 1 \
     AND consumer = ?1 AND grp = ?6 AND turn = ?7 AND priority = ?2 AND due < ?3 AND ?4 IS NOT NULL LIMIT ?5)",
    "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ready WHERE state = 0 AND ready = 1 \
     AND consumer = ?1 AND grp = ?6 AND turn = ?7 AND priority = ?2 AND due = ?3 AND ordinal < ?4 LIMIT ?5)",
];
const NEXT_TURN: &str = "SELECT turn FROM deliveries INDEXED BY deliveries_ready \
    WHERE state = 0 AND ready = 1 AND consumer = ?1 AND grp = ?2 AND turn > ?3 ORDER BY turn LIMIT 1";
const OF_TURN: &str = "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ready \
    WHERE state = 0 AND ready = 1 AND consumer = ?1 AND grp = ?2 AND turn = ?3 LIMIT ?4)";
const BEFORE_ORDERED: &str = "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ordered \
    WHERE ordered = 1 AND state < 2 AND state IN (0, 1) AND consumer = ?1 AND grp = ?2 AND ordinal < ?3 LIMIT ?4)";

/// How many in line come before a waiting delivery: all before it in its lane, and as many turns of the others.
fn ahead(conn: &Connection, delivery: &Delivery) -> Try<usize> {
    let consumer = consumer_number(conn, &delivery.consumer)?;
    let Lane { group, turn, ordered } = &delivery.lane;
    let ordinal = delivery.id.ordinal();
    if *ordered {
        let before = params![consumer, group, ordinal, AHEAD_MAX];
        let count: i64 = conn.prepare_cached(BEFORE_ORDERED)?.query_row(before, |row| row.get(0))?;
        return Ok(usize::try_from(count).unwrap_or_default());
    }
    let mut mine = 0;
    for sql in AHEAD {
        let (due, left) = (delivery.due.as_micros(), AHEAD_MAX - mine);
        let all = params![consumer, delivery.priority, due, ordinal, left, group, turn];
        mine += conn.prepare_cached(sql)?.query_row(all, |row| row.get::<_, i64>(0))?;
    }
    let (mut ahead, mut lane) = (mine, None::<String>);
    while ahead < AHEAD_MAX {
        // The lane without a name is the first.
        let next = match lane.take() {
            None => Some(String::new()),
            Some(last) => {
                let mut sql = conn.prepare_cached(NEXT_TURN)?;
                sql.query_row(params![consumer, group, last], |row| row.get::<_, String>(0)).optional()?
            }
        };
        let Some(next) = next.filter(|next| mine > 0 || next <= turn) else { break };
        if next != *turn {
            let turns = (mine + i64::from(next < *turn)).min(AHEAD_MAX - ahead);
            let of_lane = params![consumer, group, next, turns];
            ahead += conn.prepare_cached(OF_TURN)?.query_row(of_lane, |row| row.get::<_, i64>(0))?;
        }
        lane = Some(next);
    }
    Ok(usize::try_from(ahead).unwrap_or_default())
}

fn consumer_number(conn: &Connection, name: &str) -> Try<i64> {
    let mut sql = conn.prepare_cached("SELECT id FROM consumers WHERE name = ?1")?;
    Ok(sql.query_row([name], |row| row.get(0)).optional()?.unwrap_or(-1))
}

pub(super) fn steps(conn: &Connection, delivery: DeliveryId) -> Try<Vec<(String, Vec<u8>)>> {
    let mut sql = conn.prepare_cached("SELECT name, value FROM steps WHERE delivery = ?1 ORDER BY name")?;
    let rows = sql.query_map([delivery.ordinal()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The events of claimed deliveries, in the order asked for.
pub(super) fn events(conn: &Connection, keys: &[EventKey]) -> Try<Vec<StoredEvent>> {
    keys.iter().map(|key| event(conn, *key, true)).collect()
}

pub(super) fn notification(conn: &Connection, id: NotificationId) -> Try<Notification> {
    let sql = concat!("SELECT ", notification_columns!(), " FROM notifications WHERE ordinal = ?1");
    let found = conn.prepare_cached(sql)?.query_row([id.ordinal()], row::notification).optional()?;
    found.filter(|found| found.id == id).ok_or_else(|| Error::not_found("notification", id).into())
}

const HAS_WAITING: &str = "SELECT 1 FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ready \
    WHERE state = 0 AND ready = 1 AND consumer = ?1 UNION ALL SELECT 1 FROM deliveries INDEXED BY deliveries_due \
    WHERE state = 0 AND ready = 0 AND consumer = ?1) LIMIT 1";
const WAITING: [&str; 2] = [
    "SELECT count(*), min(since) FROM (SELECT since FROM deliveries INDEXED BY deliveries_ready \
     WHERE state = 0 AND ready = 1 AND consumer = ?1 LIMIT ?2)",
    "SELECT count(*), min(since) FROM (SELECT since FROM deliveries INDEXED BY deliveries_due \
     WHERE state = 0 AND ready = 0 AND consumer = ?1 LIMIT ?2)",
];
const COUNT: [&str; 2] = [
    "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_ready \
     WHERE state = 0 AND ready = 1 AND consumer = ?1 LIMIT ?2)",
    "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_due \
     WHERE state = 0 AND ready = 0 AND consumer = ?1 LIMIT ?2)",
];
const RUNNING: &str =
    "SELECT consumer, count(*) FROM deliveries INDEXED BY deliveries_running WHERE state = 1 GROUP BY consumer";
const DEAD: &str =
    "SELECT consumer, count(*) FROM deliveries INDEXED BY deliveries_dead_of WHERE state = 3 GROUP BY consumer";
const READY: [&str; 2] = [
    "SELECT min(max(since, due)) FROM (SELECT since, due FROM deliveries INDEXED BY deliveries_ready \
     WHERE state = 0 AND ready = 1 AND consumer = ?1 AND due <= ?3 LIMIT ?2)",
    "SELECT min(max(since, due)) FROM (SELECT since, due FROM deliveries INDEXED BY deliveries_due \
     WHERE state = 0 AND ready = 0 AND consumer = ?1 AND due <= ?3 LIMIT ?2)",
];

/// Every statement that must be answered by an index, for the query plan tests.
#[cfg(test)]
pub(super) fn statements() -> Vec<&'static str> {
    let mut all = vec![
        FIRST_DELIVERIES,
        LATER_DELIVERIES,
        FIRST_EVENTS,
        LATER_EVENTS,
        ATTEMPTS,
        CLOSURES,
        FIRST_SIZES,
        FIRST_ATTEMPTS,
    ];
    all.extend([HAS_WAITING, NEXT_TURN, OF_TURN, BEFORE_ORDERED, DEAD]);
    all.extend(READY);
    all.extend(WAITING);
    all.extend(COUNT);
    all.extend(AHEAD);
    all
}

pub(super) fn has_waiting(conn: &Connection, consumer: i64) -> Try<bool> {
    Ok(conn.prepare_cached(HAS_WAITING)?.exists([consumer])?)
}

/// Since when the oldest waiting delivery of a consumer waits. Exact for up to 5,000 that are due and 5,000 that are
/// not; beyond that it is the oldest of those.
pub(super) fn oldest(conn: &Connection, consumer: i64) -> Try<Option<Timestamp>> {
    let mut oldest = None;
    for sql in WAITING {
        let among: Option<i64> = conn.prepare_cached(sql)?.query_row([consumer, OLDEST_EXACT], |row| row.get(1))?;
        oldest = oldest.into_iter().chain(among).min();
    }
    Ok(oldest.map(Timestamp::from_micros))
}

/// Since when the oldest waiting delivery of a consumer could run; as exact as [`oldest`].
fn ready_since(conn: &Connection, consumer: i64, now: Timestamp) -> Try<Option<Timestamp>> {
    let mut oldest = None;
    for sql in READY {
        let range = params![consumer, OLDEST_EXACT, now.as_micros()];
        let among: Option<i64> = conn.prepare_cached(sql)?.query_row(range, |row| row.get(0))?;
        oldest = oldest.into_iter().chain(among).min();
    }
    Ok(oldest.map(Timestamp::from_micros))
}

fn by_consumer(conn: &Connection, sql: &str) -> Try<BTreeMap<i64, i64>> {
    let mut sql = conn.prepare_cached(sql)?;
    let counts = sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn consumers(conn: &Connection, now: Timestamp) -> Try<Vec<ConsumerView>> {
    let (running, dead) = (by_consumer(conn, RUNNING)?, by_consumer(conn, DEAD)?);
    let mut sql = conn.prepare_cached(
        "SELECT gate, since, until, by, reason, consumer FROM closures \
         WHERE gate = 0 AND since <= ?1 AND (until IS NULL OR until > ?1) ORDER BY id DESC",
    )?;
    let rows = sql.query_map([now.as_micros()], |row| Ok((row.get::<_, i64>(5)?, row::closure(row, 0)?)))?;
    let mut closures = rows.collect::<rusqlite::Result<BTreeMap<i64, Closure>>>()?;
    let mut sql = conn.prepare_cached("SELECT id, name, last_served FROM consumers ORDER BY name")?;
    let rows = sql.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
    let mut views = Vec::new();
    for row in rows {
        let (id, name, last_served): (i64, String, Option<i64>) = row?;
        let mut waiting = 0_i64;
        for sql in COUNT {
            let all = [id, WAITING_MAX - waiting];
            waiting += conn.prepare_cached(sql)?.query_row(all, |row| row.get::<_, i64>(0))?;
        }
        let running = running.get(&id).copied().unwrap_or_default();
        let closure = closures.remove(&id);
        if waiting + running == 0 && last_served.is_none() && closure.is_none() {
            continue;
        }
        let oldest = if waiting > 0 { oldest(conn, id)? } else { None };
        let ready_since = if waiting > 0 { ready_since(conn, id, now)? } else { None };
        let (waiting, running) = (waiting.unsigned_abs(), running.unsigned_abs());
        let dead = dead.get(&id).copied().unwrap_or_default().unsigned_abs();
        views.push(ConsumerView { name, waiting, running, dead, oldest, ready_since, closure });
    }
    Ok(views)
}

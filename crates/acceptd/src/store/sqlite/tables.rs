//! The rows of the file, for the writer's book.

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::error::Try;
use super::row::{self, delivery_columns, event_columns, instant, operation_columns, signed, to_json};
use super::{claim, load, query};
use crate::delivery::{Attempt, State};
use crate::limit::{Lane, Limit, LimitChange, Policy};
use crate::operation::Operation;
use crate::store::book::is_due;
use crate::store::book::names::Names;
use crate::store::book::tables::{Due, Tables, Unrouted, Which};
use crate::store::codes::Code as _;
use crate::store::plan;
use crate::store::turnstile::{Head, Hold, HoldId, KeyRef, KeyRow, Turnstile};
use crate::store::{IdempotencyKey, OperationView};
use crate::{
    Closure, Data, Delivery, DeliveryId, EventKey, NodeId, Notification, NotificationId, OperationId, StoredEvent,
    Timestamp,
};

/// The writing connection, with the statements that every delivery needs.
pub(super) struct SqliteTables<'c> {
    pub(super) conn: &'c Connection,
    operation: Statement<'c>,
    delivery: Statement<'c>,
    add_operation: Statement<'c>,
    add_event: Statement<'c>,
    add_delivery: Statement<'c>,
    add_attempt: Statement<'c>,
    claim: Statement<'c>,
    change_delivery: Statement<'c>,
    change_operation: Statement<'c>,
}

const OPERATION: &str = concat!("SELECT ", operation_columns!(), " FROM operations o WHERE o.ordinal = ?1");
const DELIVERY: &str = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.ordinal = ?1");
const EVENT: &str = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.ordinal = ?1");
const EVENT_HEAD: &str = "SELECT e.id, e.operation, e.cause, e.depth, e.accepted, e.kind, e.source, e.given_id, \
    e.subject, e.time, e.dataschema, NULL, NULL, NULL FROM events e WHERE e.ordinal = ?1";
const ADD_OPERATION: &str = "INSERT INTO operations (ordinal, id, span, kind, owner, priority, created, started, \
    updated, ended, ending, closed, tracked_total, tracked_done, tracked_dead, tracked_canceled, untracked_total, \
    untracked_done, untracked_dead, untracked_canceled, unrouted, inbox_live, told, failure) VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?7, NULL, NULL, NULL, ?8, 0, 0, 0, ?9, 0, 0, 0, ?10, ?11, ?12, NULL)";
const CHANGE_OPERATION: &str = "UPDATE operations SET started = ?2, updated = ?3, ended = ?4, ending = ?5, \
    closed = ?6, tracked_total = ?7, tracked_done = ?8, tracked_dead = ?9, tracked_canceled = ?10, \
    untracked_total = ?11, untracked_done = ?12, untracked_dead = ?13, untracked_canceled = ?14, unrouted = ?15, \
    inbox_live = ?16, told = ?17, failure = ?18 WHERE ordinal = ?1";
const ADD_EVENT: &str = "INSERT INTO events (ordinal, id, operation, later, unrouted, cause, depth, accepted, kind, \
    source, given_id, subject, time, dataschema, extensions, content_type, data) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
const ADD_DELIVERY: &str = "INSERT INTO deliveries (ordinal, id, operation, event, later, consumer, weight, priority, \
    state, attempts, max_attempts, fence, since, due, waiting_since, node, lease, throttled_since, progress, grp, \
    turn, ordered, ready, deadline, held_by) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0, 0, ?9, ?10, ?9, NULL, NULL, NULL, NULL, ?11, ?12, ?13, ?14, NULL, \
    NULL)";
const CLAIM: &str = "UPDATE deliveries SET state = 1, attempts = ?2, max_attempts = ?3, fence = ?4, since = ?5, \
    waiting_since = ?6, node = ?7, deadline = ?9, held_by = ?10 WHERE ordinal = ?1 AND fence = ?8 AND state = 0";
const CHANGE_DELIVERY: &str = "UPDATE deliveries SET state = ?4, attempts = ?5, fence = ?6, since = ?7, due = ?8, \
    waiting_since = ?9, node = ?10, lease = ?11, throttled_since = ?12, progress = ?13, ready = ?14, deadline = ?15, \
    held_by = ?16 \
    WHERE ordinal = ?1 AND fence = ?2 AND state = ?3";
const ADD_ATTEMPT: &str = "INSERT INTO attempts (delivery, fence, number, node, waiting_since, due, started, ended, \
    ending, failure, held_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const ADD_NOTIFICATION: &str = "INSERT INTO notifications (ordinal, id, owner, operation, title, text, level, created, \
    read) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const GIVEN: &str = "SELECT operation FROM events INDEXED BY events_given \
    WHERE given_id = ?1 AND source = ?2 AND given_id IS NOT NULL AND depth = 0";
const NEXT_KIND: &str = "SELECT kind FROM events INDEXED BY events_unrouted \
    WHERE unrouted IS NOT NULL AND kind > ?1 ORDER BY kind LIMIT 1";
const UNROUTED: &str = "SELECT id, operation, unrouted FROM events INDEXED BY events_unrouted \
    WHERE unrouted IS NOT NULL AND kind = ?1 ORDER BY ordinal LIMIT ?2";
const DUE: &str = "SELECT ordinal, grp, iif(ordered, grp, turn), priority FROM deliveries INDEXED BY deliveries_due \
    WHERE state = 0 AND ready = 0 AND consumer = ?1 AND due <= ?2 ORDER BY due, ordinal LIMIT ?3";
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
pub(super) const STATEMENTS: [&str; 5] = [NEXT_KIND, UNROUTED, DUE, OF_NODE, LEASE_OVER];

impl<'c> SqliteTables<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            operation: conn.prepare(OPERATION)?,
            delivery: conn.prepare(DELIVERY)?,
            add_operation: conn.prepare(ADD_OPERATION)?,
            add_event: conn.prepare(ADD_EVENT)?,
            add_delivery: conn.prepare(ADD_DELIVERY)?,
            add_attempt: conn.prepare(ADD_ATTEMPT)?,
            claim: conn.prepare(CLAIM)?,
            change_delivery: conn.prepare(CHANGE_DELIVERY)?,
            change_operation: conn.prepare(CHANGE_OPERATION)?,
        })
    }

    /// Does something that has no answer.
    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Try<()> {
        self.conn.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}

/// An event; without its data and extensions when only its place in the chain matters.
pub(super) fn event(conn: &Connection, key: EventKey, whole: bool) -> Try<Option<StoredEvent>> {
    let sql = if whole { EVENT } else { EVENT_HEAD };
    let found = conn.prepare_cached(sql)?.query_row([key.ordinal()], row::event).optional()?;
    Ok(found.filter(|event| event.key == key))
}

impl Tables for SqliteTables<'_> {
    type Failure = rusqlite::Error;

    fn names(&mut self) -> Try<Names> {
        Ok(load::names(self.conn)?)
    }

    fn load(&mut self, turnstile: &mut Turnstile) -> Try<()> {
        Ok(load::turnstile(self.conn, turnstile)?)
    }

    fn operation(&mut self, id: OperationId) -> Try<Option<Operation>> {
        let found = self.operation.query_row([id.ordinal()], row::operation).optional()?;
        Ok(found.map(|(operation, _)| operation).filter(|operation| operation.id == id))
    }

    fn view(&mut self, id: OperationId) -> Try<OperationView> {
        query::operation(self.conn, id)
    }

    fn add_operation(&mut self, operation: &Operation, span: i64) -> Try<()> {
        self.add_operation.execute(params![
            operation.id.ordinal(),
            operation.id.as_bytes(),
            span,
            operation.kind,
            operation.owner,
            operation.priority,
            operation.created.as_micros(),
            operation.tracked.total,
            operation.untracked.total,
            operation.unrouted,
            operation.inbox_live,
            operation.told,
        ])?;
        Ok(())
    }

    fn change_operation(&mut self, operation: &Operation) -> Try<()> {
        let (tracked, untracked) = (&operation.tracked, &operation.untracked);
        let ended = operation.ended.map(|(_, at)| at.as_micros());
        self.change_operation.execute(params![
            operation.id.ordinal(),
            operation.started.map(Timestamp::as_micros),
            operation.updated.as_micros(),
            ended,
            operation.ended.map(|(status, _)| status.code()),
            ended.filter(|_| operation.is_closed()),
            tracked.total,
            tracked.done,
            tracked.dead,
            tracked.canceled,
            untracked.total,
            untracked.done,
            untracked.dead,
            untracked.canceled,
            operation.unrouted,
            operation.inbox_live,
            operation.told,
            to_json(operation.failure.as_ref())?,
        ])?;
        Ok(())
    }

    fn event(&mut self, key: EventKey, whole: bool) -> Try<Option<StoredEvent>> {
        event(self.conn, key, whole)
    }

    fn given(&mut self, id: &str, source: &str) -> Try<Option<OperationId>> {
        let mut sql = self.conn.prepare_cached(GIVEN)?;
        Ok(sql.query_row(params![id, source], |row| row.get(0)).optional()?.map(OperationId::from_bytes))
    }

    fn add_event(&mut self, event: &StoredEvent, unrouted: Option<Timestamp>) -> Try<()> {
        let draft = &event.draft;
        let extensions = to_json(Some(&draft.extensions).filter(|extensions| !extensions.is_empty()))?;
        self.add_event.execute(params![
            event.key.ordinal(),
            event.key.as_bytes(),
            event.operation.as_bytes(),
            (event.depth > 0).then(|| event.operation.ordinal()),
            unrouted.map(Timestamp::as_micros),
            event.cause,
            event.depth,
            event.accepted.as_micros(),
            draft.kind,
            draft.source,
            draft.id,
            draft.subject,
            draft.time.map(Timestamp::as_micros),
            draft.dataschema,
            extensions,
            draft.data.as_ref().map(|data| &data.content_type),
            draft.data.as_ref().map(|data| &data.bytes[..]),
        ])?;
        Ok(())
    }

    fn next_unrouted(&mut self, after: &str) -> Try<Option<String>> {
        Ok(self.conn.prepare_cached(NEXT_KIND)?.query_row([after], |row| row.get(0)).optional()?)
    }

    fn unrouted(&mut self, kind: &str, max: usize) -> Try<Vec<Unrouted>> {
        let mut sql = self.conn.prepare_cached(UNROUTED)?;
        let event = |row: &Row<'_>| {
            let (key, operation) = (EventKey::from_bytes(row.get(0)?), OperationId::from_bytes(row.get(1)?));
            Ok(Unrouted { key, operation, due: instant(row, 2)? })
        };
        Ok(sql.query_map(params![kind, count(max)], event)?.collect::<rusqlite::Result<_>>()?)
    }

    fn routed(&mut self, key: EventKey) -> Try<()> {
        self.run("UPDATE events SET unrouted = NULL WHERE ordinal = ?1", [key.ordinal()])
    }

    fn abandon(&mut self, id: OperationId) -> Try<()> {
        let sql = "UPDATE events SET unrouted = NULL WHERE ordinal > ?1 AND ordinal <= ?1 + \
            (SELECT span FROM operations WHERE ordinal = ?1) AND unrouted IS NOT NULL";
        self.run(sql, [id.ordinal()])
    }

    fn kept_key(&mut self, key: &IdempotencyKey, now: Timestamp) -> Try<Option<([u8; 32], OperationId)>> {
        let sql = "SELECT fingerprint, operation FROM idempotency WHERE scope = ?1 AND key = ?2 AND expires > ?3";
        let kept = |row: &Row<'_>| Ok((row.get(0)?, OperationId::from_bytes(row.get(1)?)));
        let mut sql = self.conn.prepare_cached(sql)?;
        Ok(sql.query_row(params![key.scope, key.key, now.as_micros()], kept).optional()?)
    }

    fn keep_key(&mut self, key: &IdempotencyKey, operation: OperationId) -> Try<()> {
        let sql = "INSERT OR REPLACE INTO idempotency (scope, key, fingerprint, operation, expires) \
            VALUES (?1, ?2, ?3, ?4, ?5)";
        let expires = key.expires.as_micros();
        self.run(sql, params![key.scope, key.key, key.fingerprint, operation.as_bytes(), expires])
    }

    fn delivery(&mut self, id: DeliveryId) -> Try<Option<Delivery>> {
        let found = self.delivery.query_row([id.ordinal()], row::delivery).optional()?;
        Ok(found.filter(|delivery| delivery.id == id))
    }

    fn deliveries_of(&mut self, id: OperationId, which: Which) -> Try<Vec<Delivery>> {
        query::deliveries_of(self.conn, id, which)
    }

    fn add_delivery(&mut self, delivery: &Delivery, consumer: i64, later: bool) -> Try<()> {
        self.add_delivery.execute(params![
            delivery.id.ordinal(),
            delivery.id.as_bytes(),
            delivery.operation.as_bytes(),
            delivery.event.as_bytes(),
            later.then(|| delivery.operation.ordinal()),
            consumer,
            delivery.weight.code(),
            delivery.priority,
            delivery.since.as_micros(),
            delivery.due.as_micros(),
            delivery.lane.group,
            delivery.lane.turn,
            delivery.lane.ordered,
            is_due(delivery),
        ])?;
        Ok(())
    }

    fn claim(&mut self, before: &Delivery, after: &Delivery, node: Option<i64>) -> Try<bool> {
        let changed = self.claim.execute(params![
            after.id.ordinal(),
            after.attempts,
            after.max_attempts,
            signed(after.fence),
            after.since.as_micros(),
            after.waiting_since.as_micros(),
            node,
            signed(before.fence),
            after.deadline.map(Timestamp::as_micros),
            to_json(after.held_by.as_ref())?,
        ])?;
        Ok(changed == 1)
    }

    fn change_delivery(&mut self, fence: u64, before: &Delivery, after: &Delivery, node: Option<i64>) -> Try<bool> {
        let changed = self.change_delivery.execute(params![
            after.id.ordinal(),
            signed(fence),
            before.state.code(),
            after.state.code(),
            after.attempts,
            signed(after.fence),
            after.since.as_micros(),
            after.due.as_micros(),
            after.waiting_since.as_micros(),
            node,
            after.lease.map(Timestamp::as_micros),
            after.throttled_since.map(Timestamp::as_micros),
            to_json(after.progress.as_ref())?,
            after.state == State::Waiting && is_due(after),
            after.deadline.map(Timestamp::as_micros),
            to_json(after.held_by.as_ref())?,
        ])?;
        Ok(changed == 1)
    }

    fn move_to(&mut self, id: DeliveryId, lane: &Lane) -> Try<()> {
        let sql = "UPDATE deliveries SET grp = ?2, turn = ?3, ordered = ?4 WHERE ordinal = ?1";
        self.run(sql, params![id.ordinal(), lane.group, lane.turn, lane.ordered])
    }

    fn is_ready(&mut self, id: DeliveryId) -> Try<bool> {
        let mut sql = self.conn.prepare_cached("SELECT ready FROM deliveries WHERE ordinal = ?1")?;
        Ok(sql.query_row([id.ordinal()], |row| row.get(0))?)
    }

    fn due(&mut self, consumer: i64, now: Timestamp, max: usize) -> Try<Vec<Due>> {
        let mut sql = self.conn.prepare_cached(DUE)?;
        let row = |row: &Row<'_>| {
            let turn: String = row.get(2)?;
            let head = Head { turn: turn.into(), priority: row.get(3)?, age: row.get(0)? };
            Ok(Due { ordinal: row.get(0)?, group: row.get(1)?, head })
        };
        let due = sql.query_map(params![consumer, now.as_micros(), count(max)], row)?;
        Ok(due.collect::<rusqlite::Result<_>>()?)
    }

    fn make_ready(&mut self, due: &[Due]) -> Try<()> {
        due.iter().try_for_each(|one| self.run("UPDATE deliveries SET ready = 1 WHERE ordinal = ?1", [one.ordinal]))
    }

    fn next_due(&mut self, consumer: i64) -> Try<Option<Timestamp>> {
        let mut sql = self.conn.prepare_cached(load::NEXT_DUE)?;
        Ok(sql.query_row([consumer], |row| instant(row, 0)).optional()?)
    }

    fn next_lane(&mut self, consumer: i64, group: &str, after: Option<&str>) -> Try<Option<Delivery>> {
        claim::next_lane(self.conn, consumer, group, after)
    }

    fn lane(&mut self, consumer: i64, group: &str, turn: &str, max: usize) -> Try<Vec<Delivery>> {
        claim::lane(self.conn, consumer, group, turn, max)
    }

    fn head(&mut self, consumer: i64, group: &str) -> Try<Option<Delivery>> {
        claim::head(self.conn, consumer, group)
    }

    fn live_of(&mut self, consumer: i64) -> Try<Vec<Delivery>> {
        let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.state < 2 AND d.consumer = ?1");
        let mut sql = self.conn.prepare_cached(sql)?;
        Ok(sql.query_map([consumer], row::delivery)?.collect::<rusqlite::Result<_>>()?)
    }

    fn lost(&mut self, nodes: &[i64], now: Timestamp, max: usize) -> Try<Vec<Delivery>> {
        let mut sql = self.conn.prepare_cached(LEASE_OVER)?;
        let rows = sql.query_map([now.as_micros(), count(max)], row::delivery)?;
        let mut lost = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut sql = self.conn.prepare_cached(OF_NODE)?;
        for node in nodes {
            if lost.len() >= max {
                break;
            }
            for delivery in sql.query_map([*node, count(max)], row::delivery)? {
                lost.push(delivery?);
            }
        }
        Ok(lost)
    }

    fn has_waiting(&mut self, consumer: i64) -> Try<bool> {
        query::has_waiting(self.conn, consumer)
    }

    fn oldest(&mut self, consumer: i64) -> Try<Option<Timestamp>> {
        query::oldest(self.conn, consumer)
    }

    fn add_attempt(&mut self, attempt: &Attempt, node: Option<i64>) -> Try<()> {
        self.add_attempt.execute(params![
            attempt.delivery.ordinal(),
            signed(attempt.fence),
            attempt.number,
            node,
            attempt.waiting_since.as_micros(),
            attempt.due.as_micros(),
            attempt.started.as_micros(),
            attempt.ended.as_micros(),
            attempt.ending.code(),
            to_json(attempt.failure.as_ref())?,
            to_json(attempt.held_by.as_ref())?,
        ])?;
        Ok(())
    }

    fn result(&mut self, id: DeliveryId) -> Try<Option<Data>> {
        query::result_of(self.conn, id)
    }

    fn put_result(&mut self, id: DeliveryId, data: &Data) -> Try<()> {
        let sql = "INSERT OR REPLACE INTO results (delivery, content_type, data) VALUES (?1, ?2, ?3)";
        self.run(sql, params![id.ordinal(), data.content_type, &data.bytes[..]])
    }

    fn forget_result(&mut self, id: DeliveryId) -> Try<()> {
        self.run("DELETE FROM results WHERE delivery = ?1", [id.ordinal()])
    }

    fn add_step(&mut self, id: DeliveryId, name: &str, value: &[u8]) -> Try<()> {
        let sql = "INSERT OR IGNORE INTO steps (delivery, name, value) VALUES (?1, ?2, ?3)";
        self.run(sql, params![id.ordinal(), name, value])
    }

    fn forget_step(&mut self, id: DeliveryId, name: &str) -> Try<()> {
        self.run("DELETE FROM steps WHERE delivery = ?1 AND name = ?2", params![id.ordinal(), name])
    }

    fn add_notification(&mut self, notification: &Notification) -> Try<()> {
        self.run(
            ADD_NOTIFICATION,
            params![
                notification.id.ordinal(),
                notification.id.as_bytes(),
                notification.owner,
                notification.operation.as_bytes(),
                notification.title,
                notification.text,
                notification.level.code(),
                notification.created.as_micros(),
                notification.read.map(Timestamp::as_micros),
            ],
        )
    }

    fn notification(&mut self, id: NotificationId) -> Try<Notification> {
        query::notification(self.conn, id)
    }

    fn mark_read(&mut self, id: NotificationId, now: Timestamp) -> Try<()> {
        self.run("UPDATE notifications SET read = ?2 WHERE ordinal = ?1", [id.ordinal(), now.as_micros()])
    }

    fn put_limit(&mut self, limit: &Limit, change: Option<&LimitChange>, pause: Option<&Closure>) -> Try<()> {
        let sql = "INSERT OR REPLACE INTO limits (name, declared, change, pause) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![limit.name, to_json(Some(limit))?, to_json(change)?, to_json(pause)?])
    }

    fn put_key(&mut self, key: &KeyRef, row: &KeyRow) -> Try<()> {
        let sql = "INSERT OR REPLACE INTO limit_keys (name, key, tat, pause, adapt, ramp) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (pause, adapt) = (to_json(row.pause.as_ref())?, to_json(row.adapt.as_ref())?);
        self.run(sql, params![&*key.limit, &*key.key, row.tat, pause, adapt, row.ramp])
    }

    fn forget_key(&mut self, key: &KeyRef) -> Try<()> {
        self.run("DELETE FROM limit_keys WHERE name = ?1 AND key = ?2", [&*key.limit, &*key.key])
    }

    fn put_hold(&mut self, key: &KeyRef, hold: &Hold) -> Try<()> {
        let sql = "INSERT OR REPLACE INTO holds \
            (name, key, delivery, fence, permit, operation, consumer, since, until) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.run(
            sql,
            params![
                &*key.limit,
                &*key.key,
                hold.id.delivery.as_bytes(),
                signed(hold.id.fence),
                hold.id.permit,
                hold.operation.as_bytes(),
                hold.consumer,
                hold.since.as_micros(),
                hold.until.map(Timestamp::as_micros),
            ],
        )
    }

    fn forget_hold(&mut self, id: HoldId) -> Try<()> {
        let sql = "DELETE FROM holds WHERE delivery = ?1 AND fence = ?2 AND permit = ?3";
        self.run(sql, params![id.delivery.as_bytes(), signed(id.fence), id.permit])
    }

    fn shift(&mut self, micros: i64, now: Timestamp) -> Try<()> {
        self.run("UPDATE deliveries SET lease = lease + ?1, deadline = deadline + ?1 WHERE state = 1", [micros])?;
        let sql = "UPDATE deliveries SET throttled_since = throttled_since + ?1 WHERE throttled_since IS NOT NULL";
        self.run(sql, [micros])?;
        self.run("UPDATE holds SET until = until + ?1", [micros])?;
        // The due time of what was tried before is a wait from then on; that of the rest may be one that a caller
        // named.
        let sql = "UPDATE deliveries INDEXED BY deliveries_due SET due = due + ?1 \
            WHERE state = 0 AND ready = 0 AND fence > 0";
        self.run(sql, [micros])?;
        // What a target asked for is a wait from then on, and what is over stays over; a person named an instant.
        let moves = "until IS NOT NULL AND (by = ?2 OR until <= ?3)";
        let sql = format!(
            "UPDATE closures SET since = iif({moves}, since + ?1, min(since, since + ?1)), \
             until = iif({moves}, until + ?1, until) WHERE gate = 0"
        );
        self.run(&sql, params![micros, plan::TARGET, now.as_micros()])?;
        // So that a crash from here on does not move it all again.
        self.run("UPDATE uptime SET at = at + ?1", [micros])
    }

    fn add_consumer(&mut self, name: &str) -> Try<i64> {
        self.run("INSERT INTO consumers (name) VALUES (?1)", [name])?;
        Ok(self.conn.last_insert_rowid())
    }

    fn set_policy(&mut self, consumer: i64, policy: &Policy) -> Try<()> {
        self.run("UPDATE consumers SET policy = ?2 WHERE id = ?1", params![consumer, to_json(Some(policy))?])
    }

    fn last_served(&mut self, consumer: i64) -> Try<Option<Timestamp>> {
        let mut sql = self.conn.prepare_cached("SELECT last_served FROM consumers WHERE id = ?1")?;
        let last: Option<Option<i64>> = sql.query_row([consumer], |row| row.get(0)).optional()?;
        Ok(last.flatten().map(Timestamp::from_micros))
    }

    fn add_node(&mut self, node: NodeId) -> Try<i64> {
        self.run("INSERT INTO nodes (node, heartbeat) VALUES (?1, 0)", [node.as_bytes()])?;
        Ok(self.conn.last_insert_rowid())
    }

    fn serve(&mut self, node: i64, consumers: &[i64]) -> Try<()> {
        self.run("DELETE FROM serving WHERE node = ?1", [node])?;
        let sql = "INSERT INTO serving (node, consumer) VALUES (?1, ?2)";
        consumers.iter().try_for_each(|consumer| self.run(sql, [node, *consumer]))
    }

    fn beat(&mut self, node: i64, now: Timestamp) -> Try<()> {
        self.run("UPDATE nodes SET heartbeat = ?2 WHERE id = ?1", [node, now.as_micros()])?;
        let sql = "UPDATE consumers SET last_served = ?2 WHERE id IN (SELECT consumer FROM serving WHERE node = ?1)";
        self.run(sql, [node, now.as_micros()])
    }

    fn add_closure(&mut self, consumer: i64, closure: &Closure) -> Try<i64> {
        let sql = "INSERT INTO closures (consumer, gate, since, until, by, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (since, until) = (closure.from.as_micros(), closure.until.map(Timestamp::as_micros));
        self.run(sql, params![consumer, closure.gate.code(), since, until, closure.by, closure.reason])?;
        Ok(self.conn.last_insert_rowid())
    }

    fn end_closure(&mut self, id: i64, at: Timestamp) -> Try<()> {
        self.run("UPDATE closures SET until = ?2 WHERE id = ?1", [id, at.as_micros()])
    }

    fn forget_closure(&mut self, id: i64) -> Try<()> {
        self.run("DELETE FROM closures WHERE id = ?1", [id])
    }
}

fn count(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

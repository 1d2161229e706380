//! The writer's book: its connection, the statements that every delivery needs, and what it remembers.
//!
//! All writing of operations, events, deliveries, attempts and notifications goes through here, so that what is
//! remembered is never older than the tables. After a rollback [`Book::forget`] drops all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension as _, Statement, params};

use super::error::{Stop, Try};
use super::names::Names;
use super::row::{self, delivery_columns, event_columns, operation_columns, signed, to_json};
use super::turnstile::{is_due, lock};
use crate::delivery::{Attempt, State};
use crate::operation::{Operation, Status};
use crate::store::Serving;
use crate::store::codes::Code as _;
use crate::store::plan::Change;
use crate::store::turnstile::Turnstile;
use crate::{
    Data, Delivery, DeliveryId, Error, ErrorKind, EventKey, Ids, Notification, NotificationId, OperationId,
    StoredEvent, Timestamp, fault,
};

/// Running deliveries and their operations that are remembered at most.
const REMEMBERED_MAX: usize = 20_000;

/// The writer's view of the store.
pub(super) struct Book<'c> {
    pub(super) conn: &'c Connection,
    pub(super) ids: Ids,
    pub(super) names: Names,
    /// Deliveries that wait or run, with what this transaction changes.
    pub(super) backlog: i64,
    /// Who may start; shared with those who only look.
    pub(super) turnstile: Arc<Mutex<Turnstile>>,
    /// The consumers that take the ends of operations.
    pub(super) takers: Vec<Serving>,
    /// Rows that a planted bug keeps back until after the commit.
    deferred: Vec<(Vec<StoredEvent>, Vec<Delivery>)>,
    running: HashMap<i64, Delivery>,
    operations: HashMap<i64, Operation>,
    sql: Sql<'c>,
}

struct Sql<'c> {
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

impl<'c> Book<'c> {
    pub(super) fn open(conn: &'c Connection, turnstile: Arc<Mutex<Turnstile>>) -> rusqlite::Result<Self> {
        super::turnstile::load(conn, &mut lock(&turnstile))?;
        // The lock says that no other process has the file, so no node of before is alive.
        conn.execute("UPDATE nodes SET heartbeat = 0 WHERE heartbeat > 0", [])?;
        let last: i64 = conn.query_row(
            "SELECT max(ifnull((SELECT max(ordinal) FROM operations), 0), \
             ifnull((SELECT max(ordinal) FROM events), 0), ifnull((SELECT max(ordinal) FROM deliveries), 0), \
             ifnull((SELECT max(ordinal) FROM notifications), 0))",
            [],
            |row| row.get(0),
        )?;
        let backlog = conn.query_row(
            "SELECT (SELECT count(*) FROM deliveries INDEXED BY deliveries_ready WHERE state = 0 AND ready = 1) + \
             (SELECT count(*) FROM deliveries INDEXED BY deliveries_due WHERE state = 0 AND ready = 0) + \
             (SELECT count(*) FROM deliveries INDEXED BY deliveries_running WHERE state = 1) + \
             (SELECT count(*) FROM events INDEXED BY events_unrouted WHERE unrouted IS NOT NULL)",
            [],
            |row| row.get(0),
        )?;
        Ok(Self {
            conn,
            ids: Ids::after(last),
            names: Names::load(conn)?,
            backlog,
            turnstile,
            takers: Vec::new(),
            deferred: Vec::new(),
            running: HashMap::new(),
            operations: HashMap::new(),
            sql: Sql {
                operation: conn.prepare(OPERATION)?,
                delivery: conn.prepare(DELIVERY)?,
                add_operation: conn.prepare(ADD_OPERATION)?,
                add_event: conn.prepare(ADD_EVENT)?,
                add_delivery: conn.prepare(ADD_DELIVERY)?,
                add_attempt: conn.prepare(ADD_ATTEMPT)?,
                claim: conn.prepare(CLAIM)?,
                change_delivery: conn.prepare(CHANGE_DELIVERY)?,
                change_operation: conn.prepare(CHANGE_OPERATION)?,
            },
        })
    }

    /// Drops everything that a rollback may have made untrue; `backlog` is what it was before.
    pub(super) fn forget(&mut self, backlog: i64) -> rusqlite::Result<()> {
        self.backlog = backlog;
        self.deferred.clear();
        self.running.clear();
        self.operations.clear();
        self.names = Names::load(self.conn)?;
        super::turnstile::load(self.conn, &mut lock(&self.turnstile))
    }

    /// An operation as it stands.
    pub(super) fn operation(&mut self, id: OperationId) -> Try<Operation> {
        if let Some(operation) = self.operations.get(&id.ordinal()).filter(|operation| operation.id == id) {
            return Ok(operation.clone());
        }
        let found = self.sql.operation.query_row([id.ordinal()], row::operation).optional()?;
        let found = found.map(|(operation, _)| operation).filter(|operation| operation.id == id);
        found.ok_or_else(|| Error::not_found("operation", id).into())
    }

    /// A delivery as it stands.
    pub(super) fn delivery(&mut self, id: DeliveryId) -> Try<Delivery> {
        if let Some(delivery) = self.running.get(&id.ordinal()).filter(|delivery| delivery.id == id) {
            return Ok(delivery.clone());
        }
        let found = self.sql.delivery.query_row([id.ordinal()], row::delivery).optional()?;
        let found = found.filter(|delivery| delivery.id == id);
        found.ok_or_else(|| Error::not_found("delivery", id).into())
    }

    /// Remembers what a settle of a delivery that was just claimed will need.
    pub(super) fn remember(&mut self, delivery: &Delivery, operation: Operation) {
        if self.running.len() >= REMEMBERED_MAX || self.operations.len() >= REMEMBERED_MAX {
            self.running.clear();
            self.operations.clear();
        }
        self.running.insert(delivery.id.ordinal(), delivery.clone());
        self.operations.insert(operation.id.ordinal(), operation);
    }

    /// Running deliveries are read again.
    pub(super) fn forget_running(&mut self) {
        self.running.clear();
    }

    pub(super) fn is_remembered(&self, delivery: DeliveryId) -> bool {
        self.running.contains_key(&delivery.ordinal())
    }

    /// Drops one delivery and its operation, so that they are read again.
    pub(super) fn unremember(&mut self, delivery: DeliveryId, operation: OperationId) {
        self.running.remove(&delivery.ordinal());
        self.operations.remove(&operation.ordinal());
    }

    pub(super) fn add_operation(&mut self, operation: &Operation, span: i64) -> Try<()> {
        self.sql.add_operation.execute(params![
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

    /// Writes an event; `unrouted` is the due time of its deliveries to come, when no consumer takes it yet.
    pub(super) fn add_event(&mut self, event: &StoredEvent, unrouted: Option<Timestamp>) -> Try<()> {
        let draft = &event.draft;
        let extensions = to_json(Some(&draft.extensions).filter(|extensions| !extensions.is_empty()))?;
        self.sql.add_event.execute(params![
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
        self.backlog += i64::from(unrouted.is_some());
        Ok(())
    }

    /// Writes a new delivery; `later` says that it was not made by the accept.
    pub(super) fn add_delivery(&mut self, delivery: &Delivery, later: bool) -> Try<()> {
        let consumer = self.names.consumer(self.conn, &delivery.consumer)?;
        self.sql.add_delivery.execute(params![
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
        self.backlog += 1;
        self.get_in_line(delivery, consumer);
        Ok(())
    }

    /// Writes a claim. False when the row is not what `before` says.
    pub(super) fn claim(&mut self, before: &Delivery, after: &Delivery) -> Try<bool> {
        let node = after.node.map(|node| self.names.node(self.conn, node)).transpose()?;
        let counted = if fault::planted("attempt-counted-after-start") { before.attempts } else { after.attempts };
        let changed = self.sql.claim.execute(params![
            after.id.ordinal(),
            counted,
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

    /// Writes what became of a delivery. False when its row has not this fence and the state of `before`.
    pub(super) fn change_delivery(&mut self, fence: u64, before: &Delivery, after: &Delivery) -> Try<bool> {
        let ordinal = after.id.ordinal();
        let was_ready = before.state == State::Waiting && self.is_ready(ordinal)?;
        let node = after.node.map(|node| self.names.node(self.conn, node)).transpose()?;
        let changed = self.sql.change_delivery.execute(params![
            ordinal,
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
        if changed != 1 {
            return Ok(false);
        }
        if before.state == State::Waiting && !was_ready {
            // The next that is due may be another one now.
            let consumer = self.names.consumer(self.conn, &after.consumer)?;
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

    pub(super) fn change_operation(&mut self, operation: Operation) -> Try<()> {
        let (tracked, untracked) = (&operation.tracked, &operation.untracked);
        let is_over = tracked.live() + tracked.dead + untracked.live() + untracked.dead == 0;
        let ended = operation.ended.map(|(_, at)| at.as_micros());
        self.sql.change_operation.execute(params![
            operation.id.ordinal(),
            operation.started.map(Timestamp::as_micros),
            operation.updated.as_micros(),
            ended,
            operation.ended.map(|(status, _)| status.code()),
            ended.filter(|_| is_over),
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
        if ended.is_some() {
            self.operations.remove(&operation.id.ordinal());
        } else if let Some(remembered) = self.operations.get_mut(&operation.id.ordinal()) {
            *remembered = operation;
        }
        Ok(())
    }

    pub(super) fn add_notification(&mut self, notification: &Notification) -> Try<()> {
        self.conn.prepare_cached(ADD_NOTIFICATION)?.execute(params![
            notification.id.ordinal(),
            notification.id.as_bytes(),
            notification.owner,
            notification.operation.as_bytes(),
            notification.title,
            notification.text,
            notification.level.code(),
            notification.created.as_micros(),
            notification.read.map(Timestamp::as_micros),
        ])?;
        Ok(())
    }

    fn add_attempt(&mut self, attempt: &Attempt) -> Try<()> {
        let node = attempt.node.map(|node| self.names.node(self.conn, node)).transpose()?;
        self.sql.add_attempt.execute(params![
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

    /// A result is that of the last ending: a dead letter's kept outcome goes when it ends in another way.
    fn put_result(&self, id: DeliveryId, before: State, result: Option<&Data>) -> Try<()> {
        match result {
            Some(data) => {
                let sql = "INSERT OR REPLACE INTO results (delivery, content_type, data) VALUES (?1, ?2, ?3)";
                self.conn.prepare_cached(sql)?.execute(params![id.ordinal(), data.content_type, &data.bytes[..]])?;
            }
            None if before == State::Dead => {
                self.conn.prepare_cached("DELETE FROM results WHERE delivery = ?1")?.execute([id.ordinal()])?;
            }
            None => {}
        }
        Ok(())
    }

    /// Writes what a plan says. `fence` guards the delivery's row, which is written first: when it is not what
    /// `before` says, nothing is written.
    pub(super) fn apply(&mut self, fence: u64, before: &Delivery, change: Change) -> Try<Applied> {
        if !self.change_delivery(fence, before, &change.delivery)? {
            let message = format!("delivery {}: it is not what it was a moment ago", before.id);
            return Err(Stop::Refused(Error::new(ErrorKind::StaleFence, message)));
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
            self.add_attempt(attempt)?;
        }
        self.put_result(before.id, before.state, change.result.as_ref())?;
        let at = change.operation.updated;
        if change.concluded {
            applied.woken.extend(self.announce(&change.operation, at)?);
        }
        self.change_operation(change.operation)?;
        for notification in &change.notifications {
            self.add_notification(notification)?;
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

    fn add_emitted(&mut self, events: &[StoredEvent], deliveries: &[Delivery]) -> Try<()> {
        events.iter().try_for_each(|event| self.add_event(event, None))?;
        deliveries.iter().try_for_each(|delivery| self.add_delivery(delivery, true))
    }

    /// Writes what a planted bug kept back. True when there was something.
    pub(super) fn write_deferred(&mut self) -> Try<bool> {
        let deferred = std::mem::take(&mut self.deferred);
        for (events, deliveries) in &deferred {
            self.add_emitted(events, deliveries)?;
        }
        Ok(!deferred.is_empty())
    }
}

/// An event; without its data and extensions when only its place in the chain matters.
pub(super) fn event(conn: &Connection, key: EventKey, whole: bool) -> crate::Result<StoredEvent> {
    let sql = if whole { EVENT } else { EVENT_HEAD };
    let found = conn.prepare_cached(sql).and_then(|mut sql| sql.query_row([key.ordinal()], row::event).optional());
    let found = found.map_err(super::error::failed)?.filter(|event| event.key == key);
    found.ok_or_else(|| Error::not_found("event", key))
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

//! The rows of the database, for the writer's book. Writes wait in [`Pending`] until something is read that they could
//! be seen in, or until the commit; what a batch of commands will read by its id is read for all of them at once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::ahead::GIVEN;
use super::change::Change;
use super::clock::{DatabaseClock, Look};
use super::error::{Failure, Stop, Try};
use super::pending::{Pending, Write};
use super::row::{self, delivery_columns, every, get, id, instant, operation_columns, text};
use super::session::{Bind, Session};
use super::{claim, load, query};
use crate::delivery::{Attempt, State};
use crate::limit::{Lane, Limit, LimitChange, Policy};
use crate::operation::Operation;
use crate::store::book::is_due;
use crate::store::book::names::Names;
use crate::store::book::tables::{Due, Tables, Unrouted, Which};
use crate::store::codes::Code as _;
use crate::store::turnstile::{Fact, Head, Hold, HoldId, KeyRef, KeyRow, Turnstile};
use crate::store::{IdempotencyKey, OperationView, plan};
use crate::{
    Closure, Data, Delivery, DeliveryId, EventKey, NodeId, Notification, NotificationId, OperationId, StoredEvent,
    Timestamp,
};

/// The writing session.
pub(super) struct PostgresTables {
    runtime: Runtime,
    session: Option<Session>,
    pending: Pending,
    changes: Vec<Change>,
    /// Rows that were read in this transaction.
    pub(super) operations: HashMap<i64, Operation>,
    pub(super) deliveries: HashMap<i64, Delivery>,
    pub(super) given: HashMap<(String, String), Option<OperationId>>,
    /// The names of consumers by their numbers.
    pub(super) consumers: HashMap<i32, String>,
    /// Whether this transaction has sent a write.
    written: bool,
    /// How this node is called, and the version of acceptd.
    called: (String, String),
    clock: Arc<DatabaseClock>,
}

pub(super) const OPERATIONS: &str =
    concat!("SELECT ", operation_columns!(), " FROM operations o WHERE o.ordinal = ANY($1)");
pub(super) const DELIVERIES: &str =
    concat!("SELECT ", delivery_columns!(), " FROM every_delivery d WHERE d.ordinal = ANY($1)");
const KEPT_KEY: &str = "SELECT fingerprint, operation FROM idempotency WHERE scope = $1 AND key = $2 AND expires > $3";
const NEXT_KIND: &str =
    "SELECT kind FROM events WHERE unrouted IS NOT NULL AND kind > $1 ORDER BY kind, ordinal LIMIT 1";
const UNROUTED: &str = "SELECT id, operation, unrouted FROM events WHERE unrouted IS NOT NULL AND kind = $1 \
    ORDER BY ordinal LIMIT $2";
const DUE: &str = "SELECT ordinal, grp, CASE WHEN ordered THEN grp ELSE turn END, priority FROM deliveries \
    WHERE state = 0 AND NOT ready AND consumer = $1 AND due <= $2 ORDER BY due, ordinal LIMIT $3";
const OF_NODES: &str =
    concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.state = 1 AND d.node = ANY($1) LIMIT $2");
const LEASE_OVER: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d WHERE d.state = 1 AND d.node IS NULL AND d.lease <= $1 LIMIT $2"
);
/// When a node but this one was last alive.
const ALIVE: &str = "SELECT max(heartbeat) FROM nodes WHERE id <> $1";
const LIVE_OF: &str = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.consumer = $1");

/// Statements that must be answered by an index alone, for the query plan tests.
pub(super) const STATEMENTS: [&str; 10] = [
    OPERATIONS,
    DELIVERIES,
    NEXT_KIND,
    UNROUTED,
    DUE,
    LEASE_OVER,
    load::NEXT_DUE,
    claim::NEXT_LANE,
    claim::FIRST_LANE,
    claim::LANE,
];

impl PostgresTables {
    pub(super) fn new(runtime: Runtime, called: (String, String), clock: Arc<DatabaseClock>) -> Self {
        Self {
            runtime,
            session: None,
            pending: Pending::default(),
            changes: Vec::new(),
            operations: HashMap::new(),
            deliveries: HashMap::new(),
            given: HashMap::new(),
            consumers: HashMap::new(),
            written: false,
            called,
            clock,
        }
    }

    /// The store's time, as this node counts it.
    pub(super) fn now(&self) -> Timestamp {
        crate::Clock::now(&*self.clock)
    }

    /// Waits for something of the session's, or of whoever sends commands.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The session, while there is a connection.
    pub(super) fn session(&self) -> Try<&Session> {
        self.session.as_ref().ok_or_else(super::error::unreachable)
    }

    /// Goes on with another connection, or without one.
    pub(super) fn replace_session(&mut self, session: Option<Session>) {
        self.session = session;
    }

    /// Forgets what was to be written, and every row that was read.
    pub(super) fn forget(&mut self) {
        self.pending = Pending::default();
        self.changes.clear();
        self.forget_rows();
    }

    /// Rows are read again.
    pub(super) fn forget_rows(&mut self) {
        self.written = false;
        self.operations.clear();
        self.deliveries.clear();
        self.given.clear();
    }

    /// Whether anything is to be committed.
    pub(super) fn has_written(&self) -> bool {
        self.written || !self.pending.is_empty()
    }

    /// What changed that others keep in memory.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The events of deliveries that were claimed.
    pub(super) fn claimed_events(&mut self, keys: &[EventKey]) -> Try<Vec<StoredEvent>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.flush()?;
        let session = self.session()?;
        self.wait(query::events(session, keys))
    }

    /// Sends what waits, and reads what it may be seen in.
    pub(super) fn read(&mut self, sql: &'static str, params: &[&dyn Bind]) -> Try<Vec<Row>> {
        self.written |= !self.pending.is_empty();
        let writes = self.pending.take()?;
        let session = self.session()?;
        self.wait(async {
            send(session, &writes).await?;
            session.rows(sql, params).await
        })
    }

    /// Sends what waits, so that a query of several steps can be asked.
    fn flush(&mut self) -> Try<()> {
        self.written |= !self.pending.is_empty();
        let writes = self.pending.take()?;
        let session = self.session()?;
        self.wait(send(session, &writes))
    }

    fn one<T>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Bind],
        decode: impl FnOnce(&Row) -> Try<T>,
    ) -> Try<Option<T>> {
        self.read(sql, params)?.first().map(decode).transpose()
    }

    /// Sends what waits, and a statement without an answer.
    pub(super) fn execute(&mut self, sql: &'static str, params: &[&dyn Bind]) -> Try<()> {
        self.written = true;
        self.flush()?;
        let session = self.session()?;
        self.wait(session.execute(sql, params)).map(drop)
    }

    /// Takes over the store's time.
    pub(super) fn set_clock(&mut self) -> Try<()> {
        let session = self.session()?;
        let now = self.wait(load::time(session))?;
        self.clock.set(now);
        Ok(())
    }

    /// Compares this node's count of the store's time with the database's clock.
    fn look_at_clock(&mut self, me: i64) -> Try<()> {
        let alive = self.one(ALIVE, &[&small(me)], |row| row::instant_maybe(row, 0))?.flatten();
        let session = self.session()?;
        let shown = self.wait(load::time(session))?;
        if let Look::WasSet(micros) = self.clock.look(shown, alive) {
            let milliseconds = micros / 1_000;
            tracing::warn!(milliseconds, "the database's clock was set; the store's time goes on as before");
            self.execute("UPDATE clock SET skew = skew - $1", &[&micros])?;
        }
        Ok(())
    }

    /// Commits everything as this version of the log.
    pub(super) fn commit(&mut self, entry: Vec<Write>) -> Try<()> {
        let mut writes = self.pending.take()?;
        writes.extend(entry);
        let session = self.session()?;
        self.wait(async {
            for write in &writes {
                session.statement(write.sql, &write.params()).await?;
            }
            // A row that is not what it was is only seen in the answers: then nothing may be committed yet.
            if writes.iter().any(|write| write.expected.is_some()) {
                send(session, &writes).await?;
                return session.simple("COMMIT").await;
            }
            let (sent, committed) = futures_util::join!(send(session, &writes), session.simple("COMMIT"));
            sent.and(committed)
        })
    }

    fn note_due(&mut self, delivery: &Delivery) {
        if delivery.state == State::Waiting && !is_due(delivery) {
            self.changes.push(Change::Due(delivery.consumer.as_str().into(), delivery.due));
        }
    }

    fn keep(&mut self, delivery: &Delivery) {
        if let Some(kept) = self.deliveries.get_mut(&delivery.id.ordinal()) {
            kept.clone_from(delivery);
        }
    }
}

/// Sends statements in one go. Each must change as many rows as it says.
async fn send(session: &Session, writes: &[Write]) -> Try<()> {
    for write in writes {
        session.statement(write.sql, &write.params()).await?;
    }
    let sent = writes.iter().map(|write| async {
        let params = write.params();
        let changed = session.execute(write.sql, &params).await?;
        match write.expected.is_none_or(|expected| expected == changed) {
            true => Ok(()),
            false => Err(Stop::Broken(Failure::Changed)),
        }
    });
    futures_util::future::join_all(sent).await.into_iter().collect()
}

impl Write {
    fn params(&self) -> Vec<&dyn Bind> {
        self.params.iter().map(|param| &**param as &dyn Bind).collect()
    }
}

fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(-1)
}

fn count(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

impl Tables for PostgresTables {
    type Failure = Failure;

    fn names(&mut self) -> Try<Names> {
        self.flush()?;
        let session = self.session()?;
        let names = self.wait(load::names(session))?;
        self.consumers = names.consumers.iter().map(|(name, number)| (small(*number), name.clone())).collect();
        Ok(names)
    }

    fn load(&mut self, turnstile: &mut Turnstile) -> Try<()> {
        self.flush()?;
        let session = self.session()?;
        self.wait(load::turnstile(session, turnstile))
    }

    fn operation(&mut self, id: OperationId) -> Try<Option<Operation>> {
        if let Some(found) = self.operations.get(&id.ordinal()) {
            return Ok(Some(found.clone()).filter(|operation| operation.id == id));
        }
        let found = self.one(OPERATIONS, &[&vec![id.ordinal()]], row::operation)?.map(|(operation, _)| operation);
        if let Some(found) = &found {
            self.operations.insert(id.ordinal(), found.clone());
        }
        Ok(found.filter(|operation| operation.id == id))
    }

    fn view(&mut self, id: OperationId) -> Try<OperationView> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::operation(session, id))
    }

    fn add_operation(&mut self, operation: &Operation, span: i64) -> Try<()> {
        self.pending.add_operation(operation, span);
        Ok(())
    }

    fn change_operation(&mut self, operation: &Operation) -> Try<()> {
        self.operations.insert(operation.id.ordinal(), operation.clone());
        self.pending.change_operation(operation);
        Ok(())
    }

    fn event(&mut self, key: EventKey, whole: bool) -> Try<Option<StoredEvent>> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::event(session, key, whole)).map(Some)
    }

    fn given(&mut self, id: &str, source: &str) -> Try<Option<OperationId>> {
        if let Some(known) = self.given.get(&(id.to_owned(), source.to_owned())) {
            return Ok(*known);
        }
        let asked = (vec![text(id).into_owned()], vec![text(source).into_owned()]);
        self.one(GIVEN, &[&asked.0, &asked.1], |row| row::id(row, 2))
    }

    fn add_event(&mut self, event: &StoredEvent, unrouted: Option<Timestamp>) -> Try<()> {
        if let (0, Some(id)) = (event.depth, &event.draft.id) {
            let name = (id.clone(), event.draft.source.to_string());
            self.given.insert(name, Some(event.operation));
        }
        if unrouted.is_some() && self.changes.last() != Some(&Change::Unrouted) {
            self.changes.push(Change::Unrouted);
        }
        self.pending.add_event(event, unrouted);
        Ok(())
    }

    fn next_unrouted(&mut self, after: &str) -> Try<Option<String>> {
        self.one(NEXT_KIND, &[&text(after).into_owned()], |row| get(row, 0))
    }

    fn unrouted(&mut self, kind: &str, max: usize) -> Try<Vec<Unrouted>> {
        let rows = self.read(UNROUTED, &[&text(kind).into_owned(), &count(max)])?;
        every(&rows, |row| Ok(Unrouted { key: id(row, 0)?, operation: id(row, 1)?, due: instant(row, 2)? }))
    }

    fn routed(&mut self, key: EventKey) -> Try<()> {
        self.pending.routed(key);
        Ok(())
    }

    fn abandon(&mut self, id: OperationId) -> Try<()> {
        let sql = "UPDATE events SET unrouted = NULL WHERE ordinal > $1 AND ordinal <= $1 + \
            (SELECT span FROM operations WHERE ordinal = $1) AND unrouted IS NOT NULL \
            AND operation = (SELECT id FROM operations WHERE ordinal = $1)";
        self.execute(sql, &[&id.ordinal()])
    }

    fn kept_key(&mut self, key: &IdempotencyKey, now: Timestamp) -> Try<Option<([u8; 32], OperationId)>> {
        if let Some(kept) = self.pending.kept_key(&key.scope, &key.key) {
            return Ok(Some(kept));
        }
        let (scope, name) = (text(&key.scope).into_owned(), text(&key.key).into_owned());
        self.one(KEPT_KEY, &[&scope, &name, &now.as_micros()], |row| {
            let digest = get::<&[u8]>(row, 0)?;
            let digest = digest.try_into().map_err(|_| super::error::unreadable("a digest has 32 bytes"))?;
            Ok((digest, row::id(row, 1)?))
        })
    }

    fn keep_key(&mut self, key: &IdempotencyKey, operation: OperationId) -> Try<()> {
        self.pending.keep_key(key, operation);
        Ok(())
    }

    fn delivery(&mut self, id: DeliveryId) -> Try<Option<Delivery>> {
        if let Some(found) = self.deliveries.get(&id.ordinal()) {
            return Ok(Some(found.clone()).filter(|delivery| delivery.id == id));
        }
        let found = self.one(DELIVERIES, &[&vec![id.ordinal()]], row::delivery)?;
        Ok(found.filter(|delivery| delivery.id == id))
    }

    fn deliveries_of(&mut self, id: OperationId, which: Which) -> Try<Vec<Delivery>> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::deliveries_of(session, id, which))
    }

    fn add_delivery(&mut self, delivery: &Delivery, consumer: i64, later: bool) -> Try<()> {
        self.note_due(delivery);
        self.pending.add_delivery(delivery, small(consumer), later);
        Ok(())
    }

    fn claim(&mut self, before: &Delivery, after: &Delivery, node: Option<i64>) -> Try<bool> {
        self.change_delivery(before.fence, before, after, node)
    }

    fn change_delivery(&mut self, fence: u64, before: &Delivery, after: &Delivery, node: Option<i64>) -> Try<bool> {
        if fence != before.fence {
            return Ok(false);
        }
        self.note_due(after);
        self.keep(after);
        if before.state == State::Running && after.state == State::Canceled {
            self.changes.push(Change::Stopped(after.id));
        }
        self.pending.change_delivery(fence, before, after, node.map(small));
        Ok(true)
    }

    fn move_to(&mut self, id: DeliveryId, lane: &Lane) -> Try<()> {
        let (group, turn) = (text(&lane.group).into_owned(), text(&lane.turn).into_owned());
        let sql = "UPDATE deliveries SET grp = $2, turn = $3, ordered = $4 WHERE ordinal = $1";
        self.execute(sql, &[&id.ordinal(), &group, &turn, &lane.ordered])
    }

    fn is_ready(&mut self, id: DeliveryId) -> Try<bool> {
        let sql = "SELECT ready FROM deliveries WHERE ordinal = $1";
        Ok(self.one(sql, &[&id.ordinal()], |row| get(row, 0))?.unwrap_or_default())
    }

    fn due(&mut self, consumer: i64, now: Timestamp, max: usize) -> Try<Vec<Due>> {
        let rows = self.read(DUE, &[&small(consumer), &now.as_micros(), &count(max)])?;
        every(&rows, |row| {
            let (ordinal, turn) = (get(row, 0)?, get::<&str>(row, 2)?.into());
            let priority = i8::try_from(get::<i16>(row, 3)?).unwrap_or_default();
            Ok(Due { ordinal, group: get(row, 1)?, head: Head { turn, priority, age: ordinal } })
        })
    }

    fn make_ready(&mut self, due: &[Due]) -> Try<()> {
        let ordinals: Vec<i64> = due.iter().map(|one| one.ordinal).collect();
        if ordinals.is_empty() {
            return Ok(());
        }
        self.execute("UPDATE deliveries SET ready = true WHERE ordinal = ANY($1)", &[&ordinals])
    }

    fn next_due(&mut self, consumer: i64) -> Try<Option<Timestamp>> {
        self.one(load::NEXT_DUE, &[&small(consumer)], |row| instant(row, 0))
    }

    fn next_lane(&mut self, consumer: i64, group: &str, after: Option<&str>) -> Try<Option<Delivery>> {
        let (consumer, group) = (small(consumer), text(group).into_owned());
        let rows = match after {
            Some(after) => self.read(claim::NEXT_LANE, &[&consumer, &group, &text(after).into_owned()])?,
            None => self.read(claim::FIRST_LANE, &[&consumer, &group])?,
        };
        Ok(self.waiting(consumer, &rows)?.pop())
    }

    fn lane(&mut self, consumer: i64, group: &str, turn: &str, max: usize) -> Try<Vec<Delivery>> {
        let (group, turn) = (text(group).into_owned(), text(turn).into_owned());
        let rows = self.read(claim::LANE, &[&small(consumer), &group, &turn, &count(max)])?;
        self.waiting(small(consumer), &rows)
    }

    fn head(&mut self, consumer: i64, group: &str) -> Try<Option<Delivery>> {
        let rows = self.read(claim::HEAD, &[&small(consumer), &text(group).into_owned()])?;
        let found = every(&rows, row::delivery)?;
        self.read_operations(&found)?;
        Ok(found.into_iter().next())
    }

    fn live_of(&mut self, consumer: i64) -> Try<Vec<Delivery>> {
        every(&self.read(LIVE_OF, &[&small(consumer)])?, row::delivery)
    }

    fn lost(&mut self, nodes: &[i64], now: Timestamp, max: usize) -> Try<Vec<Delivery>> {
        let nodes: Vec<i32> = nodes.iter().copied().map(small).collect();
        let mut rows = self.read(LEASE_OVER, &[&now.as_micros(), &count(max)])?;
        if !nodes.is_empty() && rows.len() < max {
            rows.extend(self.read(OF_NODES, &[&nodes, &count(max - rows.len())])?);
        }
        every(&rows, row::delivery)
    }

    fn has_waiting(&mut self, consumer: i64) -> Try<bool> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::has_waiting(session, small(consumer)))
    }

    fn oldest(&mut self, consumer: i64) -> Try<Option<Timestamp>> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::oldest(session, small(consumer)))
    }

    fn add_attempt(&mut self, attempt: &Attempt, node: Option<i64>) -> Try<()> {
        self.pending.add_attempt(attempt, node.map(small));
        Ok(())
    }

    fn result(&mut self, id: DeliveryId) -> Try<Option<Data>> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::result_of(session, id))
    }

    fn put_result(&mut self, id: DeliveryId, result: &Data) -> Try<()> {
        self.pending.put_result(id, Some(result));
        Ok(())
    }

    fn forget_result(&mut self, id: DeliveryId) -> Try<()> {
        self.pending.put_result(id, None);
        Ok(())
    }

    fn add_step(&mut self, id: DeliveryId, name: &str, value: &[u8]) -> Try<()> {
        self.pending.add_step(id, name, value);
        Ok(())
    }

    fn forget_step(&mut self, id: DeliveryId, name: &str) -> Try<()> {
        self.pending.forget_step(id, name);
        Ok(())
    }

    fn add_notification(&mut self, notification: &Notification) -> Try<()> {
        self.pending.add_notification(notification);
        Ok(())
    }

    fn notification(&mut self, id: NotificationId) -> Try<Notification> {
        self.flush()?;
        let session = self.session()?;
        self.wait(query::notification(session, id))
    }

    fn mark_read(&mut self, id: NotificationId, now: Timestamp) -> Try<()> {
        let sql = "UPDATE notifications SET read = $2 WHERE ordinal = $1";
        self.execute(sql, &[&id.ordinal(), &now.as_micros()])
    }

    fn put_limit(&mut self, limit: &Limit, change: Option<&LimitChange>, pause: Option<&Closure>) -> Try<()> {
        self.changes.push(Change::Everything);
        let name = text(&limit.name).into_owned();
        let (declared, change, pause) = (row::to_json(Some(limit))?, row::to_json(change)?, row::to_json(pause)?);
        let sql = "INSERT INTO limits (name, declared, change, pause) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (name) DO UPDATE SET declared = EXCLUDED.declared, change = EXCLUDED.change, \
            pause = EXCLUDED.pause";
        self.execute(sql, &[&name, &declared, &change, &pause])
    }

    fn put_key(&mut self, key: &KeyRef, row: &KeyRow) -> Try<()> {
        self.changes.push(Change::Turnstile(Fact::Kept { key: key.clone(), row: row.clone() }));
        self.pending.put_key(key, Some(row));
        Ok(())
    }

    fn forget_key(&mut self, key: &KeyRef) -> Try<()> {
        self.changes.push(Change::Turnstile(Fact::Kept { key: key.clone(), row: KeyRow::default() }));
        self.pending.put_key(key, None);
        Ok(())
    }

    fn put_hold(&mut self, key: &KeyRef, hold: &Hold) -> Try<()> {
        self.pending.put_hold(key, hold);
        Ok(())
    }

    fn forget_hold(&mut self, id: HoldId) -> Try<()> {
        self.pending.forget_hold(id);
        Ok(())
    }

    fn shift(&mut self, micros: i64, now: Timestamp) -> Try<()> {
        self.changes.push(Change::Everything);
        self.forget_rows();
        let sql = "UPDATE deliveries SET lease = lease + $1, deadline = deadline + $1 WHERE state = 1";
        self.execute(sql, &[&micros])?;
        for sql in [
            "UPDATE deliveries SET throttled_since = throttled_since + $1 WHERE throttled_since IS NOT NULL",
            "UPDATE ended SET throttled_since = throttled_since + $1 WHERE state = 3 AND throttled_since IS NOT NULL",
            "UPDATE holds SET until = until + $1",
            // The due time of what was tried before is a wait from then on; that of the rest may be one that a caller
            // named.
            "UPDATE deliveries SET due = due + $1 WHERE state = 0 AND NOT ready AND fence > 0",
        ] {
            self.execute(sql, &[&micros])?;
        }
        // What a target asked for is a wait from then on, and what is over stays over; a person named an instant.
        let sql = "UPDATE closures SET since = CASE WHEN until IS NOT NULL AND (by = $2 OR until <= $3) \
            THEN since + $1 ELSE least(since, since + $1) END, \
            until = CASE WHEN until IS NOT NULL AND (by = $2 OR until <= $3) THEN until + $1 ELSE until END \
            WHERE gate = 0";
        self.execute(sql, &[&micros, &plan::TARGET, &now.as_micros()])
    }

    fn add_consumer(&mut self, name: &str) -> Try<i64> {
        self.changes.push(Change::Names);
        let sql = "INSERT INTO consumers (name) VALUES ($1) RETURNING id";
        self.written = true;
        let id = self.one(sql, &[&text(name).into_owned()], |row| get::<i32>(row, 0))?;
        self.consumers.extend(id.map(|id| (id, name.to_owned())));
        Ok(id.map_or(-1, i64::from))
    }

    fn set_policy(&mut self, consumer: i64, policy: &Policy) -> Try<()> {
        self.changes.push(Change::Everything);
        let policy = row::to_json(Some(policy))?;
        self.execute("UPDATE consumers SET policy = $2 WHERE id = $1", &[&small(consumer), &policy])
    }

    fn last_served(&mut self, consumer: i64) -> Try<Option<Timestamp>> {
        let sql = "SELECT last_served FROM consumers WHERE id = $1";
        Ok(self.one(sql, &[&small(consumer)], |row| row::instant_maybe(row, 0))?.flatten())
    }

    fn add_node(&mut self, node: NodeId) -> Try<i64> {
        self.changes.push(Change::Names);
        let sql = "INSERT INTO nodes (node, name, version, started, heartbeat) VALUES ($1, $2, $3, 0, 0) RETURNING id";
        self.written = true;
        let uuid = Uuid::from_bytes(*node.as_bytes());
        let called = self.called.clone();
        let id = self.one(sql, &[&uuid, &called.0, &called.1], |row| get::<i32>(row, 0))?;
        Ok(id.map_or(-1, i64::from))
    }

    fn serve(&mut self, node: i64, consumers: &[i64]) -> Try<()> {
        let consumers: Vec<i32> = consumers.iter().copied().map(small).collect();
        self.execute("DELETE FROM serving WHERE node = $1", &[&small(node)])?;
        let sql = "INSERT INTO serving (node, consumer) SELECT $1, u FROM unnest($2) AS u";
        self.execute(sql, &[&small(node), &consumers])
    }

    fn beat(&mut self, node: i64, now: Timestamp) -> Try<()> {
        let sql = "UPDATE nodes SET heartbeat = $2, started = CASE WHEN started = 0 THEN $2 ELSE started END \
            WHERE id = $1 RETURNING node";
        self.written = true;
        let node_id = self.one(sql, &[&small(node), &now.as_micros()], |row| id::<NodeId>(row, 0))?;
        self.changes.extend(node_id.map(|node| Change::Beat(node, now)));
        self.look_at_clock(node)?;
        let sql = "UPDATE consumers SET last_served = $2 WHERE id IN (SELECT consumer FROM serving WHERE node = $1)";
        self.execute(sql, &[&small(node), &now.as_micros()])
    }

    fn add_closure(&mut self, consumer: i64, closure: &Closure) -> Try<i64> {
        self.changes.push(Change::Names);
        let (since, until) = (closure.from.as_micros(), closure.until.map(Timestamp::as_micros));
        let (by, reason) = (text(&closure.by).into_owned(), text(&closure.reason).into_owned());
        let sql = "INSERT INTO closures (consumer, gate, since, until, by, reason) VALUES ($1, $2, $3, $4, $5, $6) \
            RETURNING id";
        self.written = true;
        let id = self.one(sql, &[&small(consumer), &closure.gate.code(), &since, &until, &by, &reason], |row| {
            get::<i64>(row, 0)
        })?;
        Ok(id.unwrap_or(-1))
    }

    fn end_closure(&mut self, id: i64, at: Timestamp) -> Try<()> {
        self.changes.push(Change::Names);
        self.execute("UPDATE closures SET until = $2 WHERE id = $1", &[&id, &at.as_micros()])
    }

    fn forget_closure(&mut self, id: i64) -> Try<()> {
        self.changes.push(Change::Names);
        self.execute("DELETE FROM closures WHERE id = $1", &[&id])
    }
}

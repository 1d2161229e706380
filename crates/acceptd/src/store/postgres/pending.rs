//! Writes that wait: for the commit, or for a read that could see them. Of two writes to one row the last counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::error::Try;
use super::row::{signed, text, to_json};
use super::session::Bind;
use crate::delivery::{Attempt, State};
use crate::operation::{Operation, Tally};
use crate::store::IdempotencyKey;
use crate::store::book::is_due;
use crate::store::codes::Code as _;
use crate::store::turnstile::{Hold, HoldId, KeyRef, KeyRow};
use crate::{Data, Delivery, DeliveryId, EventKey, Notification, OperationId, StoredEvent, Timestamp};

/// A statement to send, and how many rows it must change.
pub(super) struct Write {
    pub(super) sql: &'static str,
    pub(super) params: Vec<Box<dyn Bind + Send>>,
    pub(super) expected: Option<u64>,
}

/// A delivery that is another one now.
struct Changed {
    /// What its row must be.
    fence: u64,
    state: State,
    after: Delivery,
    node: Option<i32>,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Pending {
    operations: Vec<(Operation, i64)>,
    changed_operations: BTreeMap<i64, Operation>,
    events: Vec<(StoredEvent, Option<Timestamp>)>,
    routed: Vec<i64>,
    deliveries: Vec<(Delivery, i32, bool)>,
    changed: BTreeMap<i64, Changed>,
    attempts: Vec<(Attempt, Option<i32>)>,
    results: BTreeMap<i64, Option<Data>>,
    forgotten_steps: BTreeSet<(i64, String)>,
    steps: BTreeMap<(i64, String), Vec<u8>>,
    notifications: Vec<Notification>,
    keys: HashMap<KeyRef, Option<KeyRow>>,
    forgotten_holds: BTreeSet<HoldId>,
    holds: HashMap<(HoldId, KeyRef), Hold>,
    kept: Vec<(IdempotencyKey, OperationId)>,
}

impl Pending {
    pub(super) fn add_operation(&mut self, operation: &Operation, span: i64) {
        self.operations.push((operation.clone(), span));
    }

    pub(super) fn change_operation(&mut self, operation: &Operation) {
        self.changed_operations.insert(operation.id.ordinal(), operation.clone());
    }

    pub(super) fn add_event(&mut self, event: &StoredEvent, unrouted: Option<Timestamp>) {
        self.events.push((event.clone(), unrouted));
    }

    pub(super) fn routed(&mut self, key: EventKey) {
        self.routed.push(key.ordinal());
    }

    pub(super) fn add_delivery(&mut self, delivery: &Delivery, consumer: i32, later: bool) {
        self.deliveries.push((delivery.clone(), consumer, later));
    }

    /// A delivery's row, which must have this fence and the state of `before`, is another one now.
    pub(super) fn change_delivery(&mut self, fence: u64, before: &Delivery, after: &Delivery, node: Option<i32>) {
        let after = after.clone();
        match self.changed.get_mut(&after.id.ordinal()) {
            Some(changed) => (changed.after, changed.node) = (after, node),
            None => {
                let changed = Changed { fence, state: before.state, after, node };
                self.changed.insert(before.id.ordinal(), changed);
            }
        }
    }

    pub(super) fn add_attempt(&mut self, attempt: &Attempt, node: Option<i32>) {
        self.attempts.push((attempt.clone(), node));
    }

    pub(super) fn put_result(&mut self, id: DeliveryId, result: Option<&Data>) {
        self.results.insert(id.ordinal(), result.cloned());
    }

    pub(super) fn add_step(&mut self, id: DeliveryId, name: &str, value: &[u8]) {
        let step = (id.ordinal(), text(name).into_owned());
        self.steps.entry(step).or_insert_with(|| value.to_vec());
    }

    pub(super) fn forget_step(&mut self, id: DeliveryId, name: &str) {
        let step = (id.ordinal(), text(name).into_owned());
        self.steps.remove(&step);
        self.forgotten_steps.insert(step);
    }

    pub(super) fn add_notification(&mut self, notification: &Notification) {
        self.notifications.push(notification.clone());
    }

    pub(super) fn put_key(&mut self, key: &KeyRef, row: Option<&KeyRow>) {
        self.keys.insert(key.clone(), row.cloned());
    }

    pub(super) fn put_hold(&mut self, key: &KeyRef, hold: &Hold) {
        self.holds.insert((hold.id, key.clone()), hold.clone());
    }

    pub(super) fn forget_hold(&mut self, id: HoldId) {
        self.holds.retain(|(held, _), _| *held != id);
        self.forgotten_holds.insert(id);
    }

    pub(super) fn keep_key(&mut self, key: &IdempotencyKey, operation: OperationId) {
        self.kept.push((key.clone(), operation));
    }

    /// The operation that waits to be kept under a key.
    pub(super) fn kept_key(&self, scope: &str, key: &str) -> Option<([u8; 32], OperationId)> {
        let same = |one: &&(IdempotencyKey, OperationId)| one.0.scope == scope && one.0.key == key;
        self.kept.iter().rev().find(same).map(|(key, operation)| (key.fingerprint, *operation))
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
            && self.changed_operations.is_empty()
            && self.events.is_empty()
            && self.routed.is_empty()
            && self.deliveries.is_empty()
            && self.changed.is_empty()
            && self.attempts.is_empty()
            && self.results.is_empty()
            && self.forgotten_steps.is_empty()
            && self.steps.is_empty()
            && self.notifications.is_empty()
            && self.keys.is_empty()
            && self.forgotten_holds.is_empty()
            && self.holds.is_empty()
            && self.kept.is_empty()
    }

    /// Everything as statements, in an order in which they can be sent at once. Nothing waits afterwards.
    pub(super) fn take(&mut self) -> Try<Vec<Write>> {
        let all = std::mem::take(self);
        let mut writes = Vec::new();
        writes.extend(add_operations(&all.operations)?);
        writes.extend(add_events(&all.events)?);
        writes.extend(add_deliveries(&all.deliveries)?);
        writes.extend(change_operations(all.changed_operations.into_values().collect())?);
        writes.extend(change_deliveries(all.changed)?);
        if !all.routed.is_empty() {
            writes.push(write("UPDATE events SET unrouted = NULL WHERE ordinal = ANY($1)", vec![Box::new(all.routed)]));
        }
        writes.extend(add_attempts(&all.attempts)?);
        writes.extend(put_results(all.results));
        writes.extend(put_steps(all.forgotten_steps, all.steps));
        writes.extend(add_notifications(&all.notifications));
        writes.extend(put_keys(all.keys)?);
        writes.extend(put_holds(all.forgotten_holds, all.holds));
        writes.extend(keep_keys(all.kept));
        Ok(writes)
    }
}

/// A write that may change any number of rows.
fn write(sql: &'static str, params: Vec<Box<dyn Bind + Send>>) -> Write {
    Write { sql, params, expected: None }
}

/// One column of many rows.
fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Box<dyn Bind + Send>
where
    Vec<T>: Bind + Send + 'static,
{
    Box::new(rows.iter().map(value).collect::<Vec<T>>())
}

/// One column of JSON of many rows.
fn json_column<R, V: serde::Serialize>(rows: &[R], value: impl Fn(&R) -> Option<&V>) -> Try<Box<dyn Bind + Send>> {
    let texts = rows.iter().map(|row| to_json(value(row))).collect::<crate::Result<Vec<Option<String>>>>()?;
    Ok(Box::new(texts))
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn uuid(bytes: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*bytes)
}

fn owned(value: Option<&str>) -> Option<String> {
    value.map(|value| text(value).into_owned())
}

const ADD_OPERATIONS: &str = "INSERT INTO operations (ordinal, id, span, kind, owner, priority, created, started, \
    updated, ended, ending, closed, tracked_total, tracked_done, tracked_dead, tracked_canceled, untracked_total, \
    untracked_done, untracked_dead, untracked_canceled, unrouted, inbox_live, told, failure) \
    SELECT ordinal, id, span, kind, owner, priority, created, NULL, created, NULL, NULL, NULL, tracked, 0, 0, 0, \
    untracked, 0, 0, 0, unrouted, inbox_live, told, NULL \
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
    AS u(ordinal, id, span, kind, owner, priority, created, tracked, untracked, unrouted, inbox_live, told)";

fn add_operations(rows: &[(Operation, i64)]) -> Try<Option<Write>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let params = vec![
        column(rows, |(operation, _)| operation.id.ordinal()),
        column(rows, |(operation, _)| uuid(operation.id.as_bytes())),
        column(rows, |(_, span)| *span),
        column(rows, |(operation, _)| text(&operation.kind).into_owned()),
        column(rows, |(operation, _)| owned(operation.owner.as_deref())),
        column(rows, |(operation, _)| i16::from(operation.priority)),
        column(rows, |(operation, _)| operation.created.as_micros()),
        column(rows, |(operation, _)| number(operation.tracked.total)),
        column(rows, |(operation, _)| number(operation.untracked.total)),
        column(rows, |(operation, _)| number(operation.unrouted)),
        column(rows, |(operation, _)| number(operation.inbox_live)),
        column(rows, |(operation, _)| operation.told),
    ];
    Ok(Some(write(ADD_OPERATIONS, params)))
}

const CHANGE_OPERATIONS: &str = "UPDATE operations o SET started = u.started, updated = u.updated, ended = u.ended, \
    ending = u.ending, closed = u.closed, tracked_total = u.tracked_total, tracked_done = u.tracked_done, \
    tracked_dead = u.tracked_dead, tracked_canceled = u.tracked_canceled, untracked_total = u.untracked_total, \
    untracked_done = u.untracked_done, untracked_dead = u.untracked_dead, untracked_canceled = u.untracked_canceled, \
    unrouted = u.unrouted, inbox_live = u.inbox_live, told = u.told, failure = u.failure \
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
    AS u(ordinal, started, updated, ended, ending, closed, tracked_total, tracked_done, tracked_dead, \
    tracked_canceled, untracked_total, untracked_done, untracked_dead, untracked_canceled, unrouted, inbox_live, \
    told, failure) WHERE o.ordinal = u.ordinal";

fn change_operations(rows: Vec<Operation>) -> Try<Option<Write>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = &rows[..];
    let ended = |operation: &Operation| operation.ended.map(|(_, at)| at.as_micros());
    type Of = fn(&Operation) -> &Tally;
    let tally = |of: Of, count: fn(&Tally) -> u32| column(rows, move |operation| number(count(of(operation))));
    let (tracked, untracked): (Of, Of) = (|operation| &operation.tracked, |operation| &operation.untracked);
    let params = vec![
        column(rows, |operation| operation.id.ordinal()),
        column(rows, |operation| micros(operation.started)),
        column(rows, |operation| operation.updated.as_micros()),
        column(rows, ended),
        column(rows, |operation| operation.ended.map(|(status, _)| status.code())),
        column(rows, |operation| ended(operation).filter(|_| operation.is_closed())),
        tally(tracked, |tally| tally.total),
        tally(tracked, |tally| tally.done),
        tally(tracked, |tally| tally.dead),
        tally(tracked, |tally| tally.canceled),
        tally(untracked, |tally| tally.total),
        tally(untracked, |tally| tally.done),
        tally(untracked, |tally| tally.dead),
        tally(untracked, |tally| tally.canceled),
        column(rows, |operation| number(operation.unrouted)),
        column(rows, |operation| number(operation.inbox_live)),
        column(rows, |operation| operation.told),
        json_column(rows, |operation| operation.failure.as_ref())?,
    ];
    Ok(Some(Write { sql: CHANGE_OPERATIONS, params, expected: Some(rows.len() as u64) }))
}

const ADD_EVENTS: &str = "INSERT INTO events (ordinal, id, operation, later, unrouted, cause, depth, accepted, kind, \
    source, given_id, subject, time, dataschema, extensions, content_type, data) \
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

fn add_events(rows: &[(StoredEvent, Option<Timestamp>)]) -> Try<Option<Write>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let params = vec![
        column(rows, |(event, _)| event.key.ordinal()),
        column(rows, |(event, _)| uuid(event.key.as_bytes())),
        column(rows, |(event, _)| uuid(event.operation.as_bytes())),
        column(rows, |(event, _)| (event.depth > 0).then(|| event.operation.ordinal())),
        column(rows, |(_, unrouted)| micros(*unrouted)),
        column(rows, |(event, _)| owned(event.cause.as_deref())),
        column(rows, |(event, _)| number(event.depth)),
        column(rows, |(event, _)| event.accepted.as_micros()),
        column(rows, |(event, _)| text(&event.draft.kind).into_owned()),
        column(rows, |(event, _)| text(&event.draft.source).into_owned()),
        column(rows, |(event, _)| owned(event.draft.id.as_deref())),
        column(rows, |(event, _)| owned(event.draft.subject.as_deref())),
        column(rows, |(event, _)| micros(event.draft.time)),
        column(rows, |(event, _)| owned(event.draft.dataschema.as_deref())),
        json_column(rows, |(event, _)| Some(&event.draft.extensions).filter(|extensions| !extensions.is_empty()))?,
        column(rows, |(event, _)| event.draft.data.as_ref().map(|data| text(&data.content_type).into_owned())),
        column(rows, |(event, _)| event.draft.data.as_ref().map(|data| data.bytes.to_vec())),
    ];
    Ok(Some(write(ADD_EVENTS, params)))
}

const ADD_DELIVERIES: &str = "INSERT INTO deliveries (ordinal, id, operation, event, later, consumer, weight, \
    priority, state, attempts, max_attempts, fence, since, due, waiting_since, grp, turn, ordered, ready) \
    SELECT ordinal, id, operation, event, later, consumer, weight, priority, 0, 0, 0, 0, since, due, since, grp, \
    turn, ordered, ready FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
    AS u(ordinal, id, operation, event, later, consumer, weight, priority, since, due, grp, turn, ordered, ready)";

fn add_deliveries(rows: &[(Delivery, i32, bool)]) -> Try<Option<Write>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let params = vec![
        column(rows, |(delivery, ..)| delivery.id.ordinal()),
        column(rows, |(delivery, ..)| uuid(delivery.id.as_bytes())),
        column(rows, |(delivery, ..)| uuid(delivery.operation.as_bytes())),
        column(rows, |(delivery, ..)| uuid(delivery.event.as_bytes())),
        column(rows, |(delivery, _, later)| later.then(|| delivery.operation.ordinal())),
        column(rows, |(_, consumer, _)| *consumer),
        column(rows, |(delivery, ..)| delivery.weight.code()),
        column(rows, |(delivery, ..)| i16::from(delivery.priority)),
        column(rows, |(delivery, ..)| delivery.since.as_micros()),
        column(rows, |(delivery, ..)| delivery.due.as_micros()),
        column(rows, |(delivery, ..)| text(&delivery.lane.group).into_owned()),
        column(rows, |(delivery, ..)| text(&delivery.lane.turn).into_owned()),
        column(rows, |(delivery, ..)| delivery.lane.ordered),
        column(rows, |(delivery, ..)| is_due(delivery)),
    ];
    Ok(Some(write(ADD_DELIVERIES, params)))
}

/// Deliveries as they are now, each with the fence and the state that its row must have.
macro_rules! changed {
    () => {
        "unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
         AS u(ordinal, was_fence, was_state, state, attempts, max_attempts, fence, since, due, waiting_since, node, \
         lease, throttled_since, progress, ready, deadline, held_by)"
    };
}

macro_rules! set {
    ($table:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " d SET state = u.state, attempts = u.attempts, max_attempts = u.max_attempts, fence = u.fence, \
             since = u.since, due = u.due, waiting_since = u.waiting_since, node = u.node, lease = u.lease, \
             throttled_since = u.throttled_since, progress = u.progress, ready = u.ready, deadline = u.deadline, \
             held_by = u.held_by FROM ",
            changed!(),
            " WHERE d.ordinal = u.ordinal AND d.fence = u.was_fence AND d.state = u.was_state"
        )
    };
}

macro_rules! pass {
    ($from:literal, $to:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM ",
            $from,
            " d USING ",
            changed!(),
            " WHERE d.ordinal = u.ordinal AND d.fence = u.was_fence AND d.state = u.was_state RETURNING d.ordinal, \
             d.id, d.operation, d.event, d.later, d.consumer, d.weight, d.priority, u.state, u.attempts, \
             u.max_attempts, u.fence, u.since, u.due, u.waiting_since, u.node, u.lease, u.throttled_since, \
             u.progress, d.grp, d.turn, d.ordered, u.ready, u.deadline, u.held_by) INSERT INTO ",
            $to,
            " SELECT * FROM gone"
        )
    };
}

const LIVE_ON: &str = set!("deliveries");
const ENDED_ON: &str = set!("ended");
const END: &str = pass!("deliveries", "ended");
const REVIVE: &str = pass!("ended", "deliveries");

fn change_deliveries(changed: BTreeMap<i64, Changed>) -> Try<Vec<Write>> {
    let mut kinds: [Vec<Changed>; 4] = Default::default();
    for changed in changed.into_values() {
        let kind = usize::from(changed.state.has_ended()) * 2 + usize::from(changed.after.state.has_ended());
        kinds[kind].push(changed);
    }
    let kinds = [LIVE_ON, END, REVIVE, ENDED_ON].into_iter().zip(kinds).filter(|(_, rows)| !rows.is_empty());
    kinds.map(|(sql, rows)| change(sql, &rows)).collect()
}

fn change(sql: &'static str, rows: &[Changed]) -> Try<Write> {
    let params = vec![
        column(rows, |row| row.after.id.ordinal()),
        column(rows, |row| signed(row.fence)),
        column(rows, |row| row.state.code()),
        column(rows, |row| row.after.state.code()),
        column(rows, |row| number(row.after.attempts)),
        column(rows, |row| number(row.after.max_attempts)),
        column(rows, |row| signed(row.after.fence)),
        column(rows, |row| row.after.since.as_micros()),
        column(rows, |row| row.after.due.as_micros()),
        column(rows, |row| row.after.waiting_since.as_micros()),
        column(rows, |row| row.node),
        column(rows, |row| micros(row.after.lease)),
        column(rows, |row| micros(row.after.throttled_since)),
        json_column(rows, |row| row.after.progress.as_ref())?,
        column(rows, |row| row.after.state == State::Waiting && is_due(&row.after)),
        column(rows, |row| micros(row.after.deadline)),
        json_column(rows, |row| row.after.held_by.as_ref())?,
    ];
    Ok(Write { sql, params, expected: Some(rows.len() as u64) })
}

const ADD_ATTEMPTS: &str = "INSERT INTO attempts (delivery, fence, number, node, waiting_since, due, started, ended, \
    ending, failure, held_by) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

fn add_attempts(rows: &[(Attempt, Option<i32>)]) -> Try<Option<Write>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let params = vec![
        column(rows, |(attempt, _)| attempt.delivery.ordinal()),
        column(rows, |(attempt, _)| signed(attempt.fence)),
        column(rows, |(attempt, _)| number(attempt.number)),
        column(rows, |(_, node)| *node),
        column(rows, |(attempt, _)| attempt.waiting_since.as_micros()),
        column(rows, |(attempt, _)| attempt.due.as_micros()),
        column(rows, |(attempt, _)| attempt.started.as_micros()),
        column(rows, |(attempt, _)| attempt.ended.as_micros()),
        column(rows, |(attempt, _)| attempt.ending.code()),
        json_column(rows, |(attempt, _)| attempt.failure.as_ref())?,
        json_column(rows, |(attempt, _)| attempt.held_by.as_ref())?,
    ];
    Ok(Some(write(ADD_ATTEMPTS, params)))
}

fn put_results(results: BTreeMap<i64, Option<Data>>) -> Vec<Write> {
    let (mut gone, mut rows) = (Vec::new(), Vec::new());
    for (delivery, data) in results {
        match data {
            Some(data) => rows.push((delivery, data)),
            None => gone.push(delivery),
        }
    }
    let mut writes = Vec::new();
    if !gone.is_empty() {
        writes.push(write("DELETE FROM results WHERE delivery = ANY($1)", vec![Box::new(gone)]));
    }
    if !rows.is_empty() {
        let sql = "INSERT INTO results (delivery, content_type, data) SELECT * FROM unnest($1, $2, $3) \
            ON CONFLICT (delivery) DO UPDATE SET content_type = EXCLUDED.content_type, data = EXCLUDED.data";
        let params = vec![
            column(&rows, |(delivery, _)| *delivery),
            column(&rows, |(_, data)| text(&data.content_type).into_owned()),
            column(&rows, |(_, data)| data.bytes.to_vec()),
        ];
        writes.push(write(sql, params));
    }
    writes
}

fn put_steps(gone: BTreeSet<(i64, String)>, steps: BTreeMap<(i64, String), Vec<u8>>) -> Vec<Write> {
    let mut writes = Vec::new();
    if !gone.is_empty() {
        let sql = "DELETE FROM steps s USING unnest($1, $2) AS u(delivery, name) \
            WHERE s.delivery = u.delivery AND s.name = u.name";
        let (deliveries, names): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
        writes.push(write(sql, vec![Box::new(deliveries), Box::new(names)]));
    }
    if !steps.is_empty() {
        let sql = "INSERT INTO steps (delivery, name, value) SELECT * FROM unnest($1, $2, $3) \
            ON CONFLICT (delivery, name) DO NOTHING";
        let (steps, values): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let (deliveries, names): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        writes.push(write(sql, vec![Box::new(deliveries), Box::new(names), Box::new(values)]));
    }
    writes
}

fn add_notifications(rows: &[Notification]) -> Option<Write> {
    if rows.is_empty() {
        return None;
    }
    let sql = "INSERT INTO notifications (ordinal, id, owner, operation, title, text, level, created, read) \
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let params = vec![
        column(rows, |one| one.id.ordinal()),
        column(rows, |one| uuid(one.id.as_bytes())),
        column(rows, |one| owned(one.owner.as_deref())),
        column(rows, |one| uuid(one.operation.as_bytes())),
        column(rows, |one| text(&one.title).into_owned()),
        column(rows, |one| text(&one.text).into_owned()),
        column(rows, |one| one.level.code()),
        column(rows, |one| one.created.as_micros()),
        column(rows, |one| micros(one.read)),
    ];
    Some(write(sql, params))
}

fn put_keys(keys: HashMap<KeyRef, Option<KeyRow>>) -> Try<Vec<Write>> {
    let (mut gone, mut rows) = (Vec::new(), Vec::new());
    for (key, row) in keys {
        match row {
            Some(row) => rows.push((key, row)),
            None => gone.push(key),
        }
    }
    let mut writes = Vec::new();
    if !gone.is_empty() {
        let sql = "DELETE FROM limit_keys k USING unnest($1, $2) AS u(name, key) \
            WHERE k.name = u.name AND k.key = u.key";
        let params =
            vec![column(&gone, |key| text(&key.limit).into_owned()), column(&gone, |key| text(&key.key).into_owned())];
        writes.push(write(sql, params));
    }
    if !rows.is_empty() {
        let sql = "INSERT INTO limit_keys (name, key, tat, pause, adapt, ramp) \
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6) ON CONFLICT (name, key) DO UPDATE SET \
            tat = EXCLUDED.tat, pause = EXCLUDED.pause, adapt = EXCLUDED.adapt, ramp = EXCLUDED.ramp";
        let params = vec![
            column(&rows, |(key, _)| text(&key.limit).into_owned()),
            column(&rows, |(key, _)| text(&key.key).into_owned()),
            column(&rows, |(_, row)| row.tat),
            json_column(&rows, |(_, row)| row.pause.as_ref())?,
            json_column(&rows, |(_, row)| row.adapt.as_ref())?,
            column(&rows, |(_, row)| row.ramp.map(number)),
        ];
        writes.push(write(sql, params));
    }
    Ok(writes)
}

fn put_holds(gone: BTreeSet<HoldId>, holds: HashMap<(HoldId, KeyRef), Hold>) -> Vec<Write> {
    let mut writes = Vec::new();
    if !gone.is_empty() {
        let gone: Vec<_> = gone.into_iter().collect();
        let sql = "DELETE FROM holds h USING unnest($1, $2, $3) AS u(delivery, fence, permit) \
            WHERE h.delivery = u.delivery AND h.fence = u.fence AND h.permit = u.permit";
        let params = vec![
            column(&gone, |id| uuid(id.delivery.as_bytes())),
            column(&gone, |id| signed(id.fence)),
            column(&gone, |id| number(id.permit)),
        ];
        writes.push(write(sql, params));
    }
    if !holds.is_empty() {
        let rows: Vec<_> = holds.into_iter().collect();
        let sql = "INSERT INTO holds (name, key, delivery, fence, permit, operation, consumer, since, until) \
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) \
            ON CONFLICT (delivery, fence, permit, name, key) DO UPDATE SET until = EXCLUDED.until";
        let params = vec![
            column(&rows, |((_, key), _)| text(&key.limit).into_owned()),
            column(&rows, |((_, key), _)| text(&key.key).into_owned()),
            column(&rows, |((id, _), _)| uuid(id.delivery.as_bytes())),
            column(&rows, |((id, _), _)| signed(id.fence)),
            column(&rows, |((id, _), _)| number(id.permit)),
            column(&rows, |(_, hold)| uuid(hold.operation.as_bytes())),
            column(&rows, |(_, hold)| text(&hold.consumer).into_owned()),
            column(&rows, |(_, hold)| hold.since.as_micros()),
            column(&rows, |(_, hold)| micros(hold.until)),
        ];
        writes.push(write(sql, params));
    }
    writes
}

fn keep_keys(kept: Vec<(IdempotencyKey, OperationId)>) -> Option<Write> {
    // Of one key in one transaction the last counts: the one before it is over.
    let rows: BTreeMap<_, _> =
        kept.into_iter().map(|(key, operation)| ((key.scope.clone(), key.key.clone()), (key, operation))).collect();
    if rows.is_empty() {
        return None;
    }
    let rows: Vec<_> = rows.into_values().collect();
    let sql = "INSERT INTO idempotency (scope, key, fingerprint, operation, expires) \
        SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT (scope, key) DO UPDATE SET \
        fingerprint = EXCLUDED.fingerprint, operation = EXCLUDED.operation, expires = EXCLUDED.expires";
    let params = vec![
        column(&rows, |(key, _)| text(&key.scope).into_owned()),
        column(&rows, |(key, _)| text(&key.key).into_owned()),
        column(&rows, |(key, _)| key.fingerprint.to_vec()),
        column(&rows, |(_, operation)| uuid(operation.as_bytes())),
        column(&rows, |(key, _)| key.expires.as_micros()),
    ];
    Some(write(sql, params))
}

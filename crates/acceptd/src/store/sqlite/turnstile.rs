//! The turnstile beside the rows: rebuilt from them at open and after a rollback, told of every change on the way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use super::book::Book;
use super::error::Try;
use super::row::{self, delivery_columns, instant, instant_maybe, json_maybe, signed, to_json};
use crate::delivery::State;
use crate::limit::{Limit, Policy};
use crate::operation::Operation;
use crate::store::plan::{self, NewOperation};
use crate::store::turnstile::{Head, Hold, HoldId, KeyRef, KeyRow, Turnstile};
use crate::{Delivery, DeliveryId, OperationId, Timestamp};

/// Deliveries that get in line by one claim at most, when their time has come.
const PROMOTED_MAX: i64 = 2_000;

type Sql<T> = rusqlite::Result<T>;

/// The turnstile, for as long as one look or change takes.
pub(super) fn lock(turnstile: &Mutex<Turnstile>) -> MutexGuard<'_, Turnstile> {
    turnstile.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a delivery was due when it began to wait.
pub(super) fn is_due(delivery: &Delivery) -> bool {
    delivery.due <= delivery.since
}

const GROUPS: &str = "SELECT c.name, d.grp, count(*), \
    min(iif(d.ordered, d.grp, d.turn)), max(d.priority), min(d.ordinal) \
    FROM deliveries d INDEXED BY deliveries_ready JOIN consumers c ON c.id = d.consumer \
    WHERE d.state = 0 AND d.ready = 1 GROUP BY d.consumer, d.grp";
const RUNNING: &str =
    concat!("SELECT ", delivery_columns!(), " FROM deliveries d INDEXED BY deliveries_running WHERE d.state = 1");

/// Reads everything that the turnstile is made of.
pub(super) fn load(conn: &Connection, turnstile: &mut Turnstile) -> Sql<()> {
    // What was rolled back may be a limit or a policy.
    *turnstile = Turnstile::default();
    load_limits(conn, turnstile)?;
    let mut groups = Vec::new();
    let mut sql = conn.prepare_cached(GROUPS)?;
    let row = |row: &rusqlite::Row<'_>| {
        let (turn, count): (String, i64) = (row.get(3)?, row.get(2)?);
        let head = Head { turn: turn.into(), priority: row.get(4)?, age: row.get(5)? };
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, count.unsigned_abs(), head))
    };
    for group in sql.query_map([], row)? {
        groups.push(group?);
    }
    groups.sort_unstable_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    for (consumer, group, count, head) in groups {
        turnstile.offer_many(&consumer, &group, count, head);
    }
    if crate::fault::planted("slots-counted") {
        // Who counts slots in memory has counted none after a crash.
        return Ok(());
    }
    let mut sql = conn.prepare_cached(RUNNING)?;
    for delivery in sql.query_map([], row::delivery)? {
        turnstile.hold(&delivery?);
    }
    load_holds(conn, turnstile)
}

fn load_limits(conn: &Connection, turnstile: &mut Turnstile) -> Sql<()> {
    let mut sql = conn.prepare_cached("SELECT declared, change, pause FROM limits ORDER BY name")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(declared) = json_maybe::<Limit>(row, 0)? {
            turnstile.declare(declared, json_maybe(row, 1)?, json_maybe(row, 2)?);
        }
    }
    let mut sql = conn.prepare_cached("SELECT name, policy FROM consumers WHERE policy IS NOT NULL ORDER BY name")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(policy) = json_maybe::<Policy>(row, 1)? {
            turnstile.set_policy(&row.get::<_, String>(0)?, policy);
        }
    }
    let mut sql = conn.prepare_cached("SELECT name, key, tat, pause, adapt, ramp FROM limit_keys")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let key = KeyRef { limit: row.get::<_, String>(0)?.into(), key: row.get::<_, String>(1)?.into() };
        let (pause, adapt) = (json_maybe(row, 3)?, json_maybe(row, 4)?);
        turnstile.restore(key, KeyRow { tat: row.get(2)?, pause, adapt, ramp: row.get(5)? });
    }
    Ok(())
}

fn load_holds(conn: &Connection, turnstile: &mut Turnstile) -> Sql<()> {
    let sql = "SELECT name, key, delivery, fence, permit, operation, consumer, since, until FROM holds";
    let mut sql = conn.prepare_cached(sql)?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let key = KeyRef { limit: row.get::<_, String>(0)?.into(), key: row.get::<_, String>(1)?.into() };
        let delivery = DeliveryId::from_bytes(row.get(2)?);
        let id = HoldId { delivery, fence: row.get::<_, i64>(3)?.unsigned_abs(), permit: row.get(4)? };
        let hold = Hold {
            id,
            operation: OperationId::from_bytes(row.get(5)?),
            consumer: row.get(6)?,
            since: instant(row, 7)?,
            until: instant_maybe(row, 8)?,
        };
        turnstile.hold_keys(&[key], &hold);
    }
    Ok(())
}

impl Book<'_> {
    /// A delivery waits from now on.
    pub(super) fn get_in_line(&mut self, delivery: &Delivery, consumer: i64) {
        if is_due(delivery) {
            lock(&self.turnstile).offer(&delivery.consumer, &delivery.lane.group, Head::of(delivery));
        } else {
            self.names.note_due(consumer, delivery.due);
        }
    }

    /// Whether a waiting delivery is in line.
    pub(super) fn is_ready(&self, ordinal: i64) -> Try<bool> {
        Ok(self
            .conn
            .prepare_cached("SELECT ready FROM deliveries WHERE ordinal = ?1")?
            .query_row([ordinal], |row| row.get(0))?)
    }

    /// Lets what is due now get in line. Answers when the next will be due.
    pub(super) fn promote(&mut self, consumer: i64, name: &str, now: Timestamp) -> Try<Option<Timestamp>> {
        if self.names.next_due(consumer).is_none_or(|due| due > now) {
            return Ok(self.names.next_due(consumer));
        }
        let later = "SELECT ordinal, grp, iif(ordered, grp, turn), priority FROM deliveries INDEXED BY deliveries_due \
            WHERE state = 0 AND ready = 0 AND consumer = ?1 AND due <= ?2 ORDER BY due, ordinal LIMIT ?3";
        let due = {
            let mut sql = self.conn.prepare_cached(later)?;
            let row = |row: &rusqlite::Row<'_>| {
                let turn: String = row.get(2)?;
                let head = Head { turn: turn.into(), priority: row.get(3)?, age: row.get(0)? };
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, head))
            };
            sql.query_map(params![consumer, now.as_micros(), PROMOTED_MAX], row)?.collect::<Sql<Vec<_>>>()?
        };
        for (ordinal, group, head) in due {
            self.conn.prepare_cached("UPDATE deliveries SET ready = 1 WHERE ordinal = ?1")?.execute([ordinal])?;
            let mut turnstile = lock(&self.turnstile);
            turnstile.offer(name, &group, head);
            turnstile.look_again(name, &group);
        }
        let next = "SELECT due FROM deliveries INDEXED BY deliveries_due \
            WHERE state = 0 AND ready = 0 AND consumer = ?1 ORDER BY due LIMIT 1";
        let mut sql = self.conn.prepare_cached(next)?;
        let next = sql.query_map([consumer], |row| instant(row, 0))?.next().transpose()?;
        self.names.set_due(consumer, next);
        Ok(next)
    }

    /// An attempt left, or what waited changed: slots are free, or stay held for a while. Answers who may go on.
    pub(super) fn leave(
        &mut self,
        before: &Delivery,
        after: &Delivery,
        lingers: Option<Timestamp>,
    ) -> Try<Vec<String>> {
        let mut woken = Vec::new();
        let attempt = HoldId::of(before);
        if before.state == State::Running && after.state != State::Running {
            let permits = lock(&self.turnstile).permits(attempt);
            for permit in permits {
                self.forget_hold(permit)?;
                woken.extend(lock(&self.turnstile).left(permit, None));
            }
            if let Some(until) = lingers {
                let keys = lock(&self.turnstile).keys_of(attempt).to_vec();
                let hold = Hold { until: Some(until), ..Hold::of(before) };
                keys.iter().try_for_each(|key| self.keep_hold(key, &hold))?;
            }
            woken.extend(lock(&self.turnstile).left(attempt, lingers));
        }
        if after.state == State::Waiting {
            let consumer = self.names.consumer(self.conn, &after.consumer)?;
            self.get_in_line(after, consumer);
        }
        if after.lane.ordered && after.state != State::Running {
            lock(&self.turnstile).look_again(&after.consumer, &after.lane.group);
            woken.push(after.consumer.clone());
        }
        Ok(woken)
    }

    /// Writes a hold that is not that of a running delivery.
    pub(super) fn keep_hold(&self, key: &KeyRef, hold: &Hold) -> Try<()> {
        let sql = "INSERT OR REPLACE INTO holds \
            (name, key, delivery, fence, permit, operation, consumer, since, until) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.conn.prepare_cached(sql)?.execute(params![
            &*key.limit,
            &*key.key,
            hold.id.delivery.as_bytes(),
            signed(hold.id.fence),
            hold.id.permit,
            hold.operation.as_bytes(),
            hold.consumer,
            hold.since.as_micros(),
            hold.until.map(Timestamp::as_micros),
        ])?;
        Ok(())
    }

    /// Removes a hold's rows.
    pub(super) fn forget_hold(&self, id: HoldId) -> Try<()> {
        let sql = "DELETE FROM holds WHERE delivery = ?1 AND fence = ?2 AND permit = ?3";
        self.conn.prepare_cached(sql)?.execute(params![id.delivery.as_bytes(), signed(id.fence), id.permit])?;
        Ok(())
    }

    /// Writes what changed of limits' keys.
    pub(super) fn write_keys(&mut self) -> Try<()> {
        let dirty = lock(&self.turnstile).take_dirty();
        for (key, row) in dirty {
            if row == KeyRow::default() {
                self.forget_key(&key)?;
                continue;
            }
            let sql = "INSERT OR REPLACE INTO limit_keys (name, key, tat, pause, adapt, ramp) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let (pause, adapt) = (to_json(row.pause.as_ref())?, to_json(row.adapt.as_ref())?);
            let columns = params![&*key.limit, &*key.key, row.tat, pause, adapt, row.ramp];
            self.conn.prepare_cached(sql)?.execute(columns)?;
        }
        Ok(())
    }

    /// Removes the row of a key that says nothing any more.
    pub(super) fn forget_key(&self, key: &KeyRef) -> Try<()> {
        let sql = "DELETE FROM limit_keys WHERE name = ?1 AND key = ?2";
        self.conn.prepare_cached(sql)?.execute([&*key.limit, &*key.key])?;
        Ok(())
    }

    /// Writes a new operation that `due` says the start of. Answers the consumers that got deliveries.
    pub(super) fn add_new(&mut self, new: &NewOperation, due: Timestamp) -> Try<Vec<String>> {
        let id = new.operation.id;
        let last_event = new.events.last().map_or(0, |(event, _)| event.key.ordinal());
        let last_delivery = new.deliveries.last().map_or(0, |delivery| delivery.id.ordinal());
        self.add_operation(&new.operation, last_event.max(last_delivery) - id.ordinal())?;
        for (event, unrouted) in &new.events {
            self.add_event(event, unrouted.then_some(due))?;
        }
        for delivery in &new.deliveries {
            self.add_delivery(delivery, false)?;
        }
        Ok(super::book::consumers_of(&new.deliveries))
    }

    /// Tells consumers of an operation's end. Answers who they are.
    pub(super) fn announce(&mut self, ended: &Operation, now: Timestamp) -> Try<Vec<String>> {
        match plan::announce(ended, &self.takers, now, &mut self.ids) {
            Some(new) => self.add_new(&new, now),
            None => Ok(Vec::new()),
        }
    }
}

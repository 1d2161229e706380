//! What is read into memory when the file is opened, and again after a rollback.

use rusqlite::{Connection, OptionalExtension as _};

use super::row::{self, delivery_columns, instant, instant_maybe, json_maybe};
use crate::limit::{Limit, Policy};
use crate::store::book::names::Names;
use crate::store::turnstile::{Head, Hold, HoldId, KeyRef, KeyRow, Turnstile};
use crate::{DeliveryId, NodeId, OperationId};

type Sql<T> = rusqlite::Result<T>;

/// When the next delivery of a consumer is due that is not in line.
pub(super) const NEXT_DUE: &str = "SELECT due FROM deliveries INDEXED BY deliveries_due \
    WHERE state = 0 AND ready = 0 AND consumer = ?1 ORDER BY due LIMIT 1";

/// The last ordinal that was given out.
pub(super) const LAST: &str = "SELECT max(ifnull((SELECT max(ordinal) FROM operations), 0), \
    ifnull((SELECT max(ordinal) FROM events), 0), ifnull((SELECT max(ordinal) FROM deliveries), 0), \
    ifnull((SELECT max(ordinal) FROM notifications), 0))";
/// What waits or runs, and what waits for a consumer.
pub(super) const BACKLOG: &str = "SELECT \
    (SELECT count(*) FROM deliveries INDEXED BY deliveries_ready WHERE state = 0 AND ready = 1) + \
    (SELECT count(*) FROM deliveries INDEXED BY deliveries_due WHERE state = 0 AND ready = 0) + \
    (SELECT count(*) FROM deliveries INDEXED BY deliveries_running WHERE state = 1) + \
    (SELECT count(*) FROM events INDEXED BY events_unrouted WHERE unrouted IS NOT NULL)";

/// The numbers of consumers and nodes, pauses, and due times.
pub(super) fn names(conn: &Connection) -> Sql<Names> {
    let mut names = Names::default();
    let mut sql = conn.prepare_cached("SELECT name, id FROM consumers")?;
    names.consumers = sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Sql<_>>()?;
    let mut sql = conn.prepare_cached("SELECT node, id, heartbeat FROM nodes")?;
    let node = |row: &rusqlite::Row<'_>| Ok((NodeId::from_bytes(row.get(0)?), (row.get(1)?, instant(row, 2)?)));
    names.nodes = sql.query_map([], node)?.collect::<Sql<_>>()?;
    let mut sql = conn.prepare_cached(
        "SELECT consumer, id, gate, since, until, by, reason FROM closures WHERE gate = 0 ORDER BY id",
    )?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        names.pauses.entry(row.get(0)?).or_default().push((row.get(1)?, row::closure(row, 2)?));
    }
    drop(rows);
    for id in names.consumers.values() {
        let next = conn.prepare_cached(NEXT_DUE)?.query_row([id], |row| instant(row, 0)).optional()?;
        names.due.extend(next.map(|due| (*id, due)));
    }
    Ok(names)
}

const GROUPS: &str = "SELECT c.name, d.grp, count(*), \
    min(iif(d.ordered, d.grp, d.turn)), max(d.priority), min(d.ordinal) \
    FROM deliveries d INDEXED BY deliveries_ready JOIN consumers c ON c.id = d.consumer \
    WHERE d.state = 0 AND d.ready = 1 GROUP BY d.consumer, d.grp";
const RUNNING: &str =
    concat!("SELECT ", delivery_columns!(), " FROM deliveries d INDEXED BY deliveries_running WHERE d.state = 1");

/// Reads everything that the turnstile is made of.
pub(super) fn turnstile(conn: &Connection, turnstile: &mut Turnstile) -> Sql<()> {
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

//! What is read into memory when the store is opened, and again after a rollback.

use super::error::Try;
use super::query::together;
use super::row::{self, delivery_columns, every, get, id, instant, instant_maybe, json_maybe, unsigned};
use super::session::Session;
use crate::limit::{Limit, Policy};
use crate::store::book::names::Names;
use crate::store::turnstile::{Head, Hold, HoldId, KeyRef, KeyRow, Turnstile};
use crate::{NodeId, Timestamp};

/// When the next delivery of a consumer is due that is not in line.
pub(super) const NEXT_DUE: &str = "SELECT due FROM deliveries \
    WHERE state = 0 AND NOT ready AND consumer = $1 ORDER BY due, ordinal LIMIT 1";
const ALL_DUE: &str = "SELECT c.id, n.due FROM consumers c CROSS JOIN LATERAL (SELECT due FROM deliveries \
    WHERE state = 0 AND NOT ready AND consumer = c.id ORDER BY due, ordinal LIMIT 1) n";
/// The version of the log, the last ordinal, and what waits or runs.
pub(super) const STATE: &str = "SELECT version, last, backlog FROM log ORDER BY version DESC LIMIT 1";
const GROUPS: &str = "SELECT c.name, d.grp, count(*), min(CASE WHEN d.ordered THEN d.grp ELSE d.turn END), \
    max(d.priority), min(d.ordinal) FROM deliveries d JOIN consumers c ON c.id = d.consumer \
    WHERE d.state = 0 AND d.ready GROUP BY c.name, d.grp ORDER BY c.name, d.grp";
const RUNNING: &str = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.state = 1");
const HOLDS: &str = "SELECT name, key, delivery, fence, permit, operation, consumer, since, until FROM holds";

/// The numbers of consumers and nodes, pauses, and due times.
pub(super) async fn names(session: &Session) -> Try<Names> {
    let [consumers, nodes, pauses, due] = together(
        session,
        [
            ("SELECT name, id FROM consumers", &[]),
            ("SELECT node, id, heartbeat FROM nodes", &[]),
            (
                "SELECT consumer, id, gate, since, until, by, reason FROM closures WHERE gate = 0 ORDER BY id",
                &[],
            ),
            (ALL_DUE, &[]),
        ],
    )
    .await?;
    let mut names = Names::default();
    for row in &consumers {
        names.consumers.insert(get(row, 0)?, i64::from(get::<i32>(row, 1)?));
    }
    for row in &nodes {
        names.nodes.insert(id::<NodeId>(row, 0)?, (i64::from(get::<i32>(row, 1)?), instant(row, 2)?));
    }
    for row in &pauses {
        let pause = (get(row, 1)?, row::closure(row, 2)?);
        names.pauses.entry(i64::from(get::<i32>(row, 0)?)).or_default().push(pause);
    }
    for row in &due {
        names.due.insert(i64::from(get::<i32>(row, 0)?), instant(row, 1)?);
    }
    Ok(names)
}

/// Reads everything that the turnstile is made of.
pub(super) async fn turnstile(session: &Session, turnstile: &mut Turnstile) -> Try<()> {
    load_limits(session, turnstile).await?;
    let [groups, running, holds] = together(session, [(GROUPS, &[]), (RUNNING, &[]), (HOLDS, &[])]).await?;
    for row in &groups {
        let priority = i8::try_from(get::<i16>(row, 4)?).unwrap_or_default();
        let head = Head { turn: get::<&str>(row, 3)?.into(), priority, age: get(row, 5)? };
        turnstile.offer_many(get(row, 0)?, get(row, 1)?, get::<i64>(row, 2)?.unsigned_abs(), head);
    }
    if crate::fault::planted("slots-counted") {
        // Who counts slots in memory has counted none after a crash.
        return Ok(());
    }
    for delivery in every(&running, row::delivery)? {
        turnstile.hold(&delivery);
    }
    for row in &holds {
        let key = KeyRef { limit: get::<&str>(row, 0)?.into(), key: get::<&str>(row, 1)?.into() };
        let permit = get::<i32>(row, 4)?.unsigned_abs();
        let hold = Hold {
            id: HoldId { delivery: id(row, 2)?, fence: unsigned(get(row, 3)?), permit },
            operation: id(row, 5)?,
            consumer: get(row, 6)?,
            since: instant(row, 7)?,
            until: instant_maybe(row, 8)?,
        };
        turnstile.hold_keys(&[key], &hold);
    }
    Ok(())
}

async fn load_limits(session: &Session, turnstile: &mut Turnstile) -> Try<()> {
    let [limits, policies, keys] = together(
        session,
        [
            ("SELECT declared, change, pause FROM limits ORDER BY name", &[]),
            ("SELECT name, policy FROM consumers WHERE policy IS NOT NULL ORDER BY name", &[]),
            ("SELECT name, key, tat, pause, adapt, ramp FROM limit_keys", &[]),
        ],
    )
    .await?;
    for row in &limits {
        if let Some(declared) = json_maybe::<Limit>(row, 0)? {
            turnstile.declare(declared, json_maybe(row, 1)?, json_maybe(row, 2)?);
        }
    }
    for row in &policies {
        if let Some(policy) = json_maybe::<Policy>(row, 1)? {
            turnstile.set_policy(get(row, 0)?, policy);
        }
    }
    for row in &keys {
        let key = KeyRef { limit: get::<&str>(row, 0)?.into(), key: get::<&str>(row, 1)?.into() };
        let ramp = get::<Option<i32>>(row, 5)?.map(i32::unsigned_abs);
        let row = KeyRow { tat: get(row, 2)?, pause: json_maybe(row, 3)?, adapt: json_maybe(row, 4)?, ramp };
        turnstile.restore(key, row);
    }
    Ok(())
}

/// The version of the log, the last ordinal and the backlog.
pub(super) async fn state(session: &Session) -> Try<(i64, i64, i64)> {
    match session.row(STATE, &[]).await? {
        Some(row) => Ok((get(&row, 0)?, get(&row, 1)?, get(&row, 2)?)),
        None => Ok((0, 0, 0)),
    }
}

/// The newest version of the log.
pub(super) async fn newest(session: &Session) -> Try<i64> {
    state(session).await.map(|(version, ..)| version)
}

/// The store's time, as the database shows it now.
pub(super) async fn time(session: &Session) -> Try<Timestamp> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + skew FROM clock";
    match session.row(sql, &[]).await? {
        Some(row) => instant(&row, 0),
        None => Err(super::error::unreadable("the table clock has no row")),
    }
}

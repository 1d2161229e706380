//! Looking at one thing: an operation, its chain and results, a delivery, consumers. Listings are in `list.rs`.
//!
//! Everything here takes a session inside a transaction that the caller has begun, so that readers and the writer ask
//! in the same way. What belongs to an operation is found without an index on it: what the accept made has the next
//! `span` ordinals, and only what came later is in the indexes `events_later`, `deliveries_later` and `ended_later`.
//! The statements look up the span themselves, so that they can be asked together with the operation's row.
//!
//! Where a statement stops after so many rows, it names the index's order: sessions plan without sequential and bitmap
//! scans, so it walks that index, whatever is known of the tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Row;

use super::error::{Stop, Try};
use super::row::{
    self, attempt_columns, delivery_columns, event_columns, event_head_columns, every, get, instant_maybe,
    notification_columns, operation_columns, unsigned,
};
use super::session::{Ask, Bind, Session};
use crate::delivery::{Attempt, State};
use crate::limit::Lane;
use crate::store::book::tables::Which;
use crate::store::{Chain, ConsumerResult, ConsumerView, DeliveryView, OperationView};
use crate::{
    Closure, Data, Delivery, DeliveryId, Error, EventKey, Notification, NotificationId, Operation, OperationId,
    StoredEvent, Timestamp,
};

/// Live deliveries that an operation is shown with; the statements have the same number.
const LIVE_MAX: usize = 100;

/// Asks several things in one round trip.
pub(super) async fn together<const N: usize>(session: &Session, asks: [Ask<'_>; N]) -> Try<[Vec<Row>; N]> {
    let mut answers = session.all(&asks).await?.into_iter();
    Ok(std::array::from_fn(|_| answers.next().unwrap_or_default()))
}

/// A column's ordinals: those that the accept of operation `$1` gave out. Root events of operations that were submitted
/// in SQL may have ordinals in between.
macro_rules! first {
    ($column:literal) => {
        concat!($column, " > $1 AND ", $column, " <= $1 + (SELECT s.span FROM operations s WHERE s.ordinal = $1)")
    };
}

/// Only events of operation `$1`.
macro_rules! event_of {
    () => {
        " AND e.operation = (SELECT s.id FROM operations s WHERE s.ordinal = $1)"
    };
}
pub(super) use event_of;

pub(super) const OPERATION: &str = concat!("SELECT ", operation_columns!(), " FROM operations o WHERE o.ordinal = $1");
pub(super) const LIVE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM operations o CROSS JOIN LATERAL (\
     (SELECT f.* FROM deliveries f WHERE f.ordinal > o.ordinal AND f.ordinal <= o.ordinal + o.span \
      ORDER BY f.ordinal LIMIT 100) UNION ALL \
     (SELECT l.* FROM deliveries l WHERE l.later = o.ordinal ORDER BY l.ordinal LIMIT 100)) d \
     WHERE o.ordinal = ANY($1)"
);

/// The operation in the answer to [`OPERATION`], and its span.
pub(super) fn the_operation(rows: &[Row], id: OperationId) -> Try<(Operation, i64)> {
    let found = rows.first().map(row::operation).transpose()?;
    found.filter(|(operation, _)| operation.id == id).ok_or_else(|| Error::not_found("operation", id).into())
}

pub(super) async fn operation(session: &Session, id: OperationId) -> Try<OperationView> {
    let asks: [Ask<'_>; 2] = [(OPERATION, &[&id.ordinal()]), (LIVE, &[&vec![id.ordinal()]])];
    let [operation, live] = together(session, asks).await?;
    let (operation, _) = the_operation(&operation, id)?;
    Ok(with_live(vec![operation], &live)?.remove(0))
}
/// Operations with the live deliveries of each: those in the answer to [`LIVE`].
pub(super) fn with_live(operations: Vec<Operation>, rows: &[Row]) -> Try<Vec<OperationView>> {
    let mut live: HashMap<OperationId, Vec<Delivery>> = HashMap::new();
    for delivery in every(rows, row::delivery)? {
        live.entry(delivery.operation).or_default().push(delivery);
    }
    let view = |operation: Operation| {
        let mut live = live.remove(&operation.id).unwrap_or_default();
        live.sort_unstable_by_key(|delivery| delivery.id);
        live.truncate(LIVE_MAX);
        OperationView { operation, live }
    };
    Ok(operations.into_iter().map(view).collect())
}

macro_rules! first_deliveries {
    ($of:literal) => {
        concat!("SELECT ", delivery_columns!(), " FROM ", $of, first!("d.ordinal"), " ORDER BY d.ordinal")
    };
}
macro_rules! later_deliveries {
    ($of:literal) => {
        concat!("SELECT ", delivery_columns!(), " FROM ", $of, "d.later = $1 ORDER BY d.ordinal")
    };
}

const ALL: [&str; 2] = [first_deliveries!("every_delivery d WHERE "), later_deliveries!("every_delivery d WHERE ")];
const ALL_LIVE: [&str; 2] = [first_deliveries!("deliveries d WHERE "), later_deliveries!("deliveries d WHERE ")];
/// With `=` the plan could be to walk every dead letter.
const ALL_DEAD: [&str; 2] = [
    first_deliveries!("ended d WHERE d.state BETWEEN 3 AND 3 AND "),
    later_deliveries!("ended d WHERE d.state BETWEEN 3 AND 3 AND "),
];

/// Deliveries of an operation, oldest first.
pub(super) async fn deliveries_of(session: &Session, id: OperationId, which: Which) -> Try<Vec<Delivery>> {
    let [first, later] = match which {
        Which::All => ALL,
        Which::Live => ALL_LIVE,
        Which::Dead => ALL_DEAD,
    };
    let key: &[&dyn Bind] = &[&id.ordinal()];
    let [operation, first, later] = together(session, [(OPERATION, key), (first, key), (later, key)]).await?;
    the_operation(&operation, id)?;
    first.iter().chain(&later).map(row::delivery).collect()
}

const FIRST_RESULTS: &str = concat!(
    "SELECT (SELECT c.name FROM consumers c WHERE c.id = d.consumer), r.content_type, r.data FROM ended d \
     CROSS JOIN LATERAL (SELECT * FROM results x WHERE x.delivery = d.ordinal OFFSET 0) r WHERE d.state = 2 AND ",
    first!("d.ordinal"),
    " ORDER BY d.ordinal"
);
const LATER_DONE: &str = "SELECT d.ordinal, d.event, (SELECT c.name FROM consumers c WHERE c.id = d.consumer) \
    FROM ended d WHERE d.later = $1 AND d.state = 2 ORDER BY d.ordinal";

pub(super) async fn results(session: &Session, id: OperationId) -> Try<Vec<ConsumerResult>> {
    let key: &[&dyn Bind] = &[&id.ordinal()];
    let asks = [(OPERATION, key), (FIRST_RESULTS, key), (LATER_DONE, key)];
    let [operation, first, later] = together(session, asks).await?;
    let (_, span) = the_operation(&operation, id)?;
    let result = |row: &Row| Ok(ConsumerResult { consumer: get(row, 0)?, data: row::data(row, 1)? });
    let mut found = every(&first, result)?;
    // Root events that found their consumer later: a root event's ordinal is within the span.
    let done = every(&later, |row| Ok((get(row, 0)?, row::id::<EventKey>(row, 1)?, get::<String>(row, 2)?)))?;
    let is_root = |event: &EventKey| event.ordinal() <= id.ordinal() + span;
    let done: Vec<(i64, _, _)> = done.into_iter().filter(|(_, event, _)| is_root(event)).collect();
    if done.is_empty() {
        return Ok(found);
    }
    let ordinals: Vec<i64> = done.iter().map(|(delivery, ..)| *delivery).collect();
    let mut results = by_delivery(&session.rows(RESULTS, &[&ordinals]).await?)?;
    for (delivery, _, consumer) in done {
        found.extend(results.remove(&delivery).map(|data| ConsumerResult { consumer, data }));
    }
    Ok(found)
}

pub(super) const RESULTS: &str = "SELECT r.content_type, r.data, r.delivery FROM results r WHERE r.delivery = ANY($1)";

/// What deliveries left, by the delivery's ordinal: the answer to [`RESULTS`].
pub(super) fn by_delivery(rows: &[Row]) -> Try<HashMap<i64, Data>> {
    rows.iter().map(|row| Ok((get(row, 2)?, row::data(row, 0)?))).collect()
}

/// What a delivery left: its result, or the kept outcome of a dead letter.
pub(super) async fn result_of(session: &Session, id: DeliveryId) -> Try<Option<Data>> {
    let row = session.row(RESULTS, &[&vec![id.ordinal()]]).await?;
    row.map(|row| row::data(&row, 0)).transpose()
}

const FIRST_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events e WHERE ",
    first!("e.ordinal"),
    event_of!(),
    " ORDER BY e.ordinal"
);
const LATER_EVENTS: &str = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.later = $1 ORDER BY e.ordinal");
const FIRST_ATTEMPTS: &str = concat!("SELECT ", attempt_columns!(), " FROM attempts a WHERE ", first!("a.delivery"));
const LATER_ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM every_delivery d CROSS JOIN LATERAL (SELECT * FROM attempts x WHERE x.delivery = d.ordinal OFFSET 0) a \
     WHERE d.later = $1"
);
const FIRST_SIZES: &str =
    concat!("SELECT r.delivery, octet_length(r.data) FROM results r WHERE ", first!("r.delivery"));
const LATER_SIZES: &str = "SELECT r.delivery, octet_length(r.data) FROM ended d \
    CROSS JOIN LATERAL (SELECT * FROM results x WHERE x.delivery = d.ordinal OFFSET 0) r \
    WHERE d.later = $1 AND d.state = 2";

const CHAIN: [&str; 9] =
    [OPERATION, FIRST_EVENTS, LATER_EVENTS, ALL[0], ALL[1], FIRST_ATTEMPTS, LATER_ATTEMPTS, FIRST_SIZES, LATER_SIZES];

pub(super) async fn chain(session: &Session, id: OperationId) -> Try<Chain> {
    let key: &[&dyn Bind] = &[&id.ordinal()];
    let answers = together(session, CHAIN.map(|sql| (sql, key))).await?;
    let [operation, events, later_events, first, later, attempts, later_attempts, sizes, later_sizes] = &answers;
    let (operation, _) = the_operation(operation, id)?;
    let events = events.iter().chain(later_events).map(row::event).collect::<Try<_>>()?;
    let deliveries = first.iter().chain(later).map(row::delivery).collect::<Try<Vec<_>>>()?;
    let known: HashMap<i64, &Delivery> = deliveries.iter().map(|one| (one.id.ordinal(), one)).collect();
    let mut found: Vec<Attempt> = Vec::new();
    for row in attempts.iter().chain(later_attempts) {
        if let Some(delivery) = known.get(&get(row, 0)?) {
            found.push(row::attempt(row, delivery.id)?);
        }
    }
    found.sort_by_key(|attempt| (attempt.started, attempt.delivery, attempt.fence));
    let mut result_sizes = BTreeMap::new();
    for row in sizes.iter().chain(later_sizes) {
        let done = known.get(&get(row, 0)?).filter(|delivery| delivery.state == State::Done);
        let size = usize::try_from(get::<i32>(row, 1)?).unwrap_or_default();
        result_sizes.extend(done.map(|delivery| (delivery.id, size)));
    }
    let closures = closures_over(session, &operation, &deliveries).await?;
    Ok(Chain { operation, events, deliveries, attempts: found, closures, result_sizes })
}

const CLOSURES: &str = "SELECT l.gate, l.since, l.until, l.by, l.reason, c.name FROM consumers c \
    CROSS JOIN LATERAL (SELECT * FROM closures x WHERE x.consumer = c.id AND x.since < $2 OFFSET 0) l \
    WHERE c.name = ANY($1) AND (l.until IS NULL OR l.until > $3) ORDER BY c.name, l.id";

/// Closures of the deliveries' consumers that fall into the operation's life, by the consumers' names.
async fn closures_over(
    session: &Session,
    operation: &Operation,
    deliveries: &[Delivery],
) -> Try<Vec<(String, Closure)>> {
    let names: BTreeSet<&str> = deliveries.iter().map(|delivery| &delivery.consumer[..]).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = names.into_iter().collect();
    let until = operation.ended.map_or(i64::MAX, |(_, at)| at.as_micros());
    let rows = session.rows(CLOSURES, &[&names, &until, &operation.created.as_micros()]).await?;
    every(&rows, |row| Ok((get(row, 5)?, row::closure(row, 0)?)))
}
pub(super) const LAST_ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM unnest($1::bigint[]) AS w (ordinal) CROSS JOIN LATERAL \
     (SELECT * FROM attempts x WHERE x.delivery = w.ordinal ORDER BY x.fence DESC LIMIT 1) a"
);

/// The last attempts of deliveries, by the delivery's ordinal: the answer to [`LAST_ATTEMPTS`].
pub(super) fn last_attempts(rows: &[Row], of: &[DeliveryId]) -> Try<HashMap<i64, Attempt>> {
    let ids: HashMap<i64, DeliveryId> = of.iter().map(|id| (id.ordinal(), *id)).collect();
    let mut found = HashMap::new();
    for row in rows {
        let ordinal = get(row, 0)?;
        if let Some(id) = ids.get(&ordinal) {
            found.insert(ordinal, row::attempt(row, *id)?);
        }
    }
    Ok(found)
}

/// A delivery, and the number of its consumer.
const DELIVERY: &str =
    concat!("SELECT ", delivery_columns!(), ", d.consumer FROM every_delivery d WHERE d.ordinal = $1");
const OUTCOME: &str = "SELECT r.content_type, r.data FROM results r \
    WHERE r.delivery = $1 AND (SELECT d.state FROM ended d WHERE d.ordinal = $1) = 3";

fn the_delivery(rows: &[Row], id: DeliveryId) -> Try<(Delivery, i32)> {
    let found = rows.first().map(|row| Ok::<_, Stop>((row::delivery(row)?, get(row, 22)?))).transpose()?;
    found.filter(|(delivery, _)| delivery.id == id).ok_or_else(|| Error::not_found("delivery", id).into())
}
pub(super) async fn delivery(session: &Session, id: DeliveryId) -> Try<DeliveryView> {
    let key: &[&dyn Bind] = &[&id.ordinal()];
    let [delivery, outcome] = together(session, [(DELIVERY, key), (OUTCOME, key)]).await?;
    let (delivery, consumer) = the_delivery(&delivery, id)?;
    let outcome = outcome.first().map(|row| row::data(row, 0)).transpose()?;
    let asks: [Ask<'_>; 2] =
        [(EVENTS, &[&vec![delivery.event.ordinal()]]), (OPERATION, &[&delivery.operation.ordinal()])];
    let [event, operation] = together(session, asks).await?;
    let event = the_event(&event, delivery.event)?;
    let (operation, _) = the_operation(&operation, delivery.operation)?;
    let ahead = if delivery.state == State::Waiting { ahead(session, &delivery, consumer).await? } else { 0 };
    Ok(DeliveryView { delivery, event, owner: operation.owner, ahead, outcome })
}

/// How many come before `($4, $5, $6)`, a priority, due time and ordinal, in lane `$3` of group `$2` of consumer `$1`;
/// then lane by lane in the order of their names, as many turns of each. The first lane is the one without a name.
const AHEAD: &str = "WITH RECURSIVE mine AS (SELECT count(*) AS n FROM (\
       (SELECT 1 FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = $1 AND d.grp = $2 AND d.turn = $3 \
        AND d.priority > $4 ORDER BY d.priority DESC, d.due, d.ordinal LIMIT 1001) UNION ALL \
       (SELECT 1 FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = $1 AND d.grp = $2 AND d.turn = $3 \
        AND d.priority = $4 AND (d.due, d.ordinal) < ($5, $6) ORDER BY d.due, d.ordinal LIMIT 1001) LIMIT 1001) one), \
     walk (turn, ahead) AS (SELECT NULL::text COLLATE \"C\", mine.n FROM mine UNION ALL \
       SELECT lane.turn, walk.ahead + turns.n FROM walk CROSS JOIN mine CROSS JOIN LATERAL \
        (SELECT CASE WHEN walk.turn IS NULL THEN '' ELSE (SELECT d.turn FROM deliveries d WHERE d.state = 0 \
          AND d.ready AND d.consumer = $1 AND d.grp = $2 AND d.turn > walk.turn ORDER BY d.turn LIMIT 1) END AS turn \
         OFFSET 0) lane \
        CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT 1 FROM deliveries d WHERE d.state = 0 AND d.ready \
          AND d.consumer = $1 AND d.grp = $2 AND d.turn = lane.turn ORDER BY d.priority DESC, d.due, d.ordinal \
          LIMIT CASE WHEN lane.turn = $3 THEN 0 ELSE \
           least(mine.n + (lane.turn < $3)::int, 1001 - walk.ahead) END) one) turns \
       WHERE walk.ahead < 1001 AND lane.turn IS NOT NULL AND (mine.n > 0 OR lane.turn <= $3)) \
     SELECT max(walk.ahead) FROM walk";
/// Of those that run: with `=` the plan could be to walk all of them.
const BEFORE_ORDERED: &str = "SELECT count(*) FROM (\
    SELECT 1 FROM deliveries d WHERE d.ordered AND d.state BETWEEN 1 AND 1 AND d.consumer = $1 AND d.grp = $2 \
    AND d.ordinal < $3 UNION ALL \
    SELECT 1 FROM deliveries d WHERE d.ordered AND d.state = 0 AND d.consumer = $1 AND d.grp = $2 AND d.ordinal < $3 \
    LIMIT 1001) one";

/// How many in line come before a waiting delivery, at most 1,001: all before it in its lane, and as many turns of the
/// others.
async fn ahead(session: &Session, delivery: &Delivery, consumer: i32) -> Try<usize> {
    let Lane { group, turn, ordered } = &delivery.lane;
    let ordinal = delivery.id.ordinal();
    let row = match ordered {
        true => session.row(BEFORE_ORDERED, &[&consumer, group, &ordinal]).await?,
        false => {
            let (priority, due) = (i16::from(delivery.priority), delivery.due.as_micros());
            session.row(AHEAD, &[&consumer, group, turn, &priority, &due, &ordinal]).await?
        }
    };
    let count = row.map(|row| get::<i64>(&row, 0)).transpose()?.unwrap_or_default();
    Ok(usize::try_from(count).unwrap_or_default())
}

pub(super) async fn steps(session: &Session, delivery: DeliveryId) -> Try<Vec<(String, Vec<u8>)>> {
    let sql = "SELECT name, value FROM steps WHERE delivery = $1 ORDER BY name";
    let rows = session.rows(sql, &[&delivery.ordinal()]).await?;
    every(&rows, |row| Ok((get(row, 0)?, get(row, 1)?)))
}

pub(super) const EVENTS: &str = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.ordinal = ANY($1)");
const EVENT_HEAD: &str = concat!("SELECT ", event_head_columns!(), " FROM events e WHERE e.ordinal = ANY($1)");

fn the_event(rows: &[Row], key: EventKey) -> Try<StoredEvent> {
    let found = rows.first().map(row::event).transpose()?;
    found.filter(|event| event.key == key).ok_or_else(|| Error::not_found("event", key).into())
}

/// An event; without its data and extensions when only its place in the chain matters.
pub(super) async fn event(session: &Session, key: EventKey, whole: bool) -> Try<StoredEvent> {
    let sql = if whole { EVENTS } else { EVENT_HEAD };
    the_event(&session.rows(sql, &[&vec![key.ordinal()]]).await?, key)
}

/// The events of claimed deliveries, in the order asked for.
pub(super) async fn events(session: &Session, keys: &[EventKey]) -> Try<Vec<StoredEvent>> {
    let ordinals: Vec<i64> = keys.iter().map(|key| key.ordinal()).collect();
    in_order(&session.rows(EVENTS, &[&ordinals]).await?, keys)
}

/// The events in the answer to [`EVENTS`], in this order.
pub(super) fn in_order(rows: &[Row], keys: &[EventKey]) -> Try<Vec<StoredEvent>> {
    let found = rows.iter().map(|row| row::event(row).map(|event| (event.key, event)));
    let found = found.collect::<Try<HashMap<EventKey, StoredEvent>>>()?;
    let event = |key| found.get(key).cloned().ok_or_else(|| Error::not_found("event", key).into());
    keys.iter().map(event).collect()
}

pub(super) async fn notification(session: &Session, id: NotificationId) -> Try<Notification> {
    let sql = concat!("SELECT ", notification_columns!(), " FROM notifications WHERE ordinal = $1");
    let found = session.row(sql, &[&id.ordinal()]).await?.as_ref().map(row::notification).transpose()?;
    found.filter(|found| found.id == id).ok_or_else(|| Error::not_found("notification", id).into())
}

const HAS_WAITING: &str = "SELECT 1 FROM (\
    (SELECT 1 FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = $1 \
     ORDER BY d.grp, d.turn, d.priority DESC, d.due, d.ordinal LIMIT 1) UNION ALL \
    (SELECT 1 FROM deliveries d WHERE d.state = 0 AND NOT d.ready AND d.consumer = $1 \
     ORDER BY d.due, d.ordinal LIMIT 1)) one LIMIT 1";

pub(super) async fn has_waiting(session: &Session, consumer: i32) -> Try<bool> {
    Ok(session.row(HAS_WAITING, &[&consumer]).await?.is_some())
}

/// What a consumer has waiting: those that were due when they were last looked at, or those that were not; in their
/// index's order, so many of them.
macro_rules! ready {
    ($columns:literal, $consumer:literal, $which:literal, $max:literal) => {
        concat!(
            "(SELECT ",
            $columns,
            " FROM deliveries d WHERE d.state = 0 AND d.ready AND d.consumer = ",
            $consumer,
            $which,
            " ORDER BY d.grp, d.turn, d.priority DESC, d.due, d.ordinal LIMIT ",
            $max,
            ")"
        )
    };
}
macro_rules! due {
    ($columns:literal, $consumer:literal, $which:literal, $max:literal) => {
        concat!(
            "(SELECT ",
            $columns,
            " FROM deliveries d WHERE d.state = 0 AND NOT d.ready AND d.consumer = ",
            $consumer,
            $which,
            " ORDER BY d.due, d.ordinal LIMIT ",
            $max,
            ")"
        )
    };
}
macro_rules! oldest {
    ($consumer:literal) => {
        concat!(
            "least((SELECT min(since) FROM ",
            ready!("d.since", $consumer, "", "5000"),
            " one), (SELECT min(since) FROM ",
            due!("d.since", $consumer, "", "5000"),
            " one))"
        )
    };
}

const OLDEST: &str = concat!("SELECT ", oldest!("$1"));

/// Since when the oldest waiting delivery of a consumer waits. Exact for up to 5,000 that are due and 5,000 that are
/// not; beyond that it is the oldest of those.
pub(super) async fn oldest(session: &Session, consumer: i32) -> Try<Option<Timestamp>> {
    let row = session.row(OLDEST, &[&consumer]).await?;
    Ok(row.map(|row| instant_maybe(&row, 0)).transpose()?.flatten())
}

/// How many wait is counted to 1,000,001; since when the oldest could run is as exact as [`oldest`].
const CONSUMERS: &str = concat!(
    "SELECT k.id, k.name, k.last_served, (SELECT count(*) FROM (",
    ready!("1", "k.id", "", "1000001"),
    " UNION ALL ",
    due!("1", "k.id", "", "1000001"),
    " LIMIT 1000001) one), ",
    oldest!("k.id"),
    ", least((SELECT min(greatest(since, due)) FROM ",
    ready!("d.since, d.due", "k.id", " AND d.due <= $1", "5000"),
    " one), (SELECT min(greatest(since, due)) FROM ",
    due!("d.since, d.due", "k.id", " AND d.due <= $1", "5000"),
    " one)) FROM consumers k ORDER BY k.name"
);
const RUNNING: &str = "SELECT d.consumer, count(*) FROM deliveries d WHERE d.state = 1 GROUP BY d.consumer";
const DEAD: &str = "SELECT d.consumer, count(*) FROM ended d WHERE d.state = 3 GROUP BY d.consumer";
const SHUT: &str = "SELECT l.gate, l.since, l.until, l.by, l.reason, l.consumer FROM closures l \
    WHERE l.gate = 0 AND l.since <= $1 AND (l.until IS NULL OR l.until > $1) ORDER BY l.id DESC";

/// Every statement that must be answered by an index, for the query plan tests.
pub(super) fn statements() -> Vec<&'static str> {
    let mut all = vec![LIVE, FIRST_RESULTS, LATER_DONE, RESULTS, CLOSURES, LAST_ATTEMPTS, DELIVERY, OUTCOME];
    all.extend([AHEAD, BEFORE_ORDERED, EVENTS, EVENT_HEAD, HAS_WAITING, OLDEST, CONSUMERS, RUNNING, DEAD]);
    all.extend(CHAIN);
    all.extend(ALL_LIVE);
    all.extend(ALL_DEAD);
    all
}

fn by_consumer(rows: &[Row]) -> Try<HashMap<i32, u64>> {
    rows.iter().map(|row| Ok((get(row, 0)?, unsigned(get(row, 1)?)))).collect()
}

pub(super) async fn consumers(session: &Session, now: Timestamp) -> Try<Vec<ConsumerView>> {
    let at: &[&dyn Bind] = &[&now.as_micros()];
    let [rows, running, dead, shut] =
        together(session, [(CONSUMERS, at), (RUNNING, &[]), (DEAD, &[]), (SHUT, at)]).await?;
    let (running, dead) = (by_consumer(&running)?, by_consumer(&dead)?);
    let closures = shut.iter().map(|row| Ok((get(row, 5)?, row::closure(row, 0)?)));
    let mut closures = closures.collect::<Try<HashMap<i32, Closure>>>()?;
    let mut views = Vec::new();
    for row in &rows {
        let (id, waiting): (i32, _) = (get(row, 0)?, unsigned(get(row, 3)?));
        let of = |counts: &HashMap<i32, u64>| counts.get(&id).copied().unwrap_or_default();
        let (running, dead, closure) = (of(&running), of(&dead), closures.remove(&id));
        if waiting + running == 0 && get::<Option<i64>>(row, 2)?.is_none() && closure.is_none() {
            continue;
        }
        let (name, oldest, ready_since) = (get(row, 1)?, instant_maybe(row, 4)?, instant_maybe(row, 5)?);
        views.push(ConsumerView { name, waiting, running, dead, oldest, ready_since, closure });
    }
    Ok(views)
}

//! Listings, newest first: operations, dead letters, notifications.
//!
//! A page of operations looks at no more than [`SCAN_MAX`] rows, so that a filter which fits nothing costs
//! milliseconds; the page is then short and says where to go on.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::error::Try;
use super::query::{self, EVENTS, LAST_ATTEMPTS, LIVE, RESULTS, together, with_live};
use super::row::{self, delivery_columns, every, get, notification_columns, operation_columns, text};
use super::session::{Ask, Bind, Session};
use crate::operation::{Operation, Status};
use crate::store::codes::Code as _;
use crate::store::{DeadLetter, Listing, NotificationQuery, OperationFilter, OperationView, Ordinal, Page};
use crate::{DeliveryId, EventKey, Notification, OperationId};

/// Rows that are looked at for one page; the statements have the same number.
const SCAN_MAX: i64 = 10_000;

/// Whether operation `o` has type `$2` and status `$3`, where these are given. Whether an operation that has not ended
/// runs is told by what it is shown with: its first 100 live deliveries.
macro_rules! fits {
    () => {
        "($2::text IS NULL OR o.kind = $2) AND ($3::smallint IS NULL OR $3 = CASE \
         WHEN o.ending IS NOT NULL THEN o.ending WHEN o.started IS NOT NULL THEN 1 WHEN EXISTS (SELECT 1 FROM (\
          (SELECT d.fence FROM deliveries d WHERE d.ordinal > o.ordinal AND d.ordinal <= o.ordinal + o.span \
           ORDER BY d.ordinal LIMIT 100) UNION ALL \
          (SELECT d.fence FROM deliveries d WHERE d.later = o.ordinal ORDER BY d.ordinal LIMIT 100) LIMIT 100) live \
          WHERE live.fence > 0) THEN 1 ELSE 0 END)"
    };
}

/// Two statements: the page of those that fit among the first rows before `$1`, and the ordinals of these rows from one
/// on. Of those in `$among`, whose key is the last parameter.
macro_rules! scan {
    ($among:literal, $seen:literal) => {
        [
            concat!(
                "SELECT ",
                operation_columns!(),
                " FROM (SELECT o.* FROM operations o WHERE ",
                $among,
                "o.ordinal < $1 ORDER BY o.ordinal DESC LIMIT 10000) o WHERE ",
                fits!(),
                " ORDER BY o.ordinal DESC LIMIT $4"
            ),
            concat!(
                "SELECT o.ordinal FROM operations o WHERE ",
                $seen,
                "o.ordinal < $1 ORDER BY o.ordinal DESC OFFSET $2 LIMIT 2"
            ),
        ]
    };
}

const BY_AGE: [&str; 2] = scan!("", "");
const BY_OWNER: [&str; 2] = scan!("o.owner = $5 AND ", "o.owner = $3 AND ");
const UNWELL: [&str; 2] =
    scan!("o.ending IN (3, 4) AND o.ending = $5 AND ", "o.ending IN (3, 4) AND o.ending = $3 AND ");
const CHOSEN: &str = concat!(
    "SELECT ",
    operation_columns!(),
    " FROM operations o WHERE o.ordinal = ANY($1) AND ($5::text IS NULL OR o.owner = $5) AND ",
    fits!(),
    " ORDER BY o.ordinal DESC LIMIT $4"
);
const OF_EVENT: &str = "SELECT e.operation FROM events e \
    WHERE e.given_id = $1 AND e.given_id IS NOT NULL AND e.depth = 0 ORDER BY e.given_id, e.source LIMIT 10000";
const OF_KEY: &str = "SELECT e.operation, e.id FROM events e WHERE e.ordinal = $1 AND e.depth = 0";
const STARTED: &str = "SELECT o.ordinal FROM operations o WHERE o.ended IS NULL AND o.started IS NOT NULL \
    AND o.ordinal < $1 ORDER BY o.ordinal DESC LIMIT 10000";
const RUNNING: &str = "SELECT DISTINCT d.operation FROM deliveries d WHERE d.state = 1 LIMIT 100000";
const DEAD: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM ended d WHERE d.state = 3 AND d.ordinal < $1 ORDER BY d.ordinal DESC LIMIT $2"
);
const MESSAGES: &str = concat!(
    "SELECT ",
    notification_columns!(),
    " FROM notifications WHERE ordinal < $1 ORDER BY ordinal DESC LIMIT $2"
);
const MESSAGES_OF: &str = concat!(
    "SELECT ",
    notification_columns!(),
    " FROM notifications WHERE owner = $3 AND ordinal < $1 ORDER BY ordinal DESC LIMIT $2"
);
const MESSAGES_AFTER: &str =
    concat!("SELECT ", notification_columns!(), " FROM notifications WHERE ordinal > $1 ORDER BY ordinal LIMIT $2");
const MESSAGES_OF_AFTER: &str = concat!(
    "SELECT ",
    notification_columns!(),
    " FROM notifications WHERE owner = $3 AND ordinal > $1 ORDER BY ordinal LIMIT $2"
);

/// Every statement that must walk an index in its order, for the query plan tests.
pub(super) const STATEMENTS: [&str; 16] = [
    BY_AGE[0],
    BY_AGE[1],
    BY_OWNER[0],
    BY_OWNER[1],
    UNWELL[0],
    UNWELL[1],
    CHOSEN,
    OF_EVENT,
    OF_KEY,
    STARTED,
    RUNNING,
    DEAD,
    MESSAGES,
    MESSAGES_OF,
    MESSAGES_AFTER,
    MESSAGES_OF_AFTER,
];

/// What a filter asks for, as it is kept in columns.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    kind: Option<&'a str>,
    owner: Option<&'a str>,
    status: Option<i16>,
}

pub(super) async fn operations(session: &Session, filter: &OperationFilter, page: Page) -> Try<Listing<OperationView>> {
    let (kind, owner) = (filter.kind.as_deref().map(text), filter.owner.as_deref().map(text));
    let status = filter.status.map(|status| status.code());
    let wanted = Wanted { kind: kind.as_deref(), owner: owner.as_deref(), status };
    let before = page.before.unwrap_or(i64::MAX);
    if let Some(event_id) = &filter.event_id {
        let candidates = of_event(session, event_id, before).await?;
        return chosen(session, candidates, None, wanted, page).await;
    }
    match (filter.status, wanted.owner) {
        (Some(Status::Running), _) => {
            let (candidates, last) = running(session, before).await?;
            chosen(session, candidates, last, wanted, page).await
        }
        (_, Some(owner)) => scanned(session, BY_OWNER, Some(&owner), wanted, page).await,
        (Some(status @ (Status::Failed | Status::Canceled)), None) => {
            scanned(session, UNWELL, Some(&status.code()), wanted, page).await
        }
        _ => scanned(session, BY_AGE, None, wanted, page).await,
    }
}

/// Goes through rows until the page is full or enough has been looked at.
async fn scanned(
    session: &Session,
    [found, seen]: [&'static str; 2],
    key: Option<&dyn Bind>,
    wanted: Wanted<'_>,
    page: Page,
) -> Try<Listing<OperationView>> {
    let before = page.before.unwrap_or(i64::MAX);
    let size = i64::try_from(page.size).unwrap_or(i64::MAX);
    let mut range: Vec<&dyn Bind> = vec![&before, &wanted.kind, &wanted.status, &size];
    range.extend(key);
    let operations = every(&session.rows(found, &range).await?, row::operation)?;
    let operations: Vec<Operation> = operations.into_iter().map(|(operation, _)| operation).collect();
    let ordinals: Vec<i64> = operations.iter().map(|operation| operation.id.ordinal()).collect();
    let last = ordinals.last().copied().filter(|_| ordinals.len() >= page.size);
    // A full page is followed by the row after it, another one by what it did not look at any more.
    let (from, offset) = last.map_or((before, SCAN_MAX - 1), |last| (last, 0));
    let mut rest: Vec<&dyn Bind> = vec![&from, &offset];
    rest.extend(key);
    let [live, rest] = together(session, [(LIVE, &[&ordinals]), (seen, &rest)]).await?;
    let rest: Vec<i64> = every(&rest, |row| get(row, 0))?;
    let next = match last {
        Some(last) => (!rest.is_empty()).then_some(last),
        None => rest.first().copied().filter(|_| rest.len() > 1 && page.size > 0),
    };
    Ok(Listing { items: with_live(operations, &live)?, next })
}

/// The page of those candidates that fit; `last` says where to go on when there are more candidates.
async fn chosen(
    session: &Session,
    candidates: BTreeSet<OperationKey>,
    last: Option<i64>,
    wanted: Wanted<'_>,
    page: Page,
) -> Try<Listing<OperationView>> {
    if candidates.is_empty() {
        return Ok(Listing { items: Vec::new(), next: last });
    }
    let candidates: Vec<i64> = candidates.into_iter().collect();
    let params: [&dyn Bind; 5] = [&candidates, &wanted.kind, &wanted.status, &limit(page), &wanted.owner];
    let operations = every(&session.rows(CHOSEN, &params).await?, row::operation)?;
    let more = operations.len() > page.size;
    let operations: Vec<Operation> = operations.into_iter().take(page.size).map(|(operation, _)| operation).collect();
    let ordinals: Vec<i64> = operations.iter().map(|operation| operation.id.ordinal()).collect();
    let live = session.rows(LIVE, &[&ordinals]).await?;
    let items = with_live(operations, &live)?;
    Ok(if more { listing(items, true) } else { Listing { items, next: last } })
}

/// An operation's ordinal.
type OperationKey = i64;

/// Operations that have a root event with this id, or this key.
async fn of_event(session: &Session, id: &str, before: i64) -> Try<BTreeSet<OperationKey>> {
    let key = id.parse::<EventKey>().ok().filter(|key| key.to_string() == id);
    let ordinal = key.map_or(-1, |key| key.ordinal());
    let [given, own] = together(session, [(OF_EVENT, &[&&*text(id)]), (OF_KEY, &[&ordinal])]).await?;
    let own = own.iter().filter(|row| row::id(row, 1).ok() == key);
    let found = given.iter().chain(own).map(|row| row::id(row, 0).map(|id: OperationId| id.ordinal()));
    let mut found = found.collect::<Try<BTreeSet<_>>>()?;
    found.retain(|ordinal| *ordinal < before);
    Ok(found)
}

/// Operations that have not ended and of which something has started: an attempt was settled, or one is going on.
/// Also where to go on, when there are more.
async fn running(session: &Session, before: i64) -> Try<(BTreeSet<OperationKey>, Option<i64>)> {
    let [started, running] = together(session, [(STARTED, &[&before]), (RUNNING, &[])]).await?;
    let mut found = started.iter().map(|row| get(row, 0)).collect::<Try<BTreeSet<i64>>>()?;
    let more = found.first().copied().filter(|_| started.len() as i64 >= SCAN_MAX);
    for row in &running {
        let ordinal = row::id::<OperationId>(row, 0)?.ordinal();
        if ordinal < before && more.is_none_or(|last| ordinal >= last) {
            found.insert(ordinal);
        }
    }
    Ok((found, more))
}

pub(super) async fn dead_letters(session: &Session, page: Page) -> Try<Listing<DeadLetter>> {
    let before = page.before.unwrap_or(i64::MAX);
    let mut deliveries = every(&session.rows(DEAD, &[&before, &limit(page)]).await?, row::delivery)?;
    let more = deliveries.len() > page.size;
    deliveries.truncate(page.size);
    if deliveries.is_empty() {
        return Ok(listing(Vec::new(), more));
    }
    let keys: Vec<EventKey> = deliveries.iter().map(|delivery| delivery.event).collect();
    let ids: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id).collect();
    let events: Vec<i64> = keys.iter().map(|key| key.ordinal()).collect();
    let ordinals: Vec<i64> = ids.iter().map(|id| id.ordinal()).collect();
    let asks: [Ask<'_>; 3] = [(EVENTS, &[&events]), (LAST_ATTEMPTS, &[&ordinals]), (RESULTS, &[&ordinals])];
    let [events, attempts, outcomes] = together(session, asks).await?;
    let events = query::in_order(&events, &keys)?;
    let mut attempts = query::last_attempts(&attempts, &ids)?;
    let mut outcomes = query::by_delivery(&outcomes)?;
    let letter = |(delivery, event): (crate::Delivery, _)| {
        let ordinal = delivery.id.ordinal();
        DeadLetter { event, attempt: attempts.remove(&ordinal), outcome: outcomes.remove(&ordinal), delivery }
    };
    Ok(listing(deliveries.into_iter().zip(events).map(letter).collect(), more))
}

pub(super) async fn notifications(session: &Session, query: &NotificationQuery) -> Try<Listing<Notification>> {
    let owner = query.owner.as_deref().map(text);
    let (of_all, of_owner, from) = match query.after {
        None => (MESSAGES, MESSAGES_OF, query.page.before.unwrap_or(i64::MAX)),
        Some(after) => (MESSAGES_AFTER, MESSAGES_OF_AFTER, after),
    };
    let rows: Vec<Row> = match owner.as_deref() {
        None => session.rows(of_all, &[&from, &limit(query.page)]).await?,
        Some(owner) => session.rows(of_owner, &[&from, &limit(query.page), &owner]).await?,
    };
    let mut items = every(&rows, row::notification)?;
    let more = items.len() > query.page.size;
    items.truncate(query.page.size);
    Ok(listing(items, more))
}

/// One row more than the page has, to see whether there is a next one.
fn limit(page: Page) -> i64 {
    i64::try_from(page.size.saturating_add(1)).unwrap_or(i64::MAX)
}

fn listing<T: Ordinal>(items: Vec<T>, more: bool) -> Listing<T> {
    let next = items.last().map(Ordinal::ordinal).filter(|_| more);
    Listing { items, next }
}

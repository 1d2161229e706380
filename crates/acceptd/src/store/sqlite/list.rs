//! Listings, newest first: operations, dead letters, notifications.
//!
//! A page looks at no more than [`SCAN_MAX`] rows, so that a filter which fits nothing costs milliseconds; the page
//! is then short and says where to go on.

use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::Try;
use super::query;
use super::row::{self, delivery_columns, notification_columns, operation_columns};
use crate::operation::{Operation, Status};
use crate::store::codes::Code as _;
use crate::store::{DeadLetter, Listing, NotificationQuery, OperationFilter, OperationView, Ordinal, Page};
use crate::{Delivery, EventKey, Notification, OperationId};

/// Rows that are looked at for one page.
const SCAN_MAX: usize = 10_000;

const BY_AGE: &str =
    concat!("SELECT ", operation_columns!(), " FROM operations o WHERE o.ordinal < ?1 ORDER BY o.ordinal DESC");
const BY_OWNER: &str = concat!(
    "SELECT ",
    operation_columns!(),
    " FROM operations o INDEXED BY operations_owner WHERE o.owner = ?2 AND o.ordinal < ?1 ORDER BY o.ordinal DESC"
);
const UNWELL: &str = concat!(
    "SELECT ",
    operation_columns!(),
    " FROM operations o INDEXED BY operations_unwell \
     WHERE o.ending IN (3, 4) AND o.ending = ?2 AND o.ordinal < ?1 ORDER BY o.ordinal DESC"
);
const STARTED: &str = "SELECT ordinal FROM operations INDEXED BY operations_started \
    WHERE ended IS NULL AND started IS NOT NULL AND ordinal < ?1 ORDER BY ordinal DESC LIMIT ?2";
const RUNNING: &str =
    "SELECT DISTINCT operation FROM deliveries INDEXED BY deliveries_running WHERE state = 1 LIMIT 100000";
const DEAD: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_dead WHERE d.state = 3 AND d.ordinal < ?1 \
     ORDER BY d.ordinal DESC LIMIT ?2"
);
const MESSAGES: &str = concat!(
    "SELECT ",
    notification_columns!(),
    " FROM notifications WHERE ordinal < ?1 ORDER BY ordinal DESC LIMIT ?2"
);
const MESSAGES_OF: &str = concat!(
    "SELECT ",
    notification_columns!(),
    " FROM notifications INDEXED BY notifications_owner WHERE owner = ?3 AND ordinal < ?1 \
     ORDER BY ordinal DESC LIMIT ?2"
);
const MESSAGES_AFTER: &str =
    concat!("SELECT ", notification_columns!(), " FROM notifications WHERE ordinal > ?1 ORDER BY ordinal LIMIT ?2");
const MESSAGES_OF_AFTER: &str = concat!(
    "SELECT ",
    notification_columns!(),
    " FROM notifications INDEXED BY notifications_owner WHERE owner = ?3 AND ordinal > ?1 ORDER BY ordinal LIMIT ?2"
);

/// Every statement that must walk an index in its order, for the query plan tests.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 9] =
    [BY_AGE, BY_OWNER, UNWELL, STARTED, DEAD, MESSAGES, MESSAGES_OF, MESSAGES_AFTER, MESSAGES_OF_AFTER];

pub(super) fn operations(conn: &Connection, filter: &OperationFilter, page: Page) -> Try<Listing<OperationView>> {
    let before = page.before.unwrap_or(i64::MAX);
    if let Some(event_id) = &filter.event_id {
        return chosen(conn, of_event(conn, event_id, before)?, None, filter, page);
    }
    match (filter.status, &filter.owner) {
        (Some(Status::Running), _) => {
            let (candidates, last) = running(conn, before)?;
            chosen(conn, candidates, last, filter, page)
        }
        (_, Some(owner)) => scanned(conn, BY_OWNER, params![before, owner], filter, page),
        (Some(status @ (Status::Failed | Status::Canceled)), None) => {
            scanned(conn, UNWELL, params![before, status.code()], filter, page)
        }
        _ => scanned(conn, BY_AGE, params![before], filter, page),
    }
}

/// Goes through rows until the page is full or enough has been looked at.
fn scanned(
    conn: &Connection,
    sql: &str,
    range: &[&dyn rusqlite::ToSql],
    filter: &OperationFilter,
    page: Page,
) -> Try<Listing<OperationView>> {
    let mut sql = conn.prepare_cached(sql)?;
    let mut rows = sql.query(range)?;
    let (mut items, mut last, mut seen) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        if items.len() >= page.size || seen >= SCAN_MAX {
            return Ok(Listing { items, next: last });
        }
        seen += 1;
        last = Some(OperationId::from_bytes(row.get(0)?).ordinal());
        if !may_match(row, filter)? {
            continue;
        }
        let (operation, span) = row::operation(row)?;
        let view = query::view(conn, operation, span)?;
        if filter.status.is_none_or(|status| view.status() == status) {
            items.push(view);
        }
    }
    Ok(Listing { items, next: None })
}

/// Looks at the few columns that rule most rows out, before a row is read as a whole.
fn may_match(row: &Row<'_>, filter: &OperationFilter) -> rusqlite::Result<bool> {
    let is = |at: usize, text: &Option<String>| -> rusqlite::Result<bool> {
        let Some(text) = text else { return Ok(true) };
        Ok(matches!(row.get_ref(at)?, ValueRef::Text(bytes) if bytes == text.as_bytes()))
    };
    let ending: Option<i16> = row.get(8)?;
    let may_have_status = match filter.status {
        None => true,
        Some(status) if status.is_done() => ending == Some(status.code()),
        Some(_) => ending.is_none(),
    };
    Ok(may_have_status && is(1, &filter.kind)? && is(2, &filter.owner)?)
}

/// The page of those candidates that fit; `last` says where to go on when there are more candidates.
fn chosen(
    conn: &Connection,
    candidates: BTreeSet<OperationKey>,
    last: Option<i64>,
    filter: &OperationFilter,
    page: Page,
) -> Try<Listing<OperationView>> {
    let sql = concat!("SELECT ", operation_columns!(), " FROM operations o WHERE o.ordinal = ?1");
    let mut sql = conn.prepare_cached(sql)?;
    let mut items: Vec<OperationView> = Vec::new();
    for ordinal in candidates.into_iter().rev() {
        let Some((operation, span)) = sql.query_row([ordinal], row::operation).optional()? else { continue };
        if !fits(&operation, filter) {
            continue;
        }
        let view = query::view(conn, operation, span)?;
        if filter.status.is_some_and(|status| view.status() != status) {
            continue;
        }
        if items.len() >= page.size {
            let next = items.last().map(Ordinal::ordinal);
            return Ok(Listing { items, next });
        }
        items.push(view);
    }
    Ok(Listing { items, next: last })
}

/// An operation's ordinal.
type OperationKey = i64;

fn fits(operation: &Operation, filter: &OperationFilter) -> bool {
    filter.kind.as_ref().is_none_or(|kind| operation.kind == *kind)
        && filter.owner.as_ref().is_none_or(|owner| operation.owner.as_ref() == Some(owner))
}

/// Operations that have a root event with this id, or this key.
fn of_event(conn: &Connection, id: &str, before: i64) -> Try<BTreeSet<OperationKey>> {
    let sql = "SELECT operation FROM events INDEXED BY events_given \
        WHERE given_id = ?1 AND given_id IS NOT NULL AND depth = 0 LIMIT 10000";
    let mut sql = conn.prepare_cached(sql)?;
    let rows = sql.query_map([id], |row| Ok(OperationId::from_bytes(row.get(0)?).ordinal()))?;
    let mut found = rows.collect::<rusqlite::Result<BTreeSet<_>>>()?;
    if let Ok(key) = id.parse::<EventKey>()
        && let Ok(event) = query::event(conn, key, false)
        && event.depth == 0
        && key.to_string() == id
    {
        found.insert(event.operation.ordinal());
    }
    found.retain(|ordinal| *ordinal < before);
    Ok(found)
}

/// Operations that have not ended and of which something has started: an attempt was settled, or one is going on.
/// Also where to go on, when there are more.
fn running(conn: &Connection, before: i64) -> Try<(BTreeSet<OperationKey>, Option<i64>)> {
    let mut sql = conn.prepare_cached(STARTED)?;
    let limit = i64::try_from(SCAN_MAX).unwrap_or_default();
    let rows = sql.query_map([before, limit], |row| row.get(0))?;
    let mut found = rows.collect::<rusqlite::Result<BTreeSet<i64>>>()?;
    let more = found.first().copied().filter(|_| found.len() >= SCAN_MAX);
    let mut sql = conn.prepare_cached(RUNNING)?;
    for ordinal in sql.query_map([], |row| Ok(OperationId::from_bytes(row.get(0)?).ordinal()))? {
        let ordinal = ordinal?;
        if ordinal < before && more.is_none_or(|last| ordinal >= last) {
            found.insert(ordinal);
        }
    }
    Ok((found, more))
}

pub(super) fn dead_letters(conn: &Connection, page: Page) -> Try<Listing<DeadLetter>> {
    let mut sql = conn.prepare_cached(DEAD)?;
    let rows = sql.query_map([page.before.unwrap_or(i64::MAX), limit(page)], row::delivery)?;
    let deliveries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let more = deliveries.len() > page.size;
    let items = deliveries.into_iter().take(page.size).map(|delivery| dead_letter(conn, delivery));
    Ok(listing(items.collect::<Try<_>>()?, more))
}

fn dead_letter(conn: &Connection, delivery: Delivery) -> Try<DeadLetter> {
    Ok(DeadLetter {
        event: query::event(conn, delivery.event, true)?,
        attempt: query::attempts_of(conn, delivery.id, 1)?.pop(),
        outcome: query::result_of(conn, delivery.id)?,
        delivery,
    })
}

pub(super) fn notifications(conn: &Connection, query: &NotificationQuery) -> Try<Listing<Notification>> {
    let (sql, from) = match (query.after, &query.owner) {
        (None, None) => (MESSAGES, query.page.before.unwrap_or(i64::MAX)),
        (None, Some(_)) => (MESSAGES_OF, query.page.before.unwrap_or(i64::MAX)),
        (Some(after), None) => (MESSAGES_AFTER, after),
        (Some(after), Some(_)) => (MESSAGES_OF_AFTER, after),
    };
    let mut sql = conn.prepare_cached(sql)?;
    let rows = match &query.owner {
        None => sql.query_map([from, limit(query.page)], row::notification)?,
        Some(owner) => sql.query_map(params![from, limit(query.page), owner], row::notification)?,
    };
    let mut items = rows.collect::<rusqlite::Result<Vec<_>>>()?;
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

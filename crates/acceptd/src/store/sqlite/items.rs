//! The items of a batch: root events with what became of them, and how much of an operation waits where.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::error::Try;
use super::query::{attempts_of, deliveries_between, deliveries_of, operation_row, result_of};
use super::row::{self, event_columns};
use crate::delivery::State;
use crate::store::book::tables::Which;
use crate::store::{GroupCount, Item, ItemDelivery, Listing};
use crate::{Delivery, EventKey, OperationId, StoredEvent};

const ROOTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events e WHERE e.ordinal > ?1 AND e.ordinal <= ?2 AND e.depth = 0 ORDER BY e.ordinal LIMIT ?3"
);
const INDEX: &str = "SELECT count(*) FROM events e WHERE e.ordinal > ?1 AND e.ordinal <= ?2 AND e.depth = 0";

pub(super) fn items(conn: &Connection, id: OperationId, after: Option<i64>, size: usize) -> Try<Listing<Item>> {
    let (_, span) = operation_row(conn, id)?;
    let (first, last) = (id.ordinal(), id.ordinal() + span);
    let after = after.unwrap_or(first).max(first);
    let index: i64 = conn.prepare_cached(INDEX)?.query_row([first, after], |row| row.get(0))?;
    let mut sql = conn.prepare_cached(ROOTS)?;
    let limit = i64::try_from(size.saturating_add(1)).unwrap_or(i64::MAX);
    let rows = sql.query_map(params![after, last, limit], row::event)?;
    let mut events = rows.collect::<rusqlite::Result<Vec<StoredEvent>>>()?;
    let next_page = events.get(size).map(|event| event.key.ordinal());
    events.truncate(size);
    let mut deliveries = deliveries_of_events(conn, id, &events, next_page.unwrap_or(last + 1))?;
    let mut items = Vec::with_capacity(events.len());
    for (event, index) in events.into_iter().zip(index.unsigned_abs()..) {
        let of_event = deliveries.remove(&event.key).unwrap_or_default();
        let deliveries = of_event.iter().map(|delivery| item(conn, delivery)).collect::<Try<Vec<_>>>()?;
        items.push(Item { index, event: event.head(), deliveries });
    }
    let next = items.last().map(|item| item.event.key.ordinal()).filter(|_| next_page.is_some());
    Ok(Listing { items, next })
}

/// The deliveries of a page of root events, by event; those that the accept made stand right after it, before `end`.
fn deliveries_of_events(
    conn: &Connection,
    id: OperationId,
    events: &[StoredEvent],
    end: i64,
) -> Try<HashMap<EventKey, Vec<Delivery>>> {
    let first = events.first().map_or(end, |event| event.key.ordinal());
    let mut found: HashMap<EventKey, Vec<Delivery>> = HashMap::new();
    let mut keep = |delivery: Delivery| found.entry(delivery.event).or_default().push(delivery);
    deliveries_between(conn, first, end - 1)?.into_iter().for_each(&mut keep);
    if events.iter().any(|event| !found.contains_key(&event.key)) {
        // Its consumer came later.
        let roots: HashSet<_> = events.iter().map(|event| event.key).filter(|key| !found.contains_key(key)).collect();
        let later = deliveries_of(conn, id, Which::All)?.into_iter().filter(|delivery| roots.contains(&delivery.event));
        later.for_each(|delivery| found.entry(delivery.event).or_default().push(delivery));
    }
    Ok(found)
}

fn item(conn: &Connection, delivery: &Delivery) -> Try<ItemDelivery> {
    let is_done = delivery.state == State::Done;
    let result = if is_done { result_of(conn, delivery.id)? } else { None };
    let failure = match is_done || delivery.fence == 0 {
        true => None,
        false => attempts_of(conn, delivery.id, 1)?.pop().and_then(|attempt| attempt.failure),
    };
    Ok(ItemDelivery { delivery: delivery.clone(), result, failure })
}

pub(super) fn groups(conn: &Connection, id: OperationId) -> Try<Vec<GroupCount>> {
    Ok(GroupCount::of(deliveries_of(conn, id, Which::Live)?))
}

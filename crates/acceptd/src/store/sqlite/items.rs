//! The items of a batch: root events with what became of them, and how much of an operation waits where.

use rusqlite::{Connection, params};

use super::error::Try;
use super::query::{Which, attempts_of, deliveries_of, operation_row, result_of};
use super::row::{self, event_columns};
use crate::delivery::State;
use crate::store::{GroupCount, Item, ItemDelivery, Listing};
use crate::{Delivery, OperationId, StoredEvent};

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
    let mut index: i64 = conn.prepare_cached(INDEX)?.query_row([first, after], |row| row.get(0))?;
    let mut sql = conn.prepare_cached(ROOTS)?;
    let limit = i64::try_from(size.saturating_add(1)).unwrap_or(i64::MAX);
    let rows = sql.query_map(params![after, last, limit], row::event)?;
    let mut events = rows.collect::<rusqlite::Result<Vec<StoredEvent>>>()?;
    let is_last = events.len() <= size;
    events.truncate(size);
    let deliveries = deliveries_of(conn, id, Which::All)?;
    let mut items = Vec::with_capacity(events.len());
    for event in events {
        let of_event = deliveries.iter().filter(|delivery| delivery.event == event.key);
        let deliveries = of_event.map(|delivery| item(conn, delivery)).collect::<Try<Vec<_>>>()?;
        items.push(Item { index: index.unsigned_abs(), event: event.head(), deliveries });
        index += 1;
    }
    let next = items.last().map(|item| item.event.key.ordinal()).filter(|_| !is_last);
    Ok(Listing { items, next })
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
    let mut groups: std::collections::BTreeMap<(String, String), GroupCount> = std::collections::BTreeMap::new();
    for delivery in deliveries_of(conn, id, Which::Live)? {
        let (consumer, group) = (delivery.consumer, delivery.lane.group);
        let count = groups.entry((consumer.clone(), group.clone())).or_insert(GroupCount {
            consumer,
            group,
            waiting: 0,
            running: 0,
        });
        match delivery.state {
            State::Running => count.running += 1,
            _ => count.waiting += 1,
        }
    }
    Ok(groups.into_values().collect())
}

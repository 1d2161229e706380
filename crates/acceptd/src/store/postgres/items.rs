//! The items of a batch: root events with what became of them, and how much of an operation waits where.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::error::Try;
use super::query::{
    LAST_ATTEMPTS, OPERATION, RESULTS, by_delivery, deliveries_of, event_of, last_attempts, the_operation, together,
};
use super::row::{self, delivery_columns, event_head_columns, every, get};
use super::session::{Ask, Session};
use crate::delivery::State;
use crate::store::book::tables::Which;
use crate::store::{GroupCount, Item, ItemDelivery, Listing};
use crate::{Data, Delivery, DeliveryId, EventKey, OperationId, StoredEvent};

const ROOTS: &str = concat!(
    "SELECT ",
    event_head_columns!(),
    " FROM events e WHERE e.ordinal > $2 AND e.ordinal <= $1 + (SELECT s.span FROM operations s WHERE s.ordinal = $1) \
     AND e.depth = 0",
    event_of!(),
    " ORDER BY e.ordinal LIMIT $3"
);
const INDEX: &str =
    concat!("SELECT count(*) FROM events e WHERE e.ordinal > $1 AND e.ordinal <= $2 AND e.depth = 0", event_of!());
const BETWEEN: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM every_delivery d WHERE d.ordinal > $1 AND d.ordinal < $2 ORDER BY d.ordinal"
);
const LATER_OF: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM every_delivery d WHERE d.later = $1 AND d.event = ANY($2) ORDER BY d.ordinal"
);

/// Every statement that must walk an index in its order, for the query plan tests.
pub(super) const STATEMENTS: [&str; 4] = [ROOTS, INDEX, BETWEEN, LATER_OF];

pub(super) async fn items(session: &Session, id: OperationId, after: Option<i64>, size: usize) -> Try<Listing<Item>> {
    let first = id.ordinal();
    let after = after.unwrap_or(first).max(first);
    let limit = i64::try_from(size.saturating_add(1)).unwrap_or(i64::MAX);
    let asks: [Ask<'_>; 3] = [(OPERATION, &[&first]), (INDEX, &[&first, &after]), (ROOTS, &[&first, &after, &limit])];
    let [operation, index, events] = together(session, asks).await?;
    let (_, span) = the_operation(&operation, id)?;
    let index = index.first().map(|row| get::<i64>(row, 0)).transpose()?.unwrap_or_default();
    let mut events = every(&events, row::event)?;
    let next_page = events.get(size).map(|event| event.key.ordinal());
    events.truncate(size);
    let mut deliveries = of_events(session, id, &events, next_page.unwrap_or(first + span + 1)).await?;
    let mut items = Vec::with_capacity(events.len());
    for (event, index) in events.into_iter().zip(index.unsigned_abs()..) {
        let deliveries = deliveries.remove(&event.key).unwrap_or_default();
        items.push(Item { index, event, deliveries });
    }
    let next = items.last().map(|item| item.event.key.ordinal()).filter(|_| next_page.is_some());
    Ok(Listing { items, next })
}

/// The deliveries of a page of root events, by event; those that the accept made stand right after it, before `end`.
async fn of_events(
    session: &Session,
    id: OperationId,
    events: &[StoredEvent],
    end: i64,
) -> Try<HashMap<EventKey, Vec<ItemDelivery>>> {
    let Some(first) = events.first().map(|event| event.key.ordinal()) else { return Ok(HashMap::new()) };
    let mut found = every(&session.rows(BETWEEN, &[&first, &end]).await?, row::delivery)?;
    let routed: HashSet<EventKey> = found.iter().map(|delivery| delivery.event).collect();
    let without = events.iter().map(|event| event.key).filter(|key| !routed.contains(key));
    let without: Vec<Uuid> = without.map(|key| Uuid::from_bytes(*key.as_bytes())).collect();
    if !without.is_empty() {
        // Their consumer came later, if at all.
        let later = session.rows(LATER_OF, &[&id.ordinal(), &without]).await?;
        found.extend(every(&later, row::delivery)?);
    }
    let mut by_event: HashMap<EventKey, Vec<ItemDelivery>> = HashMap::new();
    for item in with_endings(session, found).await? {
        by_event.entry(item.delivery.event).or_default().push(item);
    }
    Ok(by_event)
}

/// Deliveries with what they left: those that are done their result, the others why their last attempt failed.
async fn with_endings(session: &Session, deliveries: Vec<Delivery>) -> Try<Vec<ItemDelivery>> {
    let ordinals = |ids: &[DeliveryId]| ids.iter().map(|id| id.ordinal()).collect::<Vec<i64>>();
    let (done, others): (Vec<&Delivery>, Vec<_>) = deliveries.iter().partition(|one| one.state == State::Done);
    let done: Vec<DeliveryId> = done.into_iter().map(|delivery| delivery.id).collect();
    let tried: Vec<DeliveryId> = others.into_iter().filter(|one| one.fence > 0).map(|delivery| delivery.id).collect();
    let (mut results, mut attempts) = (HashMap::<i64, Data>::new(), HashMap::new());
    if !done.is_empty() || !tried.is_empty() {
        let asks: [Ask<'_>; 2] = [(RESULTS, &[&ordinals(&done)]), (LAST_ATTEMPTS, &[&ordinals(&tried)])];
        let [found, tries] = together(session, asks).await?;
        results = by_delivery(&found)?;
        attempts = last_attempts(&tries, &tried)?;
    }
    let item = |delivery: Delivery| {
        let ordinal = delivery.id.ordinal();
        let attempt = attempts.remove(&ordinal);
        ItemDelivery { delivery, result: results.remove(&ordinal), failure: attempt.and_then(|one| one.failure) }
    };
    Ok(deliveries.into_iter().map(item).collect())
}

pub(super) async fn groups(session: &Session, id: OperationId) -> Try<Vec<GroupCount>> {
    Ok(GroupCount::of(deliveries_of(session, id, Which::Live).await?))
}

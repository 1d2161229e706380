//! Claiming: waiting deliveries that are due become running: by priority, then due time, then age.
//!
//! The index `deliveries_ready` holds a consumer's waiting deliveries by priority, due time and age. A claim goes
//! from one priority to the next lower one by a seek, so that it touches no row that it does not take.

use rusqlite::{CachedStatement, OptionalExtension as _, params};

use super::book::Book;
use super::error::Try;
use super::query;
use super::row::{self, delivery_columns};
use crate::delivery::{Action, transition};
use crate::store::{Claim, plan};
use crate::{Delivery, StoredEvent, Timestamp};

/// Few events are read by the writer at once, which is sooner; many by a reader, so that the writer can go on.
const FEW: usize = 8;

/// What a claim gives.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<(Delivery, Option<String>)>,
    /// Their events, when they are few; empty when they are still to be read.
    pub(super) events: Vec<StoredEvent>,
    pub(super) next_due: Option<Timestamp>,
    pub(super) paused: Option<Option<Timestamp>>,
}

const NEXT_PRIORITY: &str = "SELECT priority FROM deliveries INDEXED BY deliveries_ready \
    WHERE state = 0 AND consumer = ?1 AND priority < ?2 ORDER BY priority DESC LIMIT 1";
const DUE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_ready \
     WHERE d.state = 0 AND d.consumer = ?1 AND d.priority = ?2 AND d.due <= ?3 ORDER BY d.due, d.ordinal LIMIT ?4"
);
const NEXT_DUE: &str = "SELECT due FROM deliveries INDEXED BY deliveries_ready \
    WHERE state = 0 AND consumer = ?1 AND priority = ?2 AND due > ?3 ORDER BY due LIMIT 1";

/// Every statement of a claim, for the query plan tests.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 3] = [NEXT_PRIORITY, DUE, NEXT_DUE];

pub(super) fn claim(book: &mut Book<'_>, claim: &Claim) -> Try<Taken> {
    let Some(consumer) = book.names.known_consumer(&claim.consumer) else { return Ok(Taken::default()) };
    let paused = book.names.pause(consumer, claim.now).map(|closure| closure.until);
    let max = if paused.is_some() { 0 } else { claim.max };
    let mut taken = Taken { paused, ..Taken::default() };
    let now = claim.now.as_micros();
    let conn = book.conn;
    let mut next_priority = conn.prepare_cached(NEXT_PRIORITY)?;
    let (mut due, mut next_due) = (conn.prepare_cached(DUE)?, conn.prepare_cached(NEXT_DUE)?);
    let mut priority = i64::MAX;
    while let Some(lower) = lower_priority(&mut next_priority, consumer, priority)? {
        priority = lower;
        let left = max - taken.deliveries.len();
        if left > 0 {
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            let rows = due.query_map(params![consumer, priority, now, limit], row::delivery)?;
            let waiting = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            for delivery in waiting {
                take(book, claim, &delivery, &mut taken)?;
            }
        }
        let next = next_due.query_row([consumer, priority, now], |row| row::instant(row, 0)).optional()?;
        taken.next_due = taken.next_due.into_iter().chain(next).min();
    }
    if taken.deliveries.len() <= FEW {
        let keys: Vec<_> = taken.deliveries.iter().map(|(delivery, _)| delivery.event).collect();
        taken.events = query::events(conn, &keys)?;
    }
    Ok(taken)
}

fn lower_priority(sql: &mut CachedStatement<'_>, consumer: i64, than: i64) -> Try<Option<i64>> {
    Ok(sql.query_row([consumer, than], |row| row.get(0)).optional()?)
}

fn take(book: &mut Book<'_>, claim: &Claim, delivery: &Delivery, taken: &mut Taken) -> Try<()> {
    let action = Action::Claim { node: claim.node, max_attempts: claim.max_attempts };
    let next = transition(delivery, &action, claim.now).map_err(|refusal| plan::refused(delivery, refusal));
    let (next, _) = next?;
    let operation = book.operation(delivery.operation)?;
    if book.claim(delivery, &next)? {
        let owner = operation.owner.clone();
        book.remember(&next, operation);
        taken.deliveries.push((next, owner));
    }
    Ok(())
}

//! Claiming: waiting deliveries that are due and have their limits become running, in the order of their turnstile.
//!
//! The index `deliveries_ready` holds those in line by consumer, group, lane, priority, due time and age. The turnstile
//! says which group is worth a look, so a claim touches no row that it does not take.

use rusqlite::{OptionalExtension as _, params};

use super::book::Book;
use super::error::{Stop, Try};
use super::query;
use super::row::{self, delivery_columns};
use super::turnstile::lock;
use crate::delivery::transition;
use crate::store::turnstile::{Grant, Rows};
use crate::store::{Claim, Granted, plan};
use crate::{Delivery, StoredEvent, Timestamp};

/// Few events are read by the writer at once, which is sooner; many by a reader, so that the writer can go on.
const FEW: usize = 8;

/// A delivery that was taken, before its event is read.
#[derive(Debug)]
pub(super) struct TakenOne {
    pub(super) delivery: Delivery,
    pub(super) owner: Option<String>,
    pub(super) start: Timestamp,
    pub(super) keys: Vec<Granted>,
}

/// What a claim gives.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<TakenOne>,
    /// Their events, when they are few; empty when they are still to be read.
    pub(super) events: Vec<StoredEvent>,
    pub(super) next: Option<Timestamp>,
    pub(super) paused: Vec<(String, Option<Timestamp>)>,
}

const NEXT_LANE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_ready \
     WHERE d.state = 0 AND d.ready = 1 AND d.consumer = ?1 AND d.grp = ?2 AND d.turn > ?3 \
     ORDER BY d.turn, d.priority DESC, d.due, d.ordinal LIMIT 1"
);
const FIRST_LANE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_ready \
     WHERE d.state = 0 AND d.ready = 1 AND d.consumer = ?1 AND d.grp = ?2 \
     ORDER BY d.turn, d.priority DESC, d.due, d.ordinal LIMIT 1"
);
const LANE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_ready \
     WHERE d.state = 0 AND d.ready = 1 AND d.consumer = ?1 AND d.grp = ?2 AND d.turn = ?3 \
     ORDER BY d.priority DESC, d.due, d.ordinal LIMIT ?4"
);
const HEAD: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM deliveries d INDEXED BY deliveries_ordered \
     WHERE d.ordered = 1 AND d.state < 2 AND d.consumer = ?1 AND d.grp = ?2 ORDER BY d.state DESC, d.ordinal LIMIT 1"
);

/// Every statement of a claim, for the query plan tests.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 4] = [NEXT_LANE, FIRST_LANE, LANE, HEAD];

pub(super) fn claim(book: &mut Book<'_>, claim: &Claim) -> Try<Taken> {
    let mut taken = Taken::default();
    let mut wanted: Vec<(&str, usize)> = Vec::with_capacity(claim.wanted.len());
    for one in &claim.wanted {
        let Some(consumer) = book.names.known_consumer(&one.consumer) else { continue };
        let due = book.promote(consumer, &one.consumer, claim.now)?;
        taken.next = taken.next.into_iter().chain(due).min();
        match book.names.pause(consumer, claim.now) {
            Some(closure) => taken.paused.push((one.consumer.clone(), closure.until)),
            None => wanted.push((&one.consumer, one.max)),
        }
    }
    let shared = std::sync::Arc::clone(&book.turnstile);
    {
        let mut turnstile = lock(&shared);
        let served = turnstile.serve(&mut Claiming { book, claim, taken: &mut taken.deliveries }, &wanted, claim.now);
        served.map_err(half_way)?;
        taken.next = taken.next.into_iter().chain(turnstile.next(&wanted)).min();
    }
    book.write_keys()?;
    if taken.deliveries.len() <= FEW {
        let keys: Vec<_> = taken.deliveries.iter().map(|one| one.delivery.event).collect();
        taken.events = query::events(book.conn, &keys)?;
    }
    Ok(taken)
}

/// A claim that stops half way is rolled back in any case, so that the turnstile is rebuilt.
fn half_way(stop: Stop) -> Stop {
    match stop {
        Stop::Refused(error) => {
            tracing::warn!(%error, "a claim stopped half way");
            Stop::Broken(rusqlite::Error::InvalidQuery)
        }
        broken => broken,
    }
}

/// The rows while a claim takes from them. The turnstile is locked meanwhile.
struct Claiming<'a, 'c> {
    book: &'a mut Book<'c>,
    claim: &'a Claim,
    taken: &'a mut Vec<TakenOne>,
}

impl Claiming<'_, '_> {
    fn consumer(&self, name: &str) -> i64 {
        self.book.names.known_consumer(name).unwrap_or(-1)
    }
}

impl Rows for Claiming<'_, '_> {
    type Error = Stop;

    fn next_lane(&mut self, consumer: &str, group: &str, after: Option<&str>) -> Try<Option<Delivery>> {
        let consumer = self.consumer(consumer);
        let conn = self.book.conn;
        Ok(match after {
            Some(after) => conn.prepare_cached(NEXT_LANE)?.query_row(params![consumer, group, after], row::delivery),
            None => conn.prepare_cached(FIRST_LANE)?.query_row(params![consumer, group], row::delivery),
        }
        .optional()?)
    }

    fn lane(&mut self, consumer: &str, group: &str, turn: &str, max: usize) -> Try<Vec<Delivery>> {
        let (consumer, max) = (self.consumer(consumer), i64::try_from(max).unwrap_or(i64::MAX));
        let mut sql = self.book.conn.prepare_cached(LANE)?;
        let rows = sql.query_map(params![consumer, group, turn, max], row::delivery)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn head(&mut self, consumer: &str, group: &str) -> Try<Option<Delivery>> {
        let consumer = self.consumer(consumer);
        let mut sql = self.book.conn.prepare_cached(HEAD)?;
        Ok(sql.query_row(params![consumer, group], row::delivery).optional()?)
    }

    fn take(&mut self, before: Delivery, grant: Grant) -> Try<Delivery> {
        let action = plan::claim(self.claim, &before, &grant);
        let next = transition(&before, &action, self.claim.now).map_err(|refusal| plan::refused(&before, refusal));
        let (next, _) = next?;
        let operation = self.book.operation(before.operation)?;
        if !self.book.claim(&before, &next)? {
            let message = format!("delivery {}: it is not what it was a moment ago", before.id);
            return Err(crate::Error::new(crate::ErrorKind::StaleFence, message).into());
        }
        let owner = operation.owner.clone();
        self.book.remember(&next, operation);
        let Grant { start, keys, .. } = grant;
        self.taken.push(TakenOne { delivery: next.clone(), owner, start, keys });
        Ok(next)
    }
}

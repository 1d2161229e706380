//! What may start next, by the index `deliveries_ready`: by consumer, group, lane, priority, due time and age.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Try;
use super::row::{self, delivery_columns};
use crate::Delivery;

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

pub(super) fn next_lane(conn: &Connection, consumer: i64, group: &str, after: Option<&str>) -> Try<Option<Delivery>> {
    Ok(match after {
        Some(after) => conn.prepare_cached(NEXT_LANE)?.query_row(params![consumer, group, after], row::delivery),
        None => conn.prepare_cached(FIRST_LANE)?.query_row(params![consumer, group], row::delivery),
    }
    .optional()?)
}

pub(super) fn lane(conn: &Connection, consumer: i64, group: &str, turn: &str, max: usize) -> Try<Vec<Delivery>> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut sql = conn.prepare_cached(LANE)?;
    let rows = sql.query_map(params![consumer, group, turn, max], row::delivery)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn head(conn: &Connection, consumer: i64, group: &str) -> Try<Option<Delivery>> {
    let mut sql = conn.prepare_cached(HEAD)?;
    Ok(sql.query_row(params![consumer, group], row::delivery).optional()?)
}

//! What was seen of the catalog's edges, by day.

use tokio_postgres::Row;

use super::error::Try;
use super::row::{every, get, instant, json_maybe, unsigned};
use super::session::Session;
use crate::catalog::{Day, Observation};

/// The observations of a day and later.
pub(super) async fn observed(session: &Session, since: Day) -> Try<Vec<Observation>> {
    let sql = "SELECT day, event, consumer, emits, count, failed, retried, last, times FROM observations \
        WHERE day >= $1 ORDER BY day, event, consumer, emits";
    every(&session.rows(sql, &[&since.number()]).await?, observation)
}

/// Columns `day, event, consumer, emits, count, failed, retried, last, times`.
pub(super) fn observation(row: &Row) -> Try<Observation> {
    Ok(Observation {
        day: Day::from_number(get(row, 0)?),
        event: get(row, 1)?,
        consumer: get(row, 2)?,
        emits: get(row, 3)?,
        count: unsigned(get(row, 4)?),
        failed: unsigned(get(row, 5)?),
        retried: unsigned(get(row, 6)?),
        last: instant(row, 7)?,
        times: json_maybe(row, 8)?.unwrap_or_default(),
    })
}

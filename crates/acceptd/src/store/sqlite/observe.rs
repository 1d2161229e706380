//! What was seen of the catalog's edges: added up by day.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::Try;
use super::row::{json_maybe, to_json};
use crate::Timestamp;
use crate::catalog::{Day, Observation};

const COLUMNS: &str = "SELECT day, event, consumer, emits, count, failed, retried, last, times FROM observations";

/// Adds observations to those of their days, and forgets days before `keep`.
pub(super) fn observe(conn: &Connection, observations: &[Observation], keep: Day) -> Try<()> {
    conn.prepare_cached("DELETE FROM observations WHERE day < ?1")?.execute([keep.number()])?;
    for seen in observations.iter().filter(|seen| seen.day >= keep) {
        let mut sum = seen.clone();
        if let Some(kept) = kept(conn, seen)? {
            sum.add(&kept);
        }
        write(conn, &sum)?;
    }
    Ok(())
}

/// The observations of a day and later.
pub(super) fn observed(conn: &Connection, since: Day) -> Try<Vec<Observation>> {
    let sql = format!("{COLUMNS} WHERE day >= ?1 ORDER BY day, event, consumer, emits");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([since.number()], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn kept(conn: &Connection, seen: &Observation) -> Try<Option<Observation>> {
    let sql = format!("{COLUMNS} WHERE day = ?1 AND event = ?2 AND consumer = ?3 AND emits = ?4");
    let key = params![seen.day.number(), seen.event, seen.consumer, seen.emits];
    Ok(conn.prepare_cached(&sql)?.query_row(key, read).optional()?)
}

fn write(conn: &Connection, seen: &Observation) -> Try<()> {
    let sql = "INSERT OR REPLACE INTO observations (day, event, consumer, emits, count, failed, retried, last, times) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    conn.prepare_cached(sql)?.execute(params![
        seen.day.number(),
        seen.event,
        seen.consumer,
        seen.emits,
        count(seen.count),
        count(seen.failed),
        count(seen.retried),
        seen.last.as_micros(),
        to_json(Some(&seen.times))?,
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Observation> {
    let count = |at| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or_default());
    Ok(Observation {
        day: Day::from_number(row.get(0)?),
        event: row.get(1)?,
        consumer: row.get(2)?,
        emits: row.get(3)?,
        count: count(4)?,
        failed: count(5)?,
        retried: count(6)?,
        last: Timestamp::from_micros(row.get(7)?),
        times: json_maybe(row, 8)?.unwrap_or_default(),
    })
}

//! Pruning: operations that ended long ago go with everything that belongs to them.

use rusqlite::{OptionalExtension as _, params};

use super::Book;
use super::error::Try;
use crate::{OperationId, Timestamp};

const CLOSED: &str = "SELECT id, span FROM operations INDEXED BY operations_closed \
    WHERE closed IS NOT NULL AND closed < ?1 ORDER BY closed, ordinal LIMIT ?2";

/// What goes before an operation's own row: `?1` is its ordinal, `?2` the last ordinal of its accept.
const BELONGINGS: [&str; 10] = [
    "DELETE FROM attempts WHERE delivery > ?1 AND delivery <= ?2",
    "DELETE FROM steps WHERE delivery > ?1 AND delivery <= ?2",
    "DELETE FROM results WHERE delivery > ?1 AND delivery <= ?2",
    "DELETE FROM events WHERE ordinal > ?1 AND ordinal <= ?2",
    "DELETE FROM deliveries WHERE ordinal > ?1 AND ordinal <= ?2",
    "DELETE FROM attempts WHERE delivery IN (SELECT ordinal FROM deliveries WHERE later = ?1)",
    "DELETE FROM steps WHERE delivery IN (SELECT ordinal FROM deliveries WHERE later = ?1)",
    "DELETE FROM results WHERE delivery IN (SELECT ordinal FROM deliveries WHERE later = ?1)",
    "DELETE FROM events WHERE later = ?1",
    "DELETE FROM deliveries WHERE later = ?1",
];

/// Every statement of a prune that must use an index, for the query plan tests.
#[cfg(test)]
pub(super) fn statements() -> Vec<&'static str> {
    let mut all = vec![CLOSED];
    all.extend(BELONGINGS);
    all
}

pub(super) fn prune(book: &mut Book<'_>, before: Timestamp, now: Timestamp, max: usize) -> Try<usize> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let sql = "DELETE FROM idempotency WHERE (scope, key) IN \
        (SELECT scope, key FROM idempotency WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";
    book.tables.conn.prepare_cached(sql)?.execute([now.as_micros(), limit])?;
    let closed = {
        let mut sql = book.tables.conn.prepare_cached(CLOSED)?;
        let row = |row: &rusqlite::Row<'_>| Ok((OperationId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?));
        sql.query_map([before.as_micros(), limit], row)?.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for (id, span) in &closed {
        remove(book, *id, *span)?;
    }
    forget_closures(book, now)?;
    forget_holds(book, now)?;
    Ok(closed.len())
}

fn remove(book: &Book<'_>, id: OperationId, span: i64) -> Try<()> {
    let ordinal = id.ordinal();
    for sql in BELONGINGS {
        let mut sql = book.tables.conn.prepare_cached(sql)?;
        match sql.parameter_count() {
            1 => sql.execute([ordinal])?,
            _ => sql.execute([ordinal, ordinal + span])?,
        };
    }
    book.tables.conn.prepare_cached("DELETE FROM notifications WHERE operation = ?1")?.execute([id.as_bytes()])?;
    book.tables.conn.prepare_cached("DELETE FROM operations WHERE ordinal = ?1")?.execute([ordinal])?;
    Ok(())
}

/// Slots that are held no longer, and keys of limits that say nothing any more.
fn forget_holds(book: &mut Book<'_>, now: Timestamp) -> Try<()> {
    book.tables.conn.prepare_cached("DELETE FROM holds WHERE until <= ?1")?.execute([now.as_micros()])?;
    book.sweep(now)
}

/// Closures that ended before the oldest operation began explain nobody's wait any more.
fn forget_closures(book: &Book<'_>, now: Timestamp) -> Try<()> {
    let mut oldest = book.tables.conn.prepare_cached("SELECT created FROM operations ORDER BY ordinal LIMIT 1")?;
    let oldest: Option<i64> = oldest.query_row([], |row| row.get(0)).optional()?;
    let sql = "DELETE FROM closures WHERE until < ?1 AND until <= ?2";
    let until = oldest.unwrap_or(i64::MAX);
    book.tables.conn.prepare_cached(sql)?.execute(params![until, now.as_micros()])?;
    Ok(())
}

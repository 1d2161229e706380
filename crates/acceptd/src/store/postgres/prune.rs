//! Pruning: operations that ended long ago go with everything that belongs to them.

use uuid::Uuid;

use super::error::Try;
use super::request::PostgresBook;
use super::row::{every, get, id};
use crate::{OperationId, Timestamp};

const KEYS: &str = "DELETE FROM idempotency WHERE (scope, key) IN \
    (SELECT scope, key FROM idempotency WHERE expires <= $1 ORDER BY expires LIMIT $2)";
const CLOSED: &str = "SELECT id, span FROM operations WHERE closed IS NOT NULL AND closed < $1 \
    ORDER BY closed, ordinal LIMIT $2";

/// What goes of operations `$1` before their own rows: `$2` are the last ordinals of their accepts.
pub(super) const BELONGINGS: [&str; 10] = [
    "DELETE FROM attempts t USING unnest($1::bigint[], $2::bigint[]) AS u(first, last) WHERE t.delivery > \
     u.first AND t.delivery <= u.last",
    "DELETE FROM steps t USING unnest($1::bigint[], $2::bigint[]) AS u(first, last) WHERE t.delivery > \
     u.first AND t.delivery <= u.last",
    "DELETE FROM results t USING unnest($1::bigint[], $2::bigint[]) AS u(first, last) WHERE t.delivery > \
     u.first AND t.delivery <= u.last",
    // Root events of operations that were submitted in SQL may have ordinals in between.
    "DELETE FROM events t USING unnest($1::bigint[], $2::bigint[]) AS u(first, last) WHERE t.ordinal > \
     u.first AND t.ordinal <= u.last \
     AND t.operation = (SELECT o.id FROM operations o WHERE o.ordinal = u.first)",
    "DELETE FROM ended t USING unnest($1::bigint[], $2::bigint[]) AS u(first, last) WHERE t.ordinal > u.first \
     AND t.ordinal <= u.last",
    "DELETE FROM attempts WHERE delivery IN (SELECT ordinal FROM ended WHERE later = ANY($1)) AND \
     $2::bigint[] IS NOT NULL",
    "DELETE FROM steps WHERE delivery IN (SELECT ordinal FROM ended WHERE later = ANY($1)) AND $2::bigint[] \
     IS NOT NULL",
    "DELETE FROM results WHERE delivery IN (SELECT ordinal FROM ended WHERE later = ANY($1)) AND $2::bigint[] \
     IS NOT NULL",
    "DELETE FROM events WHERE later = ANY($1) AND $2::bigint[] IS NOT NULL",
    "DELETE FROM ended WHERE later = ANY($1) AND $2::bigint[] IS NOT NULL",
];

pub(super) fn prune(book: &mut PostgresBook, before: Timestamp, now: Timestamp, max: usize) -> Try<usize> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let tables = &mut book.tables;
    tables.execute(KEYS, &[&now.as_micros(), &limit])?;
    let rows = tables.read(CLOSED, &[&before.as_micros(), &limit])?;
    let closed: Vec<(OperationId, i64)> = every(&rows, |row| Ok((id(row, 0)?, get(row, 1)?)))?;
    if !closed.is_empty() {
        let first: Vec<i64> = closed.iter().map(|(id, _)| id.ordinal()).collect();
        let last: Vec<i64> = closed.iter().map(|(id, span)| id.ordinal() + span).collect();
        for sql in BELONGINGS {
            tables.execute(sql, &[&first, &last])?;
        }
        let ids: Vec<Uuid> = closed.iter().map(|(id, _)| Uuid::from_bytes(*id.as_bytes())).collect();
        tables.execute("DELETE FROM notifications WHERE operation = ANY($1)", &[&ids])?;
        tables.execute("DELETE FROM operations WHERE ordinal = ANY($1)", &[&first])?;
    }
    forget_closures(book, now)?;
    book.tables.execute("DELETE FROM holds WHERE until <= $1", &[&now.as_micros()])?;
    book.sweep(now)?;
    Ok(closed.len())
}

/// Closures that ended before the oldest operation began explain nobody's wait any more.
fn forget_closures(book: &mut PostgresBook, now: Timestamp) -> Try<()> {
    let sql = "DELETE FROM closures WHERE until <= $1 AND until < \
        coalesce((SELECT created FROM operations ORDER BY ordinal LIMIT 1), 9223372036854775807)";
    book.tables.execute(sql, &[&now.as_micros()])
}

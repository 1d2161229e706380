//! Whether the machine's clock was set while nobody had the file open.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Try;
use super::row;
use crate::clock::{Clock as _, SystemClock, Uptime};

/// Keeps the store's time beside the machine's uptime.
pub(super) fn keep(conn: &Connection, uptime: &Uptime) -> Try<()> {
    let sql = "INSERT OR REPLACE INTO uptime (id, boot, micros, at) VALUES (1, ?1, ?2, ?3)";
    conn.prepare_cached(sql)?.execute(params![uptime.boot, uptime.micros, uptime.at.as_micros()])?;
    Ok(())
}

/// By how much the machine's clock was set since this store was last in use, by whoever goes by that clock.
pub(super) fn set_while_closed(conn: &Connection) -> Try<i64> {
    let row =
        |row: &rusqlite::Row<'_>| Ok(Uptime { boot: row.get(0)?, micros: row.get(1)?, at: row::instant(row, 2)? });
    let then = conn.query_row("SELECT boot, micros, at FROM uptime", [], row).optional()?;
    Ok(then.zip(Uptime::read(SystemClock.now())).map_or(0, |(then, now)| now.set_since(&then)))
}

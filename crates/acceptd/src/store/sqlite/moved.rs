//! The mark of a file whose store goes on elsewhere: whoever served it again would run its deliveries twice.
//!
//! The `application_id` is another one then, so that an acceptd that knows nothing of marks leaves the file alone, too.

use std::path::Path;

use rusqlite::Connection;
#[cfg(feature = "postgres")]
use rusqlite::params;
use uuid::Uuid;

#[cfg(feature = "postgres")]
use super::open::{APPLICATION_ID, MOVED_ID};
use crate::{Error, ErrorKind, Timestamp};

/// Where a store went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Moved {
    /// The place in words, without a password.
    pub(in crate::store) target: String,
    /// When.
    pub(in crate::store) at: Timestamp,
    /// The token of the copy, which the other store's log holds once the copy is committed.
    pub(in crate::store) token: Uuid,
}

impl Moved {
    /// The answer to whoever opens the file.
    pub(in crate::store) fn refusal(&self, path: &Path) -> Error {
        let (path, Self { target, at, .. }) = (path.display(), self);
        let message = format!(
            "{path} was moved to {target} at {at} and is not served again; docs/postgres.md says how to take that back"
        );
        Error::new(ErrorKind::Unavailable, message)
    }
}

/// The mark of a file that has one.
pub(super) fn read(conn: &Connection) -> rusqlite::Result<Moved> {
    conn.query_row("SELECT target, at, token FROM moved", [], |row| {
        let (at, token) = (Timestamp::from_micros(row.get(1)?), Uuid::from_bytes(row.get(2)?));
        Ok(Moved { target: row.get(0)?, at, token })
    })
}

/// Sets the mark, within the transaction that is open.
#[cfg(feature = "postgres")]
pub(super) fn set(conn: &Connection, moved: &Moved) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS moved (target TEXT NOT NULL, at INTEGER NOT NULL, token BLOB NOT NULL) STRICT;
         DELETE FROM moved;",
    )?;
    let sql = "INSERT INTO moved (target, at, token) VALUES (?1, ?2, ?3)";
    conn.execute(sql, params![moved.target, moved.at.as_micros(), moved.token.as_bytes()])?;
    conn.execute_batch(&format!("PRAGMA application_id = {MOVED_ID}"))
}

/// Takes the mark back.
#[cfg(feature = "postgres")]
pub(super) fn take_back(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))
}

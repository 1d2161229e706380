//! A file whose rows are copied into another store. It is locked for as long, as by a server.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

pub(in crate::store) use super::moved::Moved;
use super::open::{self, MOVED_ID};
use super::{Options, catch_up, error, load, moved, open_book};
use crate::Result;

/// A file that nobody else has open.
pub(in crate::store) struct Source {
    path: PathBuf,
    conn: Connection,
    _lock: File,
}

impl Source {
    /// Takes the lock of a file that is there.
    ///
    /// # Errors
    /// `InvalidArgument` when there is no such file, `Locked` when another process holds it; as for opening a store.
    pub(in crate::store) fn lock(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(crate::Error::invalid(format!("there is no file {}", path.display())));
        }
        let lock = open::lock(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(|cause| error::at_open(path, cause))?;
        Ok(Self { path: path.to_path_buf(), conn, _lock: lock })
    }

    /// Where its store went, if it was moved before.
    pub(in crate::store) fn moved(&self) -> Result<Option<Moved>> {
        let read = || {
            let id: i64 = self.conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
            (id == i64::from(MOVED_ID)).then(|| moved::read(&self.conn)).transpose()
        };
        read().map_err(|cause| error::at_open(&self.path, cause))
    }

    /// Takes the mark of a store that was moved away.
    pub(in crate::store) fn take_back(&self) -> Result<()> {
        moved::take_back(&self.conn).map_err(error::failed)
    }

    /// Brings the file to the present schema and time, as a server does that opens it, and begins to read one state
    /// of everything.
    pub(in crate::store) fn begin(&mut self) -> Result<()> {
        self.conn = open::writer(&self.path, &Options { log_kib: 0, ..Options::default() })?;
        let book = open_book(&self.conn, std::sync::Arc::default()).map_err(|stop| match stop {
            error::Stop::Broken(cause) => error::at_open(&self.path, cause),
            refused => refused.into(),
        })?;
        catch_up(book)?;
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(error::failed)
    }

    /// The rows of a query without parameters, for as long as the result is read.
    pub(in crate::store) fn prepare(&self, sql: &str) -> Result<rusqlite::Statement<'_>> {
        self.conn.prepare(sql).map_err(error::failed)
    }

    /// A number that a query answers.
    pub(in crate::store) fn number(&self, sql: &str) -> Result<i64> {
        self.conn.query_row(sql, [], |row| row.get(0)).map_err(error::failed)
    }

    /// The last ordinal that was given out, and what waits or runs.
    pub(in crate::store) fn state(&self) -> Result<(i64, i64)> {
        Ok((self.number(load::LAST)?, self.number(load::BACKLOG)?))
    }

    /// Marks the file as moved, durably, and ends the reading.
    pub(in crate::store) fn mark(&self, moved: &Moved) -> Result<()> {
        let mark = || {
            moved::set(&self.conn, moved)?;
            self.conn.execute_batch("COMMIT")
        };
        mark().map_err(error::failed)
    }
}

/// A row that can't be read.
pub(in crate::store) fn failed(cause: rusqlite::Error) -> crate::Error {
    error::failed(cause)
}

impl Drop for Source {
    fn drop(&mut self) {
        if !self.conn.is_autocommit() {
            // What was not committed is not to be there; the file is as it was if this fails, too.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        let written_back = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = written_back {
            tracing::warn!(%error, "the write-ahead log could not be written back; the next open does it");
        }
    }
}

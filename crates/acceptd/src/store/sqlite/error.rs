//! Where SQLite's errors become the library's. Nothing else in the store looks at an error code.

use std::path::Path;

use rusqlite::{Error as Sqlite, ErrorCode};

use crate::{Error, ErrorKind};

/// Why a command or a query stopped.
pub(super) type Stop = crate::store::book::Stop<Sqlite>;

/// What a command or a query comes to.
pub(super) type Try<T> = Result<T, Stop>;

impl From<Sqlite> for Stop {
    fn from(error: Sqlite) -> Self {
        Self::Broken(error)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) | Stop::HalfWay(error) => error,
            Stop::Broken(error) => failed(error),
        }
    }
}

/// Whether there was no room for what was written.
pub(super) fn is_full(error: &Sqlite) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether nothing more may be written after this: what the disk holds is not known any more.
pub(super) fn is_fatal(error: &Sqlite) -> bool {
    use ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, ReadOnly, SystemIoFailure};
    let code = error.sqlite_error_code();
    code.is_some_and(|code| matches!(code, SystemIoFailure | DatabaseCorrupt | NotADatabase | ReadOnly | CannotOpen))
}

/// A failure while the store is in use.
pub(super) fn failed(error: Sqlite) -> Error {
    use ErrorCode as C;
    let (kind, message) = match error.sqlite_error_code() {
        Some(C::DiskFull) => (ErrorKind::StorageFull, "the disk is full, so nothing was stored"),
        Some(C::DatabaseCorrupt | C::NotADatabase) => (ErrorKind::Corrupt, "the store's file is damaged"),
        Some(C::SystemIoFailure | C::ReadOnly | C::CannotOpen) => {
            (ErrorKind::Unavailable, "the store's file can't be read or written")
        }
        Some(C::DatabaseBusy | C::DatabaseLocked) => (ErrorKind::Unavailable, "the store's file is in use"),
        Some(_) => (ErrorKind::Internal, "the store was asked for something that it can't do"),
        None if is_unreadable_row(&error) => (ErrorKind::Corrupt, "the store holds a row that can't be read"),
        None => (ErrorKind::Internal, "the store was asked for something that it can't do"),
    };
    Error::new(kind, message).caused_by(error)
}

/// A failure while the store's file is opened.
pub(super) fn at_open(path: &Path, error: Sqlite) -> Error {
    use ErrorCode as C;
    let path = path.display();
    let (kind, message) = match error.sqlite_error_code() {
        Some(C::NotADatabase) => (ErrorKind::Corrupt, format!("{path} is no file of acceptd, or it is damaged")),
        Some(C::DatabaseCorrupt) => (ErrorKind::Corrupt, format!("{path} is damaged")),
        Some(C::ReadOnly) => (ErrorKind::Unavailable, format!("{path} or its directory is read-only")),
        Some(C::CannotOpen) => (ErrorKind::Unavailable, format!("{path} can't be opened")),
        Some(C::DatabaseBusy | C::DatabaseLocked) => (ErrorKind::Locked, format!("{path} is held by another process")),
        Some(C::DiskFull) => (ErrorKind::StorageFull, format!("the disk is full, so {path} can't be opened")),
        _ => return failed(error),
    };
    Error::new(kind, message).caused_by(error)
}

/// The answer to everything after a fatal failure.
pub(super) fn poisoned() -> Error {
    Error::new(ErrorKind::Unavailable, "the store failed to write before, so it takes nothing more until a restart")
}

/// The answer to callers whose commands shared a transaction with the one that found the disk full.
pub(super) fn full() -> Error {
    Error::new(ErrorKind::StorageFull, "the disk is full, so nothing was stored")
}

/// The answer when the writer is gone.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the store is closed")
}

fn is_unreadable_row(error: &Sqlite) -> bool {
    use Sqlite as E;
    matches!(error, E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..))
}

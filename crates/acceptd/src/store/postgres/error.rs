//! Where the server's errors become the library's. Nothing else in the store looks at an error code.

use tokio_postgres::Error as Postgres;
use tokio_postgres::error::SqlState;

use crate::{Error, ErrorKind};

/// How the database fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused a statement, or the connection broke.
    Server(Postgres),
    /// A row is not what was ever written.
    Unreadable(Error),
    /// There is no connection, and none can be made.
    Away(Error),
    /// A row that only the holder of the pen may change was changed by someone else.
    Changed,
}

/// Why a command or a query stopped.
pub(super) type Stop = crate::store::book::Stop<Failure>;

/// What a command or a query comes to.
pub(super) type Try<T> = Result<T, Stop>;

impl From<Postgres> for Stop {
    fn from(error: Postgres) -> Self {
        Self::Broken(Failure::Server(error))
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) | Stop::HalfWay(error) => error,
            Stop::Broken(failure) => failure.into(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Server(error) => failed(error),
            Failure::Unreadable(error) => error,
            Failure::Away(error) => Self::new(ErrorKind::Unavailable, error.message().to_owned()),
            Failure::Changed => Self::new(ErrorKind::Internal, "someone else changed a row of the store"),
        }
    }
}

/// The answer to a row that can't be read.
pub(super) fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Stop {
    let error = Error::new(ErrorKind::Corrupt, "the store holds a row that can't be read").caused_by(cause);
    Stop::Broken(Failure::Unreadable(error))
}

/// Whether the connection is of no use any more, so that what was sent last may or may not have been done.
pub(super) fn is_lost(failure: &Failure) -> bool {
    let error = match failure {
        Failure::Away(_) => return true,
        Failure::Server(error) => error,
        Failure::Unreadable(_) | Failure::Changed => return false,
    };
    error.is_closed()
        || error.code().is_none_or(|code| {
            // The server ended the session: it stops, an administrator asked for it, or the session was idle too long.
            code.code().starts_with("08")
                || code.code().starts_with("57P")
                || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        })
}

/// Whether the same may work a moment later: the server is busy, has no room, or gave way to someone else.
pub(super) fn is_passing(failure: &Failure) -> bool {
    let Failure::Server(error) = failure else { return false };
    error
        .code()
        .is_some_and(|code| ["40", "53", "55", "57", "58", "25"].iter().any(|class| code.code().starts_with(class)))
}

/// Whether the server had no room for what was written.
pub(super) fn is_full(failure: &Failure) -> bool {
    matches!(failure, Failure::Server(error) if error.code() == Some(&SqlState::DISK_FULL))
}

/// A failure while the store is in use.
fn failed(error: Postgres) -> Error {
    let Some(code) = error.code().cloned() else {
        return Error::new(ErrorKind::Unavailable, "the database can't be reached").caused_by(error);
    };
    let (kind, message) = match &code {
        code if *code == SqlState::DISK_FULL => {
            (ErrorKind::StorageFull, "the database's disk is full, so nothing was stored")
        }
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            (ErrorKind::Unavailable, "the database takes no writes: it is a standby, or it is set to read only")
        }
        code if *code == SqlState::LOCK_NOT_AVAILABLE => {
            (ErrorKind::Unavailable, "another node has been writing to the database for too long")
        }
        code if *code == SqlState::QUERY_CANCELED => (ErrorKind::Unavailable, "the database took too long"),
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            (ErrorKind::Unavailable, "the database's user lacks a right that acceptd needs")
        }
        code if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME => {
            (ErrorKind::Unavailable, "the tables of acceptd are gone from the database")
        }
        code if ["08", "53", "57", "58", "40", "55", "25"].iter().any(|class| code.code().starts_with(class)) => {
            (ErrorKind::Unavailable, "the database can't do its work now")
        }
        _ => (ErrorKind::Internal, "the store was asked for something that it can't do"),
    };
    Error::new(kind, message).caused_by(error)
}

/// A failure while the store is opened at this place, which names no password.
pub(super) fn at_open(place: &str, error: Postgres) -> Error {
    let said = error.as_db_error().map(|error| error.message().to_owned());
    let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
    let (kind, message) = match (code.as_str(), said) {
        ("28P01" | "28000", Some(said)) => (ErrorKind::InvalidArgument, format!("{place} refused the login: {said}")),
        ("3D000", Some(said)) => (ErrorKind::InvalidArgument, format!("{place} has not this database: {said}")),
        ("42501", Some(said)) => (
            ErrorKind::InvalidArgument,
            format!("the user lacks a right in {place}: {said}; it needs CREATE in the database, or in the schema"),
        ),
        ("25006", _) => {
            (ErrorKind::Unavailable, format!("{place} takes no writes: it is a standby, or it is set to read only"))
        }
        ("53100", _) => (ErrorKind::StorageFull, format!("the disk of {place} is full")),
        (_, Some(said)) => (ErrorKind::Unavailable, format!("{place} can't be used: {said}")),
        (_, None) => (ErrorKind::Unavailable, format!("{place} can't be reached")),
    };
    Error::new(kind, message).caused_by(error)
}

/// The answer while there is no connection.
pub(super) fn unreachable() -> Stop {
    let error = Error::new(ErrorKind::Unavailable, "the database can't be reached");
    Stop::Broken(Failure::Away(error))
}

/// The answer when the writer is gone.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the store is closed")
}

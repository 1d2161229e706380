//! Where the server's errors become the library's. Nothing else in the store looks at an error code.

use tokio_postgres::Error as Postgres;

use crate::{Error, ErrorKind};

/// Why a command stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// It was refused before it wrote anything.
    Refused(Error),
    /// The database failed, perhaps half way.
    Broken(Postgres),
    /// A row is not what was ever written, perhaps half way.
    Unreadable(Error),
}

/// What a command or a query comes to.
pub(super) type Try<T> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Postgres> for Stop {
    fn from(error: Postgres) -> Self {
        Self::Broken(error)
    }
}

/// The answer to a row that can't be read.
pub(super) fn unreadable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Stop {
    Stop::Unreadable(Error::new(ErrorKind::Corrupt, "the store holds a row that can't be read").caused_by(cause))
}

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

//! The reading connections. A read is one short transaction on a thread that may block; it never waits for the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::{self, Try};
use super::open;
use crate::{Error, ErrorKind, Result};

/// How long a read waits for a free connection.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A small pool of reading connections.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    free: Semaphore,
    connections: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool of `size` connections; each is opened when it is first needed.
    pub(super) fn new(path: PathBuf, size: usize) -> Arc<Self> {
        Arc::new(Self { path, free: Semaphore::new(size.max(1)), connections: Mutex::new(Vec::new()) })
    }

    /// Runs a read.
    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Try<T> + Send + 'static,
    {
        let permit = match self.free.try_acquire() {
            Ok(permit) => permit,
            Err(_) => match tokio::time::timeout(WAIT_MAX, self.free.acquire()).await {
                Ok(permit) => permit.map_err(|_| error::closed())?,
                Err(_) => return Err(Error::new(ErrorKind::Overloaded, "too many reads wait for the store")),
            },
        };
        // The permit stays with the connection, also when the caller goes away while it reads.
        permit.forget();
        let pool = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let answer = pool.read_now(read);
            pool.free.add_permits(1);
            answer
        });
        reading.await.map_err(|error| Error::new(ErrorKind::Internal, "a read failed").caused_by(error))?
    }

    fn read_now<T>(&self, read: impl FnOnce(&Connection) -> Try<T>) -> Result<T> {
        let pooled = self.lock().pop();
        let conn = match pooled {
            Some(conn) => conn,
            None => open::reader(&self.path)?,
        };
        let answer = transaction(&conn, read);
        self.lock().push(conn);
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections that are not in use.
    pub(super) fn close(&self) {
        self.free.close();
        self.lock().clear();
    }
}

fn transaction<T>(conn: &Connection, read: impl FnOnce(&Connection) -> Try<T>) -> Result<T> {
    conn.prepare_cached("BEGIN").and_then(|mut sql| sql.execute([])).map_err(error::failed)?;
    let answer = read(conn);
    let ended = conn.prepare_cached("COMMIT").and_then(|mut sql| sql.execute([]));
    let answer = answer?;
    ended.map_err(error::failed)?;
    Ok(answer)
}

//! The reading sessions. A read is one short transaction that sees one state of everything; it never waits for the pen.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::error::{self, Stop, Try};
use super::open;
use super::place::Place;
use super::session::Session;
use crate::{Error, ErrorKind, Result};

/// How long a read waits for a free session.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What a read does on a session.
pub(super) trait Read<T>: for<'s> Fn(&'s Session) -> Reading<'s, T> + Send + Sync {}

impl<T, F: for<'s> Fn(&'s Session) -> Reading<'s, T> + Send + Sync> Read<T> for F {}

/// A read that is under way.
pub(super) type Reading<'s, T> = Pin<Box<dyn Future<Output = Try<T>> + Send + 's>>;

/// A small pool of reading sessions.
pub(super) struct Readers {
    place: Place,
    runtime: Handle,
    free: Semaphore,
    sessions: Mutex<Vec<Session>>,
}

impl Readers {
    /// A pool of `size` sessions; each is opened when it is first needed, and driven by this runtime.
    pub(super) fn new(place: Place, size: usize, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { place, runtime, free: Semaphore::new(size.max(1)), sessions: Mutex::default() })
    }

    /// Runs a read. One that finds its connection gone is asked once more on another.
    pub(super) async fn read<T>(&self, read: impl Read<T>) -> Result<T> {
        let Ok(permit) = tokio::time::timeout(WAIT_MAX, self.free.acquire()).await else {
            return Err(Error::new(ErrorKind::Overloaded, "too many reads wait for the store"));
        };
        let _permit = permit.map_err(|_| error::closed())?;
        let mut is_first = true;
        loop {
            let session = match self.take() {
                Some(session) => session,
                None => self.open().await?,
            };
            let answer = within(&session, &read).await;
            match answer {
                Err(Stop::Broken(failure)) if error::is_lost(&failure) && is_first => is_first = false,
                Err(Stop::Broken(failure)) => return Err(failure.into()),
                answer => {
                    self.lock().push(session);
                    return answer.map_err(Into::into);
                }
            }
        }
    }

    async fn open(&self) -> Result<Session> {
        let place = self.place.clone();
        let opening = self.runtime.spawn(async move { open::connect(&place, Arc::default()).await });
        opening.await.unwrap_or_else(|_| Err(error::closed()))
    }

    fn take(&self) -> Option<Session> {
        let mut sessions = self.lock();
        sessions.retain(|session| !session.is_closed());
        sessions.pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn within<T>(session: &Session, read: &impl Read<T>) -> Try<T> {
    let begin = session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let (begun, answer) = futures_util::join!(begin, read(session));
    begun?;
    match answer {
        Err(Stop::Broken(failure)) => {
            // The failure says what went wrong; a session that can't end its transaction is dropped with it.
            let _ = session.simple("ROLLBACK").await;
            Err(Stop::Broken(failure))
        }
        answer => {
            session.simple("COMMIT").await?;
            answer
        }
    }
}

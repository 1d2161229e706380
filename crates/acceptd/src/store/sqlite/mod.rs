//! The store in one SQLite file, for one process. `docs/storage.md` has the tables, the indexes and the promises.
//!
//! A verb that writes becomes a command for the one writer thread (`writer`), which applies whatever is waiting in one
//! transaction; what it does there is in the file named like the verb. A verb that reads runs on one of a few
//! reading connections (`readers`).

use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::book::claim::{Taken, TakenOne};
use super::book::{Stop, accept, control, end, limits, lock, settle};
use super::turnstile::Turnstile;
use super::*;
use crate::catalog::{Day, Observation};
use crate::clock::{Clock as _, SystemClock, Uptime};
use crate::limit::LimitChange;
use crate::{Delivery, Error, ErrorKind, EventKey, Notification, Result, StoredEvent, Timestamp};

mod checkpoint;
mod claim;
#[cfg(feature = "postgres")]
pub(super) mod copy;
mod error;
mod items;
mod list;
mod load;
mod moved;
mod observe;
mod open;
mod prune;
mod query;
mod readers;
mod row;
mod tables;
#[cfg(test)]
mod tests;
mod uptime;
mod writer;

use checkpoint::Checkpointer;
use error::Try;
use readers::Readers;
use tables::SqliteTables;
use writer::{Gauges, Kind, Request};

/// The writer's book.
type Book<'c> = super::book::Book<SqliteTables<'c>>;

/// How a [`SqliteStore`] uses memory and disk. The defaults are right unless measured otherwise.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pages that the writer keeps in memory, in KiB.
    pub cache_kib: u32,
    /// Commands that are applied in one transaction at most.
    pub batch_max: usize,
    /// Commands that may wait for the writer; callers beyond wait before their command is taken.
    pub waiting_max: usize,
    /// Reading connections.
    pub readers: usize,
    /// Pages in the write-ahead log before it is written back into the file.
    pub checkpoint_pages: u32,
    /// Bytes in a page of a new file.
    pub page_size: u32,
    /// KiB that the write-ahead log has from the start: an fsync of what is overwritten takes half the time of one
    /// that makes the file longer. 0 lets it grow.
    pub log_kib: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_kib: 32 * 1_024,
            batch_max: 1_024,
            waiting_max: 4_096,
            readers: 3,
            checkpoint_pages: 8_000,
            page_size: 4_096,
            log_kib: 32 * 1_024,
        }
    }
}

/// A [`Store`] in one SQLite file. Clones share it; dropping the last one ends it properly.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    commands: Option<mpsc::Sender<Box<dyn Request>>>,
    gauges: Arc<Gauges>,
    turnstile: Arc<Mutex<Turnstile>>,
    readers: Arc<Readers>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the store in this file, which is made when it does not exist.
    ///
    /// # Errors
    /// `Locked` when another process holds it, `Corrupt` when it is damaged or not ours, `Unavailable` when it can't
    /// be read and written or was made by a newer acceptd.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let lock = open::lock(&path)?;
        let gauges = Arc::new(Gauges::default());
        let turnstile = Arc::new(Mutex::new(Turnstile::default()));
        let (sender, commands) = mpsc::channel(options.waiting_max.max(1));
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let readers = Readers::new(path.clone(), options.readers);
        let shared = (Arc::clone(&gauges), Arc::clone(&turnstile));
        let thread = std::thread::Builder::new().name("acceptd-store".to_owned()).spawn(move || {
            write_until_closed(&path, lock, &options, shared, commands, &opened);
        });
        let thread = thread.map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "the store's thread can't be started").caused_by(cause)
        })?;
        if let Err(error) = is_open.recv().unwrap_or_else(|_| Err(error::closed())) {
            // Once the thread has ended, the lock is free again.
            let _ = thread.join();
            return Err(error);
        }
        Ok(Self(Arc::new(Inner {
            commands: Some(sender),
            gauges,
            turnstile,
            readers,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Gives the writer something to do and waits until it is committed.
    async fn write<T, F>(&self, kind: Kind, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Book<'_>) -> Try<T> + Send + 'static,
    {
        self.write_or_undo(kind, run, None).await
    }

    async fn write_or_undo<T, F>(&self, kind: Kind, run: F, undo: Option<fn(T) -> Box<dyn Request>>) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Book<'_>) -> Try<T> + Send + 'static,
    {
        let (request, answer) = writer::command(kind, run, undo);
        let commands = self.0.commands.as_ref().ok_or_else(error::closed)?;
        commands.send(request).await.map_err(|_| error::closed())?;
        answer.await.map_err(|_| error::closed())?
    }

    fn read_with<'a, T, F>(&'a self, read: F) -> Answer<'a, T>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection) -> Try<T> + Send + 'static,
    {
        Box::pin(self.0.readers.read(read))
    }

    async fn claim_events(&self, claim: Claim) -> Result<Claims> {
        let now = claim.now;
        let undo: fn((Taken, Vec<StoredEvent>)) -> Box<dyn Request> = |(taken, _)| {
            let at = taken.deliveries.first().map_or(Timestamp::default(), |one| one.delivery.since);
            release(taken.deliveries.into_iter().map(|one| one.delivery).collect(), at)
        };
        let taken = self.write_or_undo(Kind::Claim, move |book| take(book, &claim), Some(undo)).await?;
        let (Taken { deliveries, next, paused }, mut events) = taken;
        if events.len() < deliveries.len() {
            let keys = keys_of(&deliveries);
            events = match self.0.readers.read(move |conn| query::events(conn, &keys)).await {
                Ok(events) => events,
                Err(error) => {
                    let unread = deliveries.into_iter().map(|one| one.delivery).collect();
                    if let Some(commands) = &self.0.commands {
                        // When this fails, too, the deliveries are rescued like those of a node that went away.
                        let _ = commands.send(release(unread, now)).await;
                    }
                    return Err(error);
                }
            };
        }
        let claimed = deliveries.into_iter().zip(events);
        let claimed = claimed.map(|(one, event)| {
            let TakenOne { delivery, owner, start, keys } = one;
            Claimed { delivery, event, owner, start, keys }
        });
        Ok(Claims { claimed: claimed.collect(), next, paused })
    }

    async fn register_and_route(&self, register: Register) -> Result<Registered> {
        let register = Arc::new(register);
        let mut routed = 0;
        loop {
            let (this, is_first) = (Arc::clone(&register), routed == 0);
            let slice = self.write(Kind::Other, move |book| {
                if is_first {
                    control::register(book, &this)?;
                }
                Ok((control::route_waiting(book, this.now)?, control::woken(book, &this)?))
            });
            let (slice, woken) = slice.await?;
            routed += slice;
            if slice < control::SLICE {
                return Ok(Registered { woken, routed });
            }
        }
    }

    async fn rescue_all(&self, me: NodeId, lease: Duration, now: Timestamp) -> Result<Vec<Rescued>> {
        let mut rescued = Vec::new();
        loop {
            let slice = self.write(Kind::Other, move |book| control::rescue(book, me, lease, now)).await?;
            let is_last = slice.len() < control::SLICE;
            rescued.extend(slice);
            if is_last {
                return Ok(rescued);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.commands = None;
        self.readers.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

/// The writer thread, from opening the file to closing it. Holds the lock all the while.
fn write_until_closed(
    path: &Path,
    lock: File,
    options: &Options,
    (gauges, turnstile): (Arc<Gauges>, Arc<Mutex<Turnstile>>),
    commands: mpsc::Receiver<Box<dyn Request>>,
    opened: &std::sync::mpsc::SyncSender<Result<()>>,
) {
    let conn = match open::writer(path, options) {
        Ok(conn) => conn,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let opening = open_book(&conn, turnstile).map_err(|stop| match stop {
        Stop::Broken(cause) => error::at_open(path, cause),
        refused => refused.into(),
    });
    match opening.and_then(catch_up) {
        Ok(book) => {
            gauges.backlog.store(book.backlog, Relaxed);
            let _ = opened.send(Ok(()));
            let checkpointer = Checkpointer::start(path.to_path_buf(), Arc::clone(&gauges));
            writer::work(&conn, book, &gauges, commands, options.batch_max.max(1));
            if let Some(checkpointer) = checkpointer {
                checkpointer.stop();
            }
        }
        Err(error) => drop(opened.send(Err(error))),
    }
    if !gauges.broken.load(Relaxed)
        && let Err(error) = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    {
        tracing::warn!(%error, "the write-ahead log could not be written back; the next open does it");
    }
    drop(conn);
    drop(lock);
}

/// The book of a file that nobody else has open.
fn open_book(conn: &Connection, turnstile: Arc<Mutex<Turnstile>>) -> Try<Book<'_>> {
    // The lock says that no other process has the file, so no node of before is alive.
    conn.execute("UPDATE nodes SET heartbeat = 0 WHERE heartbeat > 0", [])?;
    let last = conn.query_row(load::LAST, [], |row| row.get(0))?;
    let backlog = conn.query_row(load::BACKLOG, [], |row| row.get(0))?;
    Book::open(SqliteTables::new(conn)?, last, backlog, turnstile)
}

/// Events of claims are read by the writer when they are few, which is sooner; many by a reader, so that the writer
/// can go on.
const FEW: usize = 8;

/// Claims, with the events when they are few.
fn take(book: &mut Book<'_>, claim: &Claim) -> Try<(Taken, Vec<StoredEvent>)> {
    let taken = super::book::claim::claim(book, claim)?;
    let events = match taken.deliveries.len() <= FEW {
        true => query::events(book.tables.conn, &keys_of(&taken.deliveries))?,
        false => Vec::new(),
    };
    Ok((taken, events))
}

fn keys_of(taken: &[TakenOne]) -> Vec<EventKey> {
    taken.iter().map(|one| one.delivery.event).collect()
}

/// The clock was set by more than this many microseconds, rather than read inexactly.
const NOTEWORTHY: i64 = 250_000;

/// Moves what is measured in time along, when the machine's clock was set while nobody had the file open.
fn catch_up(mut book: Book<'_>) -> Result<Book<'_>> {
    let mut shift = || -> Try<()> {
        let micros = uptime::set_while_closed(book.tables.conn)?;
        let before = Timestamp::from_micros(SystemClock.now().as_micros().saturating_sub(micros));
        if micros != 0 {
            if micros.abs() > NOTEWORTHY {
                let milliseconds = micros / 1_000;
                tracing::warn!(milliseconds, "the machine's clock was set; leases and limits move along");
            }
            book.tables.conn.execute_batch("BEGIN IMMEDIATE")?;
            limits::shift(&mut book, micros, before)?;
            book.tables.conn.execute_batch("COMMIT")?;
        }
        Ok(())
    };
    match shift() {
        Ok(()) => Ok(book),
        Err(stop) => Err(stop.into()),
    }
}

/// Gives claimed deliveries back that nobody will run.
fn release(deliveries: Vec<Delivery>, now: Timestamp) -> Box<dyn Request> {
    writer::unheard(Kind::Settle, move |book| {
        for delivery in &deliveries {
            let (verdict, fence) = (Verdict::Release { unfinished: false }, delivery.fence);
            match settle::settle(book, &Settle { delivery: delivery.id, fence, verdict, now }) {
                // Refused: someone canceled it meanwhile.
                Ok(_) | Err(error::Stop::Refused(_)) => {}
                Err(broken) => return Err(broken),
            }
        }
        Ok(())
    })
}

impl Store for SqliteStore {
    fn accept(&self, accept: Accept) -> Answer<'_, Accepted> {
        Box::pin(self.write(Kind::Accept, move |book| accept::accept(book, &accept)))
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Claims> {
        Box::pin(self.claim_events(claim))
    }

    fn settle(&self, settle: Settle) -> Answer<'_, Settled> {
        Box::pin(self.write(Kind::Settle, move |book| settle::settle(book, &settle)))
    }

    fn extend(&self, delivery: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| settle::extend(book, delivery, fence, lease, now)))
    }

    fn report(&self, delivery: DeliveryId, fence: u64, progress: ProgressReport, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| settle::report(book, delivery, fence, &progress, now)))
    }

    fn remember(&self, step: Step) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| settle::remember(book, &step)))
    }

    fn steps(&self, delivery: DeliveryId) -> Answer<'_, Vec<(String, Vec<u8>)>> {
        self.read_with(move |conn| query::steps(conn, delivery))
    }

    fn cancel(&self, operation: OperationId, now: Timestamp) -> Answer<'_, Stopped> {
        Box::pin(self.write(Kind::Other, move |book| end::cancel(book, operation, now)))
    }

    fn retry(&self, what: DeadLetters, now: Timestamp) -> Answer<'_, Stopped> {
        Box::pin(self.write(Kind::Other, move |book| end::retry(book, what, now)))
    }

    fn discard(&self, delivery: DeliveryId, now: Timestamp) -> Answer<'_, Stopped> {
        Box::pin(self.write(Kind::Other, move |book| end::discard(book, delivery, now)))
    }

    fn pause(&self, what: Pausable, closure: Closure) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| limits::pause(book, &what, &closure)))
    }

    fn resume(&self, what: Pausable, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(self.write(Kind::Other, move |book| limits::resume(book, &what, now)))
    }

    fn change_limit(&self, limit: String, change: Option<LimitChange>) -> Answer<'_, LimitView> {
        Box::pin(self.write(Kind::Other, move |book| limits::change(book, &limit, change.clone())))
    }

    fn permit(&self, permit: Permit) -> Answer<'_, Permitted> {
        Box::pin(self.write(Kind::Claim, move |book| limits::permit(book, &permit)))
    }

    fn give_back(&self, hold: HoldId) -> Answer<'_, Vec<String>> {
        Box::pin(self.write(Kind::Other, move |book| limits::give_back(book, hold)))
    }

    fn shift(&self, micros: i64, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| limits::shift(book, micros, now)))
    }

    fn register(&self, register: Register) -> Answer<'_, Registered> {
        Box::pin(self.register_and_route(register))
    }

    fn heartbeat(&self, node: NodeId, now: Timestamp, uptime: Option<Uptime>) -> Answer<'_, Vec<(String, Closure)>> {
        Box::pin(self.write(Kind::Other, move |book| {
            if let Some(uptime) = &uptime {
                uptime::keep(book.tables.conn, uptime)?;
            }
            control::heartbeat(book, node, now)
        }))
    }

    fn rescue(&self, me: NodeId, lease: Duration, now: Timestamp) -> Answer<'_, Vec<Rescued>> {
        Box::pin(self.rescue_all(me, lease, now))
    }

    fn prune(&self, before: Timestamp, now: Timestamp, max: usize) -> Answer<'_, usize> {
        Box::pin(self.write(Kind::Prune, move |book| prune::prune(book, before, now, max)))
    }

    fn operation(&self, id: OperationId) -> Answer<'_, OperationView> {
        self.read_with(move |conn| query::operation(conn, id))
    }

    fn results(&self, id: OperationId) -> Answer<'_, Vec<ConsumerResult>> {
        self.read_with(move |conn| query::results(conn, id))
    }

    fn operations(&self, filter: OperationFilter, page: Page) -> Answer<'_, Listing<OperationView>> {
        self.read_with(move |conn| list::operations(conn, &filter, page))
    }

    fn chain(&self, id: OperationId) -> Answer<'_, Chain> {
        self.read_with(move |conn| query::chain(conn, id))
    }

    fn items(&self, id: OperationId, after: Option<i64>, size: usize) -> Answer<'_, Listing<Item>> {
        self.read_with(move |conn| items::items(conn, id, after, size))
    }

    fn groups(&self, id: OperationId) -> Answer<'_, Vec<GroupCount>> {
        self.read_with(move |conn| items::groups(conn, id))
    }

    fn standing(&self, groups: Vec<(String, String)>, now: Timestamp) -> Answer<'_, Vec<Standing>> {
        let turnstile = lock(&self.0.turnstile);
        let standing = |(consumer, group): &(String, String)| turnstile.standing(consumer, group, now);
        let standings = groups.iter().map(standing).collect();
        Box::pin(std::future::ready(Ok(standings)))
    }

    fn limits(&self, now: Timestamp) -> Answer<'_, Vec<LimitView>> {
        let limits = lock(&self.0.turnstile).limits(now);
        Box::pin(std::future::ready(Ok(limits)))
    }

    fn delivery(&self, id: DeliveryId) -> Answer<'_, DeliveryView> {
        self.read_with(move |conn| query::delivery(conn, id))
    }

    fn dead_letters(&self, page: Page) -> Answer<'_, Listing<DeadLetter>> {
        self.read_with(move |conn| list::dead_letters(conn, page))
    }

    fn notifications(&self, query: NotificationQuery) -> Answer<'_, Listing<Notification>> {
        self.read_with(move |conn| list::notifications(conn, &query))
    }

    fn read(&self, id: NotificationId, now: Timestamp) -> Answer<'_, Notification> {
        Box::pin(self.write(Kind::Other, move |book| end::read(book, id, now)))
    }

    fn consumers(&self, now: Timestamp) -> Answer<'_, Vec<ConsumerView>> {
        self.read_with(move |conn| query::consumers(conn, now))
    }

    fn observe(&self, observations: Vec<Observation>, keep: Day) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| observe::observe(book.tables.conn, &observations, keep)))
    }

    fn observed(&self, since: Day) -> Answer<'_, Vec<Observation>> {
        self.read_with(move |conn| observe::observed(conn, since))
    }

    fn health(&self) -> Health {
        let gauges = &self.0.gauges;
        Health {
            backlog: u64::try_from(gauges.backlog.load(Relaxed)).unwrap_or_default(),
            writable: !gauges.broken.load(Relaxed),
            full: gauges.full.load(Relaxed),
        }
    }
}

//! The store in PostgreSQL, which many nodes share. `docs/storage.md` has the tables, the indexes and the promises.
//!
//! A verb that writes becomes a command for the one writer thread of its node (`writer`), which applies whatever is
//! waiting in one transaction while it holds the pen; what it does there is the book's, as in every store with tables.
//! A verb that reads runs on one of a few reading sessions (`readers`).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};

use super::book::claim::{Taken, claim};
use super::book::{accept, control, end, limits, lock, settle};
use super::turnstile::Turnstile;
use super::*;
use crate::catalog::{Day, Observation};
use crate::limit::LimitChange;
use crate::{Clock, Delivery, Error, ErrorKind, Notification, Result, Timestamp};

mod accept_in;
mod ahead;
mod change;
mod claim;
mod clock;
#[cfg(feature = "sqlite")]
pub(super) mod copy;
mod error;
mod items;
mod list;
mod load;
mod observe;
mod observed;
mod open;
mod pending;
mod place;
mod prune;
mod query;
mod readers;
mod request;
mod row;
mod session;
mod submitted;
mod tables;
mod writer;

pub use accept_in::{accept_in, accept_in_schema};
use clock::DatabaseClock;
use error::Try;
use place::Place;
use readers::{Readers, Reading};
use request::{Kind, Needs, PostgresBook, Request};
use session::Session;
use tables::PostgresTables;
use writer::{Gauges, Writer};

/// The settings of a session, and the statements that must walk an index with them, for the query plan tests.
#[doc(hidden)]
pub fn planned() -> (Vec<(&'static str, &'static str)>, Vec<&'static str>) {
    let mut all = query::statements();
    all.extend(list::STATEMENTS);
    all.extend(items::STATEMENTS);
    all.extend(tables::STATEMENTS);
    all.extend(prune::BELONGINGS);
    (open::SETTINGS.to_vec(), all)
}

/// How a [`PostgresStore`] uses memory and connections. The defaults are right unless measured otherwise.
#[derive(Debug, Clone)]
pub struct Options {
    /// Commands that are applied in one transaction at most.
    pub batch_max: usize,
    /// Commands that may wait for the writer; callers beyond wait before their command is taken.
    pub waiting_max: usize,
    /// Reading connections.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { batch_max: 2_048, waiting_max: 4_096, readers: 4 }
    }
}

/// A database for many processes. Clones share it; the last one closes the connections.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.0.place).finish_non_exhaustive()
    }
}

struct Inner {
    /// The database in words.
    place: String,
    /// None once it is being closed.
    commands: Option<mpsc::Sender<Box<dyn Request>>>,
    gauges: Arc<Gauges>,
    clock: Arc<DatabaseClock>,
    readers: Arc<Readers>,
    thread: Mutex<Option<JoinHandle<()>>>,
    elsewhere: Mutex<Option<mpsc::UnboundedReceiver<Elsewhere>>>,
    runtime: Option<Runtime>,
}

/// Whether a URL can be read: `postgres://user:password@host:port/database`, with the parameters of libpq, `schema` and
/// `pooler=transaction`.
///
/// # Errors
/// `InvalidArgument` that says what is wrong.
pub fn check(url: &str) -> Result<()> {
    Place::of(url).map(drop)
}

impl PostgresStore {
    /// Opens the database that a URL names, and creates acceptd's tables in it or brings them up to date.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that can't be read or a login that is refused; `Unavailable`; `Corrupt` for tables
    /// of a newer acceptd.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_with(url, Options::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_with(url: &str, options: Options) -> Result<Self> {
        let place = Place::of(url)?;
        let gauges = Arc::new(Gauges::default());
        let clock = Arc::new(DatabaseClock::default());
        let (sender, commands) = mpsc::channel(options.waiting_max.max(1));
        let (told, elsewhere) = mpsc::unbounded_channel();
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("acceptd-readers")
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let readers = Readers::new(place.clone(), options.readers, runtime.handle().clone());
        let (name, shared) = (place.name(), (Arc::clone(&gauges), Arc::clone(&clock)));
        let batch_max = options.batch_max.max(1);
        let thread = std::thread::Builder::new().name("acceptd-store".to_owned()).spawn(move || {
            match open_writer(place, shared, told) {
                Ok(writer) => {
                    let _ = opened.send(Ok(()));
                    writer.work(commands, batch_max);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
        let thread = thread.map_err(no_thread)?;
        let opened = is_open.recv().unwrap_or_else(|_| Err(error::closed()));
        let inner = Inner {
            place: name,
            commands: Some(sender),
            gauges,
            clock,
            readers,
            thread: Mutex::new(Some(thread)),
            elsewhere: Mutex::new(Some(elsewhere)),
            runtime: Some(runtime),
        };
        opened.map(|()| Self(Arc::new(inner)))
    }

    /// Gives the writer something to do and waits until it is committed.
    async fn write<T, F>(&self, what: impl Into<What>, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut PostgresBook) -> Try<T> + Send + 'static,
    {
        self.write_or_undo(what, run, None).await
    }

    async fn write_or_undo<T, F>(&self, what: impl Into<What>, run: F, undo: Option<request::Undo<T>>) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut PostgresBook) -> Try<T> + Send + 'static,
    {
        let What { kind, needs } = what.into();
        let (request, answer) = request::command((kind, needs), run, undo);
        let commands = self.0.commands.as_ref().ok_or_else(error::closed)?;
        commands.send(request).await.map_err(|_| error::closed())?;
        answer.await.map_err(|_| error::closed())?
    }

    fn read_with<'a, T: Send + 'a>(
        &'a self,
        read: impl for<'s> Fn(&'s Session) -> Reading<'s, T> + Send + Sync + 'a,
    ) -> Answer<'a, T> {
        Box::pin(self.0.readers.read(read))
    }

    async fn claim_events(&self, claim: Claim) -> Result<Claims> {
        let undo: request::Undo<(Taken, Vec<crate::StoredEvent>)> = |(taken, _)| {
            let at = taken.deliveries.first().map_or(Timestamp::default(), |one| one.delivery.since);
            release(taken.deliveries.into_iter().map(|one| one.delivery).collect(), at)
        };
        let taken = self.write_or_undo(Kind::Claim, move |book| take(book, &claim), Some(undo)).await?;
        let (Taken { deliveries, next, paused }, events) = taken;
        let claimed = deliveries.into_iter().zip(events).map(|(one, event)| {
            let super::book::claim::TakenOne { delivery, owner, start, keys } = one;
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

    /// What the turnstile shows, once what other nodes committed is known.
    async fn look<T: Send + 'static>(&self, look: impl Fn(&Turnstile) -> T + Send + 'static) -> Result<T> {
        self.write(Kind::Other, move |book| Ok(look(&lock(&book.turnstile)))).await
    }
}

/// A kind of command, and what it will read.
struct What {
    kind: Kind,
    needs: Needs,
}

impl From<Kind> for What {
    fn from(kind: Kind) -> Self {
        Self { kind, needs: Needs::default() }
    }
}

impl From<(Kind, DeliveryId)> for What {
    fn from((kind, delivery): (Kind, DeliveryId)) -> Self {
        Self { kind, needs: Needs { delivery: Some(delivery), given: Vec::new() } }
    }
}

impl From<&Accept> for What {
    fn from(accept: &Accept) -> Self {
        let given = |event: &crate::NewEvent| Some((event.draft.id.clone()?, event.draft.source.to_string()));
        Self {
            kind: Kind::Accept,
            needs: Needs { delivery: None, given: accept.events.iter().filter_map(given).collect() },
        }
    }
}

fn no_thread(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the store's thread can't be started").caused_by(cause)
}

/// The writer of a node, once the tables are there and read.
fn open_writer(
    place: Place,
    (gauges, clock): (Arc<Gauges>, Arc<DatabaseClock>),
    told: mpsc::UnboundedSender<Elsewhere>,
) -> Result<Writer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
    let heard: Arc<Notify> = Arc::default();
    runtime.block_on(async {
        let session = open::connect(&place, Arc::default()).await?;
        open::migrate(&session, &place).await
    })?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let called = (format!("{}:{}", host.trim(), std::process::id()), env!("CARGO_PKG_VERSION").to_owned());
    let tables = PostgresTables::new(runtime, called, clock);
    let book = PostgresBook::unread(tables, Arc::default());
    let mut writer = Writer::new(book, place, gauges, told, heard);
    writer.read_all()?;
    Ok(writer)
}

/// Claims, with the events.
fn take(book: &mut PostgresBook, wanted: &Claim) -> Try<(Taken, Vec<crate::StoredEvent>)> {
    let taken = claim(book, wanted)?;
    let keys: Vec<_> = taken.deliveries.iter().map(|one| one.delivery.event).collect();
    let events = book.tables.claimed_events(&keys)?;
    Ok((taken, events))
}

/// Gives claimed deliveries back that nobody will run.
fn release(deliveries: Vec<Delivery>, now: Timestamp) -> Box<dyn Request> {
    request::unheard(Kind::Settle, move |book| {
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

impl Drop for Inner {
    fn drop(&mut self) {
        self.commands = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Store for PostgresStore {
    fn accept(&self, accept: Accept) -> Answer<'_, Accepted> {
        Box::pin(self.write(What::from(&accept), move |book| accept::accept(book, &accept)))
    }

    fn claim(&self, claim: Claim) -> Answer<'_, Claims> {
        Box::pin(self.claim_events(claim))
    }

    fn settle(&self, settle: Settle) -> Answer<'_, Settled> {
        let what = (Kind::Settle, settle.delivery);
        Box::pin(self.write(what, move |book| settle::settle(book, &settle)))
    }

    fn extend(&self, delivery: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Answer<'_, ()> {
        let what = (Kind::Other, delivery);
        Box::pin(self.write(what, move |book| settle::extend(book, delivery, fence, lease, now)))
    }

    fn report(&self, delivery: DeliveryId, fence: u64, progress: ProgressReport, now: Timestamp) -> Answer<'_, ()> {
        let what = (Kind::Other, delivery);
        Box::pin(self.write(what, move |book| settle::report(book, delivery, fence, &progress, now)))
    }

    fn remember(&self, step: Step) -> Answer<'_, ()> {
        Box::pin(self.write((Kind::Other, step.delivery), move |book| settle::remember(book, &step)))
    }

    fn steps(&self, delivery: DeliveryId) -> Answer<'_, Vec<(String, Vec<u8>)>> {
        self.read_with(move |session| Box::pin(query::steps(session, delivery)))
    }

    fn cancel(&self, operation: OperationId, now: Timestamp) -> Answer<'_, Stopped> {
        Box::pin(self.write(Kind::Other, move |book| {
            submitted::take_to_cancel(book, operation, now)?;
            end::cancel(book, operation, now)
        }))
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
        Box::pin(self.write((Kind::Claim, permit.delivery), move |book| limits::permit(book, &permit)))
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

    fn heartbeat(&self, node: NodeId, now: Timestamp, _: Option<Uptime>) -> Answer<'_, Vec<(String, Closure)>> {
        Box::pin(self.write(Kind::Other, move |book| control::heartbeat(book, node, now)))
    }

    fn rescue(&self, me: NodeId, lease: Duration, now: Timestamp) -> Answer<'_, Vec<Rescued>> {
        Box::pin(self.rescue_all(me, lease, now))
    }

    fn prune(&self, before: Timestamp, now: Timestamp, max: usize) -> Answer<'_, usize> {
        Box::pin(self.write(Kind::Prune, move |book| prune::prune(book, before, now, max)))
    }

    fn operation(&self, id: OperationId) -> Answer<'_, OperationView> {
        self.read_with(move |session| Box::pin(submitted::operation(session, id)))
    }

    fn results(&self, id: OperationId) -> Answer<'_, Vec<ConsumerResult>> {
        self.read_with(move |session| Box::pin(submitted::results(session, id)))
    }

    fn operations(&self, filter: OperationFilter, page: Page) -> Answer<'_, Listing<OperationView>> {
        self.read_with(move |session| {
            let filter = filter.clone();
            Box::pin(async move { list::operations(session, &filter, page).await })
        })
    }

    fn chain(&self, id: OperationId) -> Answer<'_, Chain> {
        self.read_with(move |session| Box::pin(submitted::chain(session, id)))
    }

    fn items(&self, id: OperationId, after: Option<i64>, size: usize) -> Answer<'_, Listing<Item>> {
        self.read_with(move |session| Box::pin(submitted::items(session, id, after, size)))
    }

    fn groups(&self, id: OperationId) -> Answer<'_, Vec<GroupCount>> {
        self.read_with(move |session| Box::pin(submitted::groups(session, id)))
    }

    fn standing(&self, groups: Vec<(String, String)>, now: Timestamp) -> Answer<'_, Vec<Standing>> {
        Box::pin(self.look(move |turnstile| {
            let standing = |(consumer, group): &(String, String)| turnstile.standing(consumer, group, now);
            groups.iter().map(standing).collect()
        }))
    }

    fn limits(&self, now: Timestamp) -> Answer<'_, Vec<LimitView>> {
        Box::pin(self.look(move |turnstile| turnstile.limits(now)))
    }

    fn delivery(&self, id: DeliveryId) -> Answer<'_, DeliveryView> {
        self.read_with(move |session| Box::pin(query::delivery(session, id)))
    }

    fn dead_letters(&self, page: Page) -> Answer<'_, Listing<DeadLetter>> {
        self.read_with(move |session| Box::pin(list::dead_letters(session, page)))
    }

    fn notifications(&self, query: NotificationQuery) -> Answer<'_, Listing<Notification>> {
        self.read_with(move |session| {
            let query = query.clone();
            Box::pin(async move { list::notifications(session, &query).await })
        })
    }

    fn read(&self, id: NotificationId, now: Timestamp) -> Answer<'_, Notification> {
        Box::pin(self.write(Kind::Other, move |book| end::read(book, id, now)))
    }

    fn consumers(&self, now: Timestamp) -> Answer<'_, Vec<ConsumerView>> {
        self.read_with(move |session| Box::pin(query::consumers(session, now)))
    }

    fn observe(&self, observations: Vec<Observation>, keep: Day) -> Answer<'_, ()> {
        Box::pin(self.write(Kind::Other, move |book| observe::observe(&mut book.tables, &observations, keep)))
    }

    fn observed(&self, since: Day) -> Answer<'_, Vec<Observation>> {
        self.read_with(move |session| Box::pin(observed::observed(session, since)))
    }

    fn know_types(&self, types: Vec<String>) -> Answer<'_, bool> {
        Box::pin(self.write(Kind::Other, move |book| submitted::know_types(book, &types).map(|()| true)))
    }

    fn submitted(&self, patterns: Vec<String>, max: usize) -> Answer<'_, Vec<Submitted>> {
        self.read_with(move |session| {
            let patterns = patterns.clone();
            Box::pin(async move { submitted::waiting(session, &patterns, max).await })
        })
    }

    fn take_submitted(&self, take: TakeSubmitted) -> Answer<'_, Vec<super::Taken>> {
        Box::pin(self.write(Kind::Accept, move |book| submitted::take_all(book, &take)))
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(Arc::clone(&self.0.clock) as Arc<dyn Clock>)
    }

    fn elsewhere(&self) -> Option<mpsc::UnboundedReceiver<Elsewhere>> {
        self.0.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn health(&self) -> Health {
        let gauges = &self.0.gauges;
        Health {
            backlog: u64::try_from(gauges.backlog.load(Relaxed)).unwrap_or_default(),
            writable: true,
            away: gauges.away.load(Relaxed),
            full: gauges.full.load(Relaxed),
        }
    }
}

//! The store: the truth about operations, events, deliveries, attempts and notifications.
//!
//! [`Store`] is made of the verbs of a delivery's life, not of SQL. Each verb is one transaction: all of it is
//! stored durably before the answer, or none of it. What a verb changes is decided in [`plan`], without IO, so that
//! every store does the same. Time is an argument. The trait may change until 1.0: implement it only in this
//! repository.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod book;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod codes;
mod command;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub mod copy;
pub mod memory;
pub mod plan;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod submitted;
pub mod turnstile;
mod view;

pub use command::*;
pub use submitted::{Submitted, Take, TakeSubmitted, Taken};
pub use turnstile::{Granted, HoldId, KeyRef};
pub use view::*;

use tokio::sync::mpsc;

use crate::catalog::{Day, Observation};
use crate::clock::Uptime;
use crate::limit::LimitChange;
use crate::{
    Clock, Closure, DeliveryId, Error, NodeId, NotificationId, OperationId, ProgressReport, Result, Timestamp,
};

/// Opens the store that a URL names: `sqlite:FILE`, `postgres://…`, or `memory:` for tests.
///
/// # Errors
/// `InvalidArgument` for a URL that names no store; the store's own errors.
pub fn open(url: &str) -> Result<Arc<dyn Store>> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(memory::MemoryStore::default())),
        #[cfg(feature = "sqlite")]
        Some(("sqlite", path)) if !path.is_empty() => Ok(Arc::new(sqlite::SqliteStore::open(path)?)),
        #[cfg(feature = "postgres")]
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(postgres::PostgresStore::open(url)?)),
        // The URL may hold a password.
        Some((scheme, _)) => {
            Err(Error::invalid(format!("{scheme}: names no store; write sqlite:FILE or postgres://…")))
        }
        None => Err(Error::invalid(format!("{url:?} names no store; write sqlite:FILE or postgres://…"))),
    }
}

/// A verb's answer on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Where everything is kept. See the module's text for what all verbs have in common.
pub trait Store: Send + Sync + 'static {
    /// Stores an operation with its root events and their deliveries, or finds the one that was accepted before
    /// under the same idempotency key or event ids.
    ///
    /// # Errors
    /// `KeyReused`, `Overloaded` (the backlog would pass `backlog_max`, see [`crate::NewEvent::backlog`]),
    /// `StorageFull`.
    fn accept(&self, accept: Accept) -> Answer<'_, Accepted>;

    /// Hands out waiting deliveries that are due and have all of their limits: consumers, keys and owners take turns;
    /// within an owner the highest priority goes first, then the earliest due. Each is running with a counted attempt
    /// and a new fence when this returns. Nothing of a consumer that is paused.
    fn claim(&self, claim: Claim) -> Answer<'_, Claims>;

    /// Ends an attempt: the delivery, its record, what it emits, its result and the notifications, together.
    ///
    /// # Errors
    /// `StaleFence`, `AlreadySettled` or `Canceled`; nothing is changed then.
    fn settle(&self, settle: Settle) -> Answer<'_, Settled>;

    /// Gives a delivery whose target answered 202 a lease of its own, or renews it.
    ///
    /// # Errors
    /// As for `settle`.
    fn extend(&self, delivery: DeliveryId, fence: u64, lease: Timestamp, now: Timestamp) -> Answer<'_, ()>;

    /// Keeps a running attempt's progress.
    ///
    /// # Errors
    /// As for `settle`.
    fn report(&self, delivery: DeliveryId, fence: u64, progress: ProgressReport, now: Timestamp) -> Answer<'_, ()>;

    /// Keeps the result of a step of a running attempt; later attempts find it. The first value of a name stays.
    ///
    /// # Errors
    /// As for `settle`.
    fn remember(&self, step: Step) -> Answer<'_, ()>;

    /// The results of a delivery's steps, by name.
    fn steps(&self, delivery: DeliveryId) -> Answer<'_, Vec<(String, Vec<u8>)>>;

    /// Cancels every delivery of an operation that has not ended.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the operation has ended.
    fn cancel(&self, operation: OperationId, now: Timestamp) -> Answer<'_, Stopped>;

    /// Retries one dead letter, or all of an operation; the operation is open again.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when there is no dead letter.
    fn retry(&self, what: DeadLetters, now: Timestamp) -> Answer<'_, Stopped>;

    /// Discards a dead letter; it counts as canceled.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the delivery is no dead letter.
    fn discard(&self, delivery: DeliveryId, now: Timestamp) -> Answer<'_, Stopped>;

    /// Pauses a consumer or a limit. A pause by a person (no end) replaces a timed one; a later end replaces an earlier
    /// one.
    ///
    /// # Errors
    /// `NotFound` for a limit that is not declared.
    fn pause(&self, what: Pausable, closure: Closure) -> Answer<'_, ()>;

    /// Lets a consumer or a limit go on. False when it was not paused.
    ///
    /// # Errors
    /// `NotFound` for a limit that is not declared.
    fn resume(&self, what: Pausable, now: Timestamp) -> Answer<'_, bool>;

    /// Changes a limit from now on, in place of what is declared; None takes the change back.
    ///
    /// # Errors
    /// `NotFound`.
    fn change_limit(&self, limit: String, change: Option<LimitChange>) -> Answer<'_, LimitView>;

    /// Takes a slot and a start of a limit for a call within a running attempt, which holds it until it gives it back
    /// or ends.
    ///
    /// # Errors
    /// As for `settle`; `NotFound` for a limit that is not declared.
    fn permit(&self, permit: Permit) -> Answer<'_, Permitted>;

    /// Gives a permit back, or the slots of an attempt that are held only because nobody had heard of its end. Answers
    /// the consumers whose limits have room again.
    fn give_back(&self, hold: HoldId) -> Answer<'_, Vec<String>>;

    /// The clock, which showed `now`, was set by so many microseconds. What is a wait moves along: leases, rates, held
    /// slots, pauses that targets asked for, due times of what was tried before. Instants that someone named stay.
    fn shift(&self, micros: i64, now: Timestamp) -> Answer<'_, ()>;

    /// Enters a node with the limits that are declared and the consumers it serves, routes root events that waited for
    /// one of them, finds the place of deliveries whose keys are others now, and notes for how long each consumer was
    /// not served. A store may do so in several transactions: what is left over is done by the
    /// next call.
    fn register(&self, register: Register) -> Answer<'_, Registered>;

    /// Shows that a node lives, and tells it which consumers' gates are shut now. A store that outlives the process
    /// keeps the uptime, to tell when it is opened again whether the clock was set meanwhile.
    fn heartbeat(&self, node: NodeId, now: Timestamp, uptime: Option<Uptime>) -> Answer<'_, Vec<(String, Closure)>>;

    /// Takes running deliveries from nodes without a heartbeat since `now - lease`, and from targets whose own lease
    /// is over. A store may do so in several transactions, each delivery whole.
    fn rescue(&self, me: NodeId, lease: Duration, now: Timestamp) -> Answer<'_, Vec<Rescued>>;

    /// Removes at most `max` operations that ended before `before` and hold no dead letter, with all that belongs to
    /// them, and idempotency keys that are over. Returns how many operations went.
    fn prune(&self, before: Timestamp, now: Timestamp, max: usize) -> Answer<'_, usize>;

    /// One operation with its deliveries that have not ended (at most 100).
    ///
    /// # Errors
    /// `NotFound`.
    fn operation(&self, id: OperationId) -> Answer<'_, OperationView>;

    /// The result of an operation: of its root deliveries, by consumer name.
    ///
    /// # Errors
    /// `NotFound`.
    fn results(&self, id: OperationId) -> Answer<'_, Vec<ConsumerResult>>;

    /// Operations, newest first. A page may be short, even empty, before the last one: go on while there is a `next`.
    fn operations(&self, filter: OperationFilter, page: Page) -> Answer<'_, Listing<OperationView>>;

    /// Every event, delivery and attempt of an operation, oldest first.
    ///
    /// # Errors
    /// `NotFound`.
    fn chain(&self, id: OperationId) -> Answer<'_, Chain>;

    /// Root events of an operation with what became of them, in the order of the request, after this ordinal.
    ///
    /// # Errors
    /// `NotFound`.
    fn items(&self, id: OperationId, after: Option<i64>, size: usize) -> Answer<'_, Listing<Item>>;

    /// How many deliveries of an operation wait and run, by consumer and group.
    ///
    /// # Errors
    /// `NotFound`.
    fn groups(&self, id: OperationId) -> Answer<'_, Vec<GroupCount>>;

    /// What holds each of these groups of a consumer now.
    fn standing(&self, groups: Vec<(String, String)>, now: Timestamp) -> Answer<'_, Vec<Standing>>;

    /// Every limit and where it stands.
    fn limits(&self, now: Timestamp) -> Answer<'_, Vec<LimitView>>;

    /// One delivery with its event, and how many stand before it in its group (at most 1,001).
    ///
    /// # Errors
    /// `NotFound`.
    fn delivery(&self, id: DeliveryId) -> Answer<'_, DeliveryView>;

    /// Dead letters, newest first.
    fn dead_letters(&self, page: Page) -> Answer<'_, Listing<DeadLetter>>;

    /// Notifications of one owner, or of all.
    fn notifications(&self, query: NotificationQuery) -> Answer<'_, Listing<crate::Notification>>;

    /// Marks a notification as read.
    ///
    /// # Errors
    /// `NotFound`.
    fn read(&self, id: NotificationId, now: Timestamp) -> Answer<'_, crate::Notification>;

    /// Every consumer that is registered, paused or waited for: what it has waiting and running, and its closures.
    fn consumers(&self, now: Timestamp) -> Answer<'_, Vec<ConsumerView>>;

    /// Adds what was seen of the catalog's edges to what is kept of those days, and forgets days before `keep`.
    fn observe(&self, observations: Vec<Observation>, keep: Day) -> Answer<'_, ()>;

    /// What was seen on this day and later, by day and edge.
    fn observed(&self, since: Day) -> Answer<'_, Vec<Observation>>;

    /// Learns the event types that a node takes or declares, names and patterns, for whoever submits operations in
    /// another way than by `accept`. Answers whether there is such a way; if not, [`Store::submitted`] finds nothing.
    fn know_types(&self, _types: Vec<String>) -> Answer<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    /// Operations that were submitted and not taken yet, whose event is of a type that one of these patterns takes;
    /// about the oldest first.
    fn submitted(&self, _patterns: Vec<String>, _max: usize) -> Answer<'_, Vec<Submitted>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Takes submitted operations: each is accepted under the id that it has, or another node did so before, which
    /// leaves it out of the answer.
    fn take_submitted(&self, _take: TakeSubmitted) -> Answer<'_, Vec<Taken>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The clock that the store's time goes by; None is the machine's.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }

    /// What other nodes do with the same store, as it becomes known here. It is given out once; None when no other
    /// node can use the store.
    fn elsewhere(&self) -> Option<mpsc::UnboundedReceiver<Elsewhere>> {
        None
    }

    /// How much waits, and whether storing works. Cheap: asked before every accept.
    fn health(&self) -> Health;
}

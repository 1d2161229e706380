//! What the verbs of a [`Store`](super::Store) answer.

use crate::{
    Attempt, Closure, Data, Delivery, DeliveryId, Notification, NotificationId, Operation, OperationId, Status,
    StoredEvent, Timestamp,
};

/// An accepted operation.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The operation, as it stands now.
    pub operation: Operation,
    /// Whether it is new.
    pub replay: Replay,
    /// Ids of root events of the request that were accepted before, in another operation.
    pub known: Vec<KnownEvent>,
    /// The consumers that got deliveries, each once.
    pub woken: Vec<String>,
    /// The earliest instant they may run.
    pub due: Timestamp,
}

/// Whether an accepted operation is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// It was stored just now.
    New,
    /// It was accepted before under the same idempotency key.
    IdempotencyKey,
    /// Its event was accepted before: the same source and id.
    Event,
}

/// A root event that was accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEvent {
    /// Its id.
    pub id: String,
    /// The operation it belongs to.
    pub operation: OperationId,
}

/// What a settle did.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The delivery afterwards.
    pub delivery: Delivery,
    /// How the operation ended, when it ended with this.
    pub ended: Option<Status>,
    /// Consumers that got new deliveries.
    pub woken: Vec<String>,
    /// Whom a notification was written for; None inside is nobody in particular.
    pub notified: Vec<NotificationId>,
}

/// What a cancel, retry or discard did.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// The operation afterwards.
    pub operation: OperationView,
    /// Deliveries that were running: their attempts must be told.
    pub running: Vec<DeliveryId>,
    /// Consumers that have deliveries to run again.
    pub woken: Vec<String>,
    /// Notifications written.
    pub notified: Vec<NotificationId>,
}

/// A delivery that was taken from whoever ran it.
#[derive(Debug, Clone)]
pub struct Rescued {
    /// The delivery afterwards.
    pub delivery: Delivery,
    /// Notifications written, when it ended its operation.
    pub notified: Vec<NotificationId>,
}

/// What registering found.
#[derive(Debug, Clone, Default)]
pub struct Registered {
    /// Consumers that have work waiting.
    pub woken: Vec<String>,
    /// Root events that found a consumer.
    pub routed: usize,
}

/// An operation with its deliveries that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationView {
    /// The operation.
    pub operation: Operation,
    /// Its live deliveries, oldest first, at most 100.
    pub live: Vec<Delivery>,
}

impl OperationView {
    /// The operation's status.
    pub fn status(&self) -> Status {
        self.operation.status(self.live.iter().any(|delivery| delivery.fence > 0))
    }
}

/// The result of one root delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerResult {
    /// Its consumer.
    pub consumer: String,
    /// The result.
    pub data: Data,
}

/// A page of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The ordinal to go on before; None at the end.
    pub next: Option<i64>,
}

/// Everything of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The operation.
    pub operation: Operation,
    /// Its events, oldest first.
    pub events: Vec<StoredEvent>,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
    /// Their attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Closures of their consumers that may have held them, by consumer.
    pub closures: Vec<(String, Closure)>,
}

/// A delivery with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryView {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: StoredEvent,
    /// The operation's owner.
    pub owner: Option<String>,
    /// Waiting deliveries of the consumer that come before it; at most 1,001.
    pub ahead: usize,
}

/// A delivery that gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: StoredEvent,
    /// Its last attempt.
    pub attempt: Option<Attempt>,
    /// What the handler had answered, when that was why.
    pub outcome: Option<Data>,
}

/// A consumer as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerView {
    /// Its name.
    pub name: String,
    /// Deliveries that wait; counted to 1,000,001 at most.
    pub waiting: u64,
    /// Deliveries that run.
    pub running: u64,
    /// Since when the oldest waiting delivery waits.
    pub oldest: Option<Timestamp>,
    /// Its closure that holds now.
    pub closure: Option<Closure>,
}

/// Whether storing works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Deliveries that wait or run, and root events that no consumer takes yet.
    pub backlog: u64,
    /// False after a failure that the store can't recover from by itself.
    pub writable: bool,
    /// True from a full disk until the next success.
    pub full: bool,
}

/// The ordinal of a row of a listing, to make page tokens of.
pub trait Ordinal {
    /// The row's ordinal.
    fn ordinal(&self) -> i64;
}

impl Ordinal for OperationView {
    fn ordinal(&self) -> i64 {
        self.operation.id.ordinal()
    }
}

impl Ordinal for DeadLetter {
    fn ordinal(&self) -> i64 {
        self.delivery.id.ordinal()
    }
}

impl Ordinal for Notification {
    fn ordinal(&self) -> i64 {
        self.id.ordinal()
    }
}

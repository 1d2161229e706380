//! What a database has to do for a [`Book`](super::Book): read and write rows. Nothing here decides anything.
//!
//! A write may be put off until something is read that it could be seen in, or until the commit. Consumers and nodes
//! are named by their numbers, which [`Names`](super::names::Names) knows.

use super::Try;
use super::names::Names;
use crate::delivery::Attempt;
use crate::limit::{Lane, Limit, LimitChange, Policy};
use crate::operation::Operation;
use crate::store::turnstile::{Head, Hold, HoldId, KeyRef, KeyRow, Turnstile};
use crate::store::{IdempotencyKey, OperationView};
use crate::{
    Closure, Data, Delivery, DeliveryId, EventKey, NodeId, Notification, NotificationId, OperationId, StoredEvent,
    Timestamp,
};

/// Which deliveries of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Which {
    All,
    Live,
    Dead,
}

/// A root event that no consumer takes yet.
pub(in crate::store) struct Unrouted {
    pub(in crate::store) key: EventKey,
    pub(in crate::store) operation: OperationId,
    /// When its deliveries to come are due.
    pub(in crate::store) due: Timestamp,
}

/// A delivery whose time has come.
pub(in crate::store) struct Due {
    pub(in crate::store) ordinal: i64,
    pub(in crate::store) group: String,
    pub(in crate::store) head: Head,
}

/// The rows of a database, within one transaction.
pub(in crate::store) trait Tables: Sized {
    /// How the database fails.
    type Failure: std::fmt::Debug + Send;

    // What is read into memory when the store is opened, and after a rollback.

    /// The numbers of consumers and nodes, pauses, and when each consumer's next delivery is due.
    fn names(&mut self) -> Try<Names, Self>;
    /// Everything that a turnstile is made of, into an empty one.
    fn load(&mut self, turnstile: &mut Turnstile) -> Try<(), Self>;

    // Operations and events.

    fn operation(&mut self, id: OperationId) -> Try<Option<Operation>, Self>;
    /// The operation as it is shown.
    fn view(&mut self, id: OperationId) -> Try<OperationView, Self>;
    /// `span`: its root events and deliveries have the next so many ordinals.
    fn add_operation(&mut self, operation: &Operation, span: i64) -> Try<(), Self>;
    fn change_operation(&mut self, operation: &Operation) -> Try<(), Self>;
    /// Without its data and extensions unless it is asked for as a whole.
    fn event(&mut self, key: EventKey, whole: bool) -> Try<Option<StoredEvent>, Self>;
    /// The operation of the root event that its producer gave this id.
    fn given(&mut self, id: &str, source: &str) -> Try<Option<OperationId>, Self>;
    /// `unrouted` is the due time of its deliveries to come, when no consumer takes it yet.
    fn add_event(&mut self, event: &StoredEvent, unrouted: Option<Timestamp>) -> Try<(), Self>;
    /// The next type, after this one, of which root events wait for a consumer.
    fn next_unrouted(&mut self, after: &str) -> Try<Option<String>, Self>;
    fn unrouted(&mut self, kind: &str, max: usize) -> Try<Vec<Unrouted>, Self>;
    /// A root event waits for a consumer no longer.
    fn routed(&mut self, key: EventKey) -> Try<(), Self>;
    /// None of an operation's root events waits for a consumer any longer.
    fn abandon(&mut self, id: OperationId) -> Try<(), Self>;
    /// What was accepted under this key, while the key is kept: the digest and the operation.
    fn kept_key(&mut self, key: &IdempotencyKey, now: Timestamp) -> Try<Option<([u8; 32], OperationId)>, Self>;
    fn keep_key(&mut self, key: &IdempotencyKey, operation: OperationId) -> Try<(), Self>;

    // Deliveries.

    fn delivery(&mut self, id: DeliveryId) -> Try<Option<Delivery>, Self>;
    fn deliveries_of(&mut self, id: OperationId, which: Which) -> Try<Vec<Delivery>, Self>;
    /// `later` says that it was not made by the accept.
    fn add_delivery(&mut self, delivery: &Delivery, consumer: i64, later: bool) -> Try<(), Self>;
    /// Writes a claim. False when the row is not what `before` says; whoever puts the write off says so at the commit.
    fn claim(&mut self, before: &Delivery, after: &Delivery, node: Option<i64>) -> Try<bool, Self>;
    /// Writes what became of a delivery, as `claim` does; `fence` guards the row.
    fn change_delivery(
        &mut self,
        fence: u64,
        before: &Delivery,
        after: &Delivery,
        node: Option<i64>,
    ) -> Try<bool, Self>;
    /// Moves a delivery to another place before its limits.
    fn move_to(&mut self, id: DeliveryId, lane: &Lane) -> Try<(), Self>;
    /// Whether a waiting delivery is in line.
    fn is_ready(&mut self, id: DeliveryId) -> Try<bool, Self>;
    /// Deliveries of a consumer that are due and not in line, the earliest first.
    fn due(&mut self, consumer: i64, now: Timestamp, max: usize) -> Try<Vec<Due>, Self>;
    fn make_ready(&mut self, due: &[Due]) -> Try<(), Self>;
    fn next_due(&mut self, consumer: i64) -> Try<Option<Timestamp>, Self>;
    /// The first due delivery of the next lane after `after`, by the lanes' names.
    fn next_lane(&mut self, consumer: i64, group: &str, after: Option<&str>) -> Try<Option<Delivery>, Self>;
    /// The first due deliveries of a lane: by priority, due time and age.
    fn lane(&mut self, consumer: i64, group: &str, turn: &str, max: usize) -> Try<Vec<Delivery>, Self>;
    /// Of an ordered group the delivery that runs, or else the oldest that has not ended.
    fn head(&mut self, consumer: i64, group: &str) -> Try<Option<Delivery>, Self>;
    /// Those that wait or run of a consumer.
    fn live_of(&mut self, consumer: i64) -> Try<Vec<Delivery>, Self>;
    /// Running deliveries of these nodes, and of targets whose lease is over.
    fn lost(&mut self, nodes: &[i64], now: Timestamp, max: usize) -> Try<Vec<Delivery>, Self>;
    fn has_waiting(&mut self, consumer: i64) -> Try<bool, Self>;
    /// Since when the oldest waiting delivery of a consumer waits.
    fn oldest(&mut self, consumer: i64) -> Try<Option<Timestamp>, Self>;

    // What attempts leave.

    fn add_attempt(&mut self, attempt: &Attempt, node: Option<i64>) -> Try<(), Self>;
    fn result(&mut self, id: DeliveryId) -> Try<Option<Data>, Self>;
    fn put_result(&mut self, id: DeliveryId, result: &Data) -> Try<(), Self>;
    fn forget_result(&mut self, id: DeliveryId) -> Try<(), Self>;
    /// The first value of a name stays.
    fn add_step(&mut self, id: DeliveryId, name: &str, value: &[u8]) -> Try<(), Self>;
    fn forget_step(&mut self, id: DeliveryId, name: &str) -> Try<(), Self>;
    fn add_notification(&mut self, notification: &Notification) -> Try<(), Self>;
    fn notification(&mut self, id: NotificationId) -> Try<Notification, Self>;
    fn mark_read(&mut self, id: NotificationId, now: Timestamp) -> Try<(), Self>;

    // Limits.

    fn put_limit(&mut self, limit: &Limit, change: Option<&LimitChange>, pause: Option<&Closure>) -> Try<(), Self>;
    fn put_key(&mut self, key: &KeyRef, row: &KeyRow) -> Try<(), Self>;
    fn forget_key(&mut self, key: &KeyRef) -> Try<(), Self>;
    /// A hold that is not that of a running delivery.
    fn put_hold(&mut self, key: &KeyRef, hold: &Hold) -> Try<(), Self>;
    fn forget_hold(&mut self, id: HoldId) -> Try<(), Self>;
    /// The clock, which showed `now`, was set by so many microseconds.
    fn shift(&mut self, micros: i64, now: Timestamp) -> Try<(), Self>;

    // Consumers and nodes.

    fn add_consumer(&mut self, name: &str) -> Try<i64, Self>;
    fn set_policy(&mut self, consumer: i64, policy: &Policy) -> Try<(), Self>;
    fn last_served(&mut self, consumer: i64) -> Try<Option<Timestamp>, Self>;
    fn add_node(&mut self, node: NodeId) -> Try<i64, Self>;
    /// A node serves these consumers and no others.
    fn serve(&mut self, node: i64, consumers: &[i64]) -> Try<(), Self>;
    /// A node lives, and what it serves is served.
    fn beat(&mut self, node: i64, now: Timestamp) -> Try<(), Self>;
    fn add_closure(&mut self, consumer: i64, closure: &Closure) -> Try<i64, Self>;
    fn end_closure(&mut self, id: i64, at: Timestamp) -> Try<(), Self>;
    fn forget_closure(&mut self, id: i64) -> Try<(), Self>;
}

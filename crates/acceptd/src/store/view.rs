//! What the verbs of a [`Store`](super::Store) answer.

use std::collections::BTreeMap;

use super::turnstile::{Blocker, Bound, Grant, Hold, HoldId};
use crate::delivery::State;
use crate::limit::{Limit, LimitChange};
use crate::{
    Attempt, Closure, Data, Delivery, DeliveryId, EventKey, Failure, Notification, NotificationId, Operation,
    OperationId, Status, StoredEvent, Timestamp,
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
    /// The root events that were stored, in the order of the request; none when it is not new.
    pub events: Vec<EventKey>,
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
    /// The operation's type, when it ended with this.
    pub kind: Option<String>,
    /// Consumers that got new deliveries, or whose limits have room again.
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
    /// The record of the attempt that was lost.
    pub attempt: Option<Attempt>,
    /// How the operation ended, when it ended with this.
    pub ended: Option<Status>,
    /// The operation's type, when it ended with this.
    pub kind: Option<String>,
    /// Notifications written, when it ended its operation.
    pub notified: Vec<NotificationId>,
    /// Consumers that got new deliveries, or whose limits have room again.
    pub woken: Vec<String>,
}

/// What other nodes did, as far as this one has to do something by it. All that is watched may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Consumers that may have something to run.
    pub woken: Vec<String>,
    /// Deliveries that were canceled while they ran, here or elsewhere.
    pub stopped: Vec<DeliveryId>,
    /// Whether gates of consumers may have been shut or opened.
    pub gates: bool,
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
    /// The sizes in bytes of what deliveries left that are done; those without a result are not in it.
    pub result_sizes: BTreeMap<DeliveryId, usize>,
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
    /// Waiting deliveries of its group that come before it; at most 1,001.
    pub ahead: usize,
    /// Of a dead letter, what its handler had answered when that could not be taken.
    pub outcome: Option<Data>,
}

/// A root event of an operation with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place among the root events, from 0.
    pub index: u64,
    /// The event, without its data.
    pub event: StoredEvent,
    /// Its deliveries, with the result of each and why the last attempt failed.
    pub deliveries: Vec<ItemDelivery>,
}

/// A delivery of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Its result.
    pub result: Option<Data>,
    /// Why its last attempt failed, unless it is done.
    pub failure: Option<Failure>,
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemState {
    /// Nothing of it has started.
    Queued,
    /// Something of it has started, and not everything has ended.
    Running,
    /// Everything ended well.
    Succeeded,
    /// Something gave up.
    Failed,
    /// Something was canceled.
    Canceled,
}

impl ItemState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled];

    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

impl Item {
    /// Where it stands.
    pub fn state(&self) -> ItemState {
        let any = |state| self.deliveries.iter().any(|one| one.delivery.state == state);
        let lives = self.deliveries.is_empty() || any(State::Waiting) || any(State::Running);
        match lives {
            true if self.deliveries.iter().any(|one| one.delivery.fence > 0) => ItemState::Running,
            true => ItemState::Queued,
            false if any(State::Dead) => ItemState::Failed,
            false if any(State::Canceled) => ItemState::Canceled,
            false => ItemState::Succeeded,
        }
    }
}

/// How many deliveries of an operation wait and run in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCount {
    /// The consumer.
    pub consumer: String,
    /// The group.
    pub group: String,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that run.
    pub running: u64,
}

impl GroupCount {
    /// Counts live deliveries by consumer and group.
    pub fn of(live: impl IntoIterator<Item = Delivery>) -> Vec<Self> {
        let mut groups: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for delivery in live {
            let (waiting, running) = groups.entry((delivery.consumer, delivery.lane.group)).or_default();
            *(if delivery.state == State::Running { running } else { waiting }) += 1;
        }
        let count = |((consumer, group), (waiting, running))| Self { consumer, group, waiting, running };
        groups.into_iter().map(count).collect()
    }
}

/// What asking for a permit comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permitted {
    /// It is held, and the call may start then.
    Held {
        /// To give it back by.
        id: HoldId,
        /// When the call may start, and its key.
        grant: Grant,
    },
    /// The limit has no room; worth asking again then, or when something ends.
    Busy(Option<Timestamp>),
}

/// What holds a group now, and how fast it can be worked off.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// What holds it; None when it only waits for its consumer.
    pub blocker: Option<Blocker>,
    /// What its limits allow.
    pub bounds: Vec<Bound>,
    /// Deliveries that are due and wait in it.
    pub waiting: u64,
    /// Groups that have their turn before it where it waits, at most 1,001.
    pub before: usize,
    /// Groups that take turns there, it among them, at most 1,001.
    pub turns: usize,
}

/// A limit and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitView {
    /// The limit as it holds now.
    pub limit: Limit,
    /// The limit as it is declared.
    pub declared: Limit,
    /// What was changed at run time.
    pub change: Option<LimitChange>,
    /// The pause of all of it.
    pub pause: Option<Closure>,
    /// The consumers that it holds.
    pub consumers: Vec<String>,
    /// Slots that are held, of all keys.
    pub in_use: u64,
    /// Deliveries that wait, of all keys.
    pub waiting: u64,
    /// The keys with most waiting, at most 20.
    pub keys: Vec<KeyView>,
}

/// A key of a limit and where it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyView {
    /// Its value; empty for a limit without a key.
    pub key: String,
    /// Slots that are held.
    pub in_use: u64,
    /// Deliveries that are due and wait.
    pub waiting: u64,
    /// Its pause.
    pub pause: Option<Closure>,
    /// The starts in a second that it has found, when the limit looks for its rate.
    pub found_rate: Option<f64>,
    /// When the next start may be, when there is a rate.
    pub next_start: Option<Timestamp>,
    /// Who holds its slots, at most 5.
    pub holders: Vec<Hold>,
}

impl KeyView {
    /// Whether it tells anything.
    pub fn says_something(&self) -> bool {
        self.in_use + self.waiting > 0 || self.pause.is_some() || self.found_rate.is_some()
    }
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
    /// Dead letters.
    pub dead: u64,
    /// Since when the oldest waiting delivery waits.
    pub oldest: Option<Timestamp>,
    /// Since when the oldest waiting delivery could run, as far as its due time goes.
    pub ready_since: Option<Timestamp>,
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

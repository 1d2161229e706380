//! What the verbs of a [`Store`](super::Store) are told.

use std::time::Duration;

use crate::{
    Data, Delivery, DeliveryId, Draft, Failure, NewEvent, NodeId, Notice, OperationId, ProgressReport, Route,
    StoredEvent, Timestamp,
};

/// An operation to accept.
#[derive(Debug, Clone)]
pub struct Accept {
    /// Its root events; at least one.
    pub events: Vec<NewEvent>,
    /// Who is told how it ends.
    pub owner: Option<String>,
    /// The earliest instant its deliveries may run.
    pub due: Timestamp,
    /// From -100 to 100.
    pub priority: i8,
    /// The caller's key, so that asking twice accepts once.
    pub idempotency: Option<IdempotencyKey>,
    /// Deliveries that may be waiting before new ones are refused.
    pub backlog_max: u64,
    /// The present instant.
    pub now: Timestamp,
}

/// A caller's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is.
    pub scope: String,
    /// The key.
    pub key: String,
    /// A digest of the request: the same key with another digest is refused.
    pub fingerprint: [u8; 32],
    /// Until when it is kept.
    pub expires: Timestamp,
}

/// A node asks for work.
#[derive(Debug, Clone)]
pub struct Claim {
    /// For which consumer.
    pub consumer: String,
    /// How many at most.
    pub max: usize,
    /// Who asks.
    pub node: NodeId,
    /// The consumer's limit of attempts.
    pub max_attempts: u32,
    /// The present instant.
    pub now: Timestamp,
}

/// What a claim gives.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The deliveries, running now.
    pub claimed: Vec<Claimed>,
    /// When the next delivery that is not due yet will be; None when there is none.
    pub next_due: Option<Timestamp>,
    /// When the consumer's pause ends: `Some(None)` is a pause without an end.
    pub paused: Option<Option<Timestamp>>,
}

/// A delivery to run.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: StoredEvent,
    /// The operation's owner.
    pub owner: Option<String>,
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The fence of the attempt.
    pub fence: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// The present instant.
    pub now: Timestamp,
}

/// How an attempt ended, with everything that is stored with it.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Well.
    Done {
        /// The delivery's result.
        result: Option<Data>,
        /// Events that follow.
        emit: Vec<NewEvent>,
        /// A message to the owner.
        notify: Option<Notice>,
        /// Its last progress.
        progress: Option<ProgressReport>,
    },
    /// Another attempt follows at `due`, if any is left.
    Retry {
        /// The earliest next attempt.
        due: Timestamp,
        /// What went wrong.
        failure: Failure,
    },
    /// Another attempt follows; this one does not count.
    Snooze {
        /// The earliest next attempt.
        due: Timestamp,
    },
    /// The target throttles: the consumer is paused until `due` and this attempt does not count.
    Throttled {
        /// The earliest next attempt.
        due: Timestamp,
        /// What the target said.
        failure: Failure,
    },
    /// The node stops; this attempt does not count.
    Release,
    /// A dead letter. `outcome` keeps what the handler had answered, for a person to look at.
    GiveUp {
        /// Why.
        failure: Failure,
        /// The answer that could not be taken.
        outcome: Option<Data>,
    },
}

/// The result of a step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The fence of the attempt.
    pub fence: u64,
    /// The step's name.
    pub name: String,
    /// Its result.
    pub value: Vec<u8>,
}

/// Which dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetters {
    /// One.
    Delivery(DeliveryId),
    /// All of an operation.
    Operation(OperationId),
}

/// A node and what it serves.
#[derive(Debug, Clone)]
pub struct Register {
    /// The node.
    pub node: NodeId,
    /// Each consumer's `on` patterns and route.
    pub consumers: Vec<Serving>,
    /// How long a node may be silent before it counts as gone.
    pub lease: Duration,
    /// The present instant.
    pub now: Timestamp,
}

/// One consumer that a node serves.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The event types it takes, see [`crate::event::matches`].
    pub on: Vec<String>,
    /// Its name and weight.
    pub route: Route,
}

/// Which operations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only those in this status.
    pub status: Option<crate::Status>,
    /// Only those of this type.
    pub kind: Option<String>,
    /// Only those of this owner.
    pub owner: Option<String>,
    /// Only those with a root event of this id.
    pub event_id: Option<String>,
}

/// Which part of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only what is older than this ordinal; None starts with the newest.
    pub before: Option<i64>,
    /// How many at most.
    pub size: usize,
}

/// Which notifications to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationQuery {
    /// Of whom; None lists everybody's.
    pub owner: Option<String>,
    /// Oldest first from after this ordinal on, for a stream; None lists the newest first by `page`.
    pub after: Option<i64>,
    /// Which part.
    pub page: Page,
}

/// An event that no consumer takes: a root one waits for a consumer, an emitted one ends at once.
impl From<Draft> for NewEvent {
    fn from(draft: Draft) -> Self {
        Self { draft, routes: Vec::new() }
    }
}

//! What the verbs of a [`Store`](super::Store) are told.

use std::time::Duration;

use super::turnstile::{Granted, KeyRef};
use crate::limit::{Limit, Policy};
use crate::{
    Data, Delivery, DeliveryId, Draft, Failure, NewEvent, NodeId, Notice, OperationId, ProgressReport, Result, Route,
    StoredEvent, Throttle, Timestamp, Weight,
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
    /// For which consumers. Those that share a limit ask together, so that they take turns.
    pub wanted: Vec<Wanted>,
    /// Who asks.
    pub node: NodeId,
    /// The present instant.
    pub now: Timestamp,
}

/// A consumer that has room.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub consumer: String,
    /// How many at most.
    pub max: usize,
    /// Its limit of attempts.
    pub max_attempts: u32,
    /// How long its target may go on with an attempt that nobody hears of any more; None when it ends with the node.
    pub remote_for: Option<Duration>,
}

/// What a claim gives.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The deliveries, running now.
    pub claimed: Vec<Claimed>,
    /// When something else may start by itself: it is due then, or a limit lets it go. None when that is not known.
    pub next: Option<Timestamp>,
    /// Consumers that are paused, and when each pause ends; None is a pause without an end.
    pub paused: Vec<(String, Option<Timestamp>)>,
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
    /// When it may start: a little later than now when a rate says so.
    pub start: Timestamp,
    /// The keys of limits that it holds.
    pub keys: Vec<Granted>,
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
        /// Its target asks to be left alone until then, and why.
        pause: Option<Throttle>,
    },
    /// Another attempt follows at `due`, if any is left.
    Retry {
        /// The earliest next attempt.
        due: Timestamp,
        /// What went wrong.
        failure: Failure,
        /// Whether the target may still be working on it.
        unfinished: bool,
    },
    /// Another attempt follows; this one does not count.
    Snooze {
        /// The earliest next attempt.
        due: Timestamp,
    },
    /// The target throttles: the limits that the delivery took are paused until `due`, each for its key, or else its
    /// consumer; this attempt does not count.
    Throttled {
        /// The earliest next attempt.
        due: Timestamp,
        /// What the target said.
        failure: Failure,
        /// The limit that it is about; None is every limit that the delivery took.
        limit: Option<String>,
    },
    /// The node stops, or a limit was paused before it started; this attempt does not count.
    Release {
        /// Whether the target may still be working on it.
        unfinished: bool,
    },
    /// A dead letter. `outcome` keeps what the handler had answered, for a person to look at.
    GiveUp {
        /// Why.
        failure: Failure,
        /// The answer that could not be taken.
        outcome: Option<Data>,
    },
}

/// What can be paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pausable {
    /// A consumer.
    Consumer(String),
    /// A limit, or one of its keys.
    Limit {
        /// The limit's name.
        limit: String,
        /// Only this key.
        key: Option<String>,
    },
}

impl From<&str> for Pausable {
    /// A consumer.
    fn from(consumer: &str) -> Self {
        Self::Consumer(consumer.to_owned())
    }
}

/// A call within an attempt asks for a slot and a start of a limit.
#[derive(Debug, Clone)]
pub struct Permit {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The fence of the attempt.
    pub fence: u64,
    /// The limit and its key.
    pub key: KeyRef,
    /// The present instant.
    pub now: Timestamp,
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
    /// One whose outcome could not be taken before: it is kept as the step [`KEPT_OUTCOME`], for the next attempt to
    /// end with.
    Outcome(DeliveryId),
}

/// The step that holds the outcome which a person accepted. A retry in any other way forgets it.
pub const KEPT_OUTCOME: &str = "acceptd.outcome";

/// A node and what it serves.
#[derive(Debug, Clone)]
pub struct Register {
    /// The node.
    pub node: NodeId,
    /// What each consumer takes, and how that waits.
    pub consumers: Vec<Serving>,
    /// The limits as they are declared now.
    pub limits: Vec<Limit>,
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
    /// Its name.
    pub consumer: String,
    /// How its deliveries count.
    pub weight: Weight,
    /// How its deliveries wait.
    pub policy: Policy,
}

impl Serving {
    /// Whether it takes an event type.
    pub fn takes(&self, kind: &str) -> bool {
        self.on.iter().any(|pattern| crate::event::matches(pattern, kind))
    }

    /// Its route for an event.
    ///
    /// # Errors
    /// `InvalidData` that names the consumer and the pointer that finds nothing.
    pub fn route(&self, draft: &Draft, owner: Option<&str>) -> Result<Route> {
        let lane = self.policy.lane(draft, owner);
        let lane = lane.map_err(|error| error.about(&format!("consumer {}", self.consumer)))?;
        Ok(Route { consumer: self.consumer.clone(), weight: self.weight, lane })
    }

    /// Its route for an event that was accepted before it asked for a key. One that the event does not have is empty.
    pub fn route_anyway(&self, draft: &Draft, owner: Option<&str>) -> Route {
        let route = self.route(draft, owner);
        route.unwrap_or_else(|_| Route {
            consumer: self.consumer.clone(),
            weight: self.weight,
            lane: self.policy.nowhere(),
        })
    }
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

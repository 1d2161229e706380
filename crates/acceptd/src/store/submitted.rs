//! Operations that were submitted by another way than the accept of a node: within the transaction of a caller who
//! shares the store's database. They wait there until a node takes them.

use crate::store::{Accepted, IdempotencyKey};
use crate::{Draft, Failure, NodeId, NotificationId, OperationId, Route, Timestamp};

/// An operation that waits to be taken, with its one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The id that the caller knows already; the event has the ordinal after this one's.
    pub id: OperationId,
    /// Its event.
    pub draft: Draft,
    /// Who is told how it ends.
    pub owner: Option<String>,
    /// From -100 to 100.
    pub priority: i8,
    /// The earliest instant its deliveries may run; None is at once.
    pub due: Option<Timestamp>,
    /// When it was submitted.
    pub created: Timestamp,
    /// The caller's key, which was kept with it. Until it is taken it does not expire.
    pub idempotency: Option<IdempotencyKey>,
}

/// What becomes of a submitted operation.
#[derive(Debug, Clone)]
pub struct Take {
    /// The operation.
    pub submitted: Submitted,
    /// Who gets its event; at least one.
    pub routes: Vec<Route>,
    /// Why nobody can work on it: its deliveries become dead letters at once.
    pub refused: Option<Failure>,
}

/// Operations that a node takes.
#[derive(Debug, Clone)]
pub struct TakeSubmitted {
    /// The operations.
    pub takes: Vec<Take>,
    /// Who takes them.
    pub node: NodeId,
    /// The present instant.
    pub now: Timestamp,
}

/// A submitted operation that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The operation, as it stands now: a new one.
    pub accepted: Accepted,
    /// Messages to its owner.
    pub notified: Vec<NotificationId>,
}

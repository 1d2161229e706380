//! A delivery: one event for one consumer. [`transition`] is the whole state machine; the stores only apply it.
//!
//! See `docs/state-machine.md` for the picture.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limit::Lane;
use crate::wait::Held;
use crate::{DeliveryId, EventKey, Failure, NodeId, Operation, OperationId, ProgressReport, Route, Timestamp, Weight};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It will run when its gate opens.
    Waiting,
    /// An attempt is going on.
    Running,
    /// It ended well.
    Done,
    /// It gave up: a dead letter.
    Dead,
    /// Someone canceled or discarded it.
    Canceled,
}

impl State {
    /// Whether nothing more happens by itself.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Canceled)
    }

    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Canceled => "canceled",
        }
    }
}

/// One event for one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id; also the `Idempotency-Key` that its target gets.
    pub id: DeliveryId,
    /// The operation it belongs to.
    pub operation: OperationId,
    /// The event.
    pub event: EventKey,
    /// The consumer's name.
    pub consumer: String,
    /// How it counts for the operation's end.
    pub weight: Weight,
    /// Where it stands before its consumer's limits.
    pub lane: Lane,
    /// From -100 to 100; higher is claimed first.
    pub priority: i8,
    /// Where it stands.
    pub state: State,
    /// Attempts counted so far, the running one included.
    pub attempts: u32,
    /// The most attempts there may be, by the policy of whoever claimed it last; 0 before the first claim.
    pub max_attempts: u32,
    /// Grows with every claim.
    pub fence: u64,
    /// When it entered its state.
    pub since: Timestamp,
    /// The earliest instant it may run.
    pub due: Timestamp,
    /// When it began to wait for the attempt that is running.
    pub waiting_since: Timestamp,
    /// The node that runs it.
    pub node: Option<NodeId>,
    /// Its own lease, when the target answered 202: until then the target must call.
    pub lease: Option<Timestamp>,
    /// Until when its target may be working on it, also when nobody hears of the attempt any more: so long its slots
    /// stay held. None where the target ends with the node, and where no slot is held.
    pub deadline: Option<Timestamp>,
    /// Which limit held it before the attempt that is running.
    pub held_by: Option<Held>,
    /// Since when its target has been throttling it without a break.
    pub throttled_since: Option<Timestamp>,
    /// What its handler last reported.
    pub progress: Option<ProgressReport>,
}

impl Delivery {
    /// A delivery that waits since `now` for its due time and its first attempt.
    pub fn new(
        id: DeliveryId,
        operation: &Operation,
        event: EventKey,
        route: &Route,
        (due, now): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            id,
            operation: operation.id,
            event,
            consumer: route.consumer.clone(),
            weight: route.weight,
            lane: route.lane.clone(),
            priority: operation.priority,
            state: State::Waiting,
            attempts: 0,
            max_attempts: 0,
            fence: 0,
            since: now,
            due,
            waiting_since: now,
            node: None,
            lease: None,
            deadline: None,
            held_by: None,
            throttled_since: None,
            progress: None,
        }
    }
}

/// What can happen to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A node takes it to run it: the attempt counts from here.
    Claim {
        /// Who takes it.
        node: NodeId,
        /// The consumer's present limit of attempts.
        max_attempts: u32,
        /// Until when its target may be working on it, whatever happens to the node.
        deadline: Option<Timestamp>,
        /// Which limit held it until now.
        held_by: Option<Held>,
    },
    /// The attempt ended.
    Settle {
        /// The fence the attempt was claimed with.
        fence: u64,
        /// How it ended.
        verdict: Verdict,
    },
    /// The target answered 202, or called since: it keeps the delivery until then.
    Extend {
        /// The fence the attempt was claimed with.
        fence: u64,
        /// The new end of its lease.
        lease: Timestamp,
    },
    /// Whoever ran it is gone.
    Rescue,
    /// Someone canceled the operation.
    Cancel,
    /// Someone retries a dead letter: attempts begin anew.
    Revive,
    /// Someone discards a dead letter.
    Discard,
}

/// How an attempt ended, as far as the delivery is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Done,
    /// Try again at `due`.
    Retry {
        /// The earliest next attempt.
        due: Timestamp,
        /// What went wrong.
        failure: Failure,
        /// Whether the target may still be working on it.
        unfinished: bool,
    },
    /// Come back at `due`; the attempt does not count.
    Snooze {
        /// The earliest next attempt.
        due: Timestamp,
    },
    /// The target throttles until `due`; the attempt does not count.
    Throttled {
        /// The earliest next attempt.
        due: Timestamp,
        /// What the target said.
        failure: Failure,
    },
    /// It was given back; the attempt does not count and nothing is wrong.
    Release {
        /// Whether the target may still be working on it.
        unfinished: bool,
    },
    /// Never again.
    GiveUp {
        /// Why.
        failure: Failure,
    },
}

/// How an attempt ended, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Well.
    Done,
    /// With an error; another attempt follows.
    Retry,
    /// It asked to come back later.
    Snoozed,
    /// The target throttled it.
    Throttled,
    /// The node stopped.
    Released,
    /// With an error; it was the last attempt.
    Dead,
    /// Someone canceled it.
    Canceled,
    /// The node or the target that ran it was gone.
    Lost,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Retry,
        Self::Snoozed,
        Self::Throttled,
        Self::Released,
        Self::Dead,
        Self::Canceled,
        Self::Lost,
    ];

    /// The word used in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Snoozed => "snoozed",
            Self::Throttled => "throttled",
            Self::Released => "released",
            Self::Dead => "dead",
            Self::Canceled => "canceled",
            Self::Lost => "lost",
        }
    }
}

/// The record an attempt leaves; written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The claim it belongs to.
    pub fence: u64,
    /// Which attempt it was, counted ones only.
    pub number: u32,
    /// The node that ran it.
    pub node: Option<NodeId>,
    /// When it began to wait.
    pub waiting_since: Timestamp,
    /// Until when it waited for its due time.
    pub due: Timestamp,
    /// Which limit held it before.
    pub held_by: Option<Held>,
    /// When it was claimed.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    pub ending: Ending,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// Why an action was refused; nothing changes then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A newer attempt exists.
    StaleFence,
    /// This attempt has been settled before.
    AlreadySettled,
    /// The delivery was canceled.
    Canceled,
    /// The state does not allow it.
    WrongState(State),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaleFence => f.write_str("a newer attempt of this delivery exists"),
            Self::AlreadySettled => f.write_str("this attempt has been settled before"),
            Self::Canceled => f.write_str("the delivery was canceled"),
            Self::WrongState(state) => write!(f, "the delivery is {}", state.as_str()),
        }
    }
}

/// Decides what an action makes of a delivery: the delivery afterwards and, when an attempt ended, its record.
///
/// # Errors
/// A [`Refusal`] when the state or the fence forbids it.
pub fn transition(
    delivery: &Delivery,
    action: &Action,
    now: Timestamp,
) -> Result<(Delivery, Option<Attempt>), Refusal> {
    match action {
        Action::Claim { node, max_attempts, deadline, held_by } => {
            let next = claim(delivery, *node, *max_attempts, now)?;
            Ok((Delivery { deadline: *deadline, held_by: held_by.clone(), ..next }, None))
        }
        Action::Settle { fence, verdict } => {
            check_fence(delivery, *fence)?;
            let (next, attempt) = settle(delivery, verdict, now);
            Ok((next, Some(attempt)))
        }
        Action::Extend { fence, lease } => {
            check_fence(delivery, *fence)?;
            // From here on it is the lease that says how long its target works on it.
            let deadline = delivery.deadline.map(|_| *lease);
            Ok((Delivery { lease: Some(*lease), node: None, deadline, ..delivery.clone() }, None))
        }
        Action::Rescue => rescue(delivery, now),
        Action::Cancel => cancel(delivery, now),
        Action::Revive => revive(delivery, now),
        Action::Discard if delivery.state == State::Dead => Ok((left(delivery, State::Canceled, now), None)),
        Action::Discard => Err(Refusal::WrongState(delivery.state)),
    }
}

fn claim(delivery: &Delivery, node: NodeId, max_attempts: u32, now: Timestamp) -> Result<Delivery, Refusal> {
    // Whether it is due is for the turnstile to say: by a clock that was set back it may seem not to be.
    if delivery.state != State::Waiting {
        return Err(Refusal::WrongState(delivery.state));
    }
    Ok(Delivery {
        state: State::Running,
        attempts: delivery.attempts + 1,
        max_attempts,
        fence: delivery.fence + 1,
        waiting_since: delivery.since,
        since: now,
        node: Some(node),
        lease: None,
        ..delivery.clone()
    })
}

fn check_fence(delivery: &Delivery, fence: u64) -> Result<(), Refusal> {
    if crate::fault::planted("settle-without-fence") && delivery.state == State::Running {
        return Ok(());
    }
    match delivery.state {
        _ if fence < delivery.fence => Err(Refusal::StaleFence),
        State::Canceled => Err(Refusal::Canceled),
        State::Running if fence == delivery.fence => Ok(()),
        _ if fence == delivery.fence => Err(Refusal::AlreadySettled),
        _ => Err(Refusal::StaleFence),
    }
}

fn settle(delivery: &Delivery, verdict: &Verdict, now: Timestamp) -> (Delivery, Attempt) {
    let (next, ending, failure) = match verdict {
        Verdict::Done => (left(delivery, State::Done, now), Ending::Done, None),
        Verdict::Retry { failure, .. } if delivery.attempts >= delivery.max_attempts => {
            (left(delivery, State::Dead, now), Ending::Dead, Some(failure.clone()))
        }
        Verdict::Retry { due, failure, .. } => {
            (waiting(delivery, *due, now, true), Ending::Retry, Some(failure.clone()))
        }
        Verdict::Snooze { due } => (waiting(delivery, *due, now, false), Ending::Snoozed, None),
        Verdict::Throttled { due, failure } => {
            let since = delivery.throttled_since.or(Some(now));
            let next = Delivery { throttled_since: since, ..waiting(delivery, *due, now, false) };
            (next, Ending::Throttled, Some(failure.clone()))
        }
        Verdict::Release { .. } => {
            // Nothing was heard of its target.
            let next = Delivery { throttled_since: delivery.throttled_since, ..waiting(delivery, now, now, false) };
            (next, Ending::Released, None)
        }
        Verdict::GiveUp { failure } => (left(delivery, State::Dead, now), Ending::Dead, Some(failure.clone())),
    };
    (next, record(delivery, ending, failure, now))
}

fn rescue(delivery: &Delivery, now: Timestamp) -> Result<(Delivery, Option<Attempt>), Refusal> {
    if delivery.state != State::Running {
        return Err(Refusal::WrongState(delivery.state));
    }
    let failure = Failure::new("lost", "whoever ran this attempt went away without ending it");
    let (next, ending) = if delivery.attempts >= delivery.max_attempts {
        (left(delivery, State::Dead, now), Ending::Dead)
    } else {
        (waiting(delivery, now, now, true), Ending::Lost)
    };
    let attempt = record(delivery, ending, Some(failure), now);
    Ok((next, Some(attempt)))
}

fn cancel(delivery: &Delivery, now: Timestamp) -> Result<(Delivery, Option<Attempt>), Refusal> {
    let attempt = match delivery.state {
        State::Running => Some(record(delivery, Ending::Canceled, None, now)),
        State::Waiting => None,
        state => return Err(Refusal::WrongState(state)),
    };
    Ok((left(delivery, State::Canceled, now), attempt))
}

fn revive(delivery: &Delivery, now: Timestamp) -> Result<(Delivery, Option<Attempt>), Refusal> {
    if delivery.state != State::Dead {
        return Err(Refusal::WrongState(delivery.state));
    }
    Ok((Delivery { attempts: 0, ..waiting(delivery, now, now, true) }, None))
}

/// In another state, and nobody's.
fn left(delivery: &Delivery, state: State, now: Timestamp) -> Delivery {
    Delivery {
        state,
        since: now,
        node: None,
        lease: None,
        deadline: None,
        held_by: None,
        throttled_since: None,
        ..delivery.clone()
    }
}

fn waiting(delivery: &Delivery, due: Timestamp, now: Timestamp, counts: bool) -> Delivery {
    let attempts = if counts { delivery.attempts } else { delivery.attempts.saturating_sub(1) };
    Delivery { due, attempts, ..left(delivery, State::Waiting, now) }
}

fn record(delivery: &Delivery, ending: Ending, failure: Option<Failure>, now: Timestamp) -> Attempt {
    Attempt {
        delivery: delivery.id,
        fence: delivery.fence,
        number: delivery.attempts,
        node: delivery.node,
        waiting_since: delivery.waiting_since,
        due: delivery.due,
        held_by: delivery.held_by.clone(),
        started: delivery.since,
        ended: now,
        ending,
        failure,
    }
}

/// Until when the slots of an attempt stay held after this: its target may be working on it still, and nobody will hear
/// of its end.
pub fn lingers(delivery: &Delivery, action: &Action) -> Option<Timestamp> {
    let is_unheard = match action {
        Action::Rescue | Action::Cancel => true,
        Action::Settle { verdict, .. } => {
            matches!(verdict, Verdict::Release { unfinished: true } | Verdict::Retry { unfinished: true, .. })
        }
        _ => false,
    };
    if crate::fault::planted("release-on-rescue") && *action == Action::Rescue {
        return None;
    }
    delivery.deadline.filter(|_| is_unheard && delivery.state == State::Running)
}

#[cfg(test)]
mod tests;

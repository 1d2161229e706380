//! An operation: what the caller asked for. Its state follows from the tally of its deliveries.

use serde::{Deserialize, Serialize};

use crate::delivery::State;
use crate::{Failure, OperationId, Timestamp, Weight};

/// Where an operation stands, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing of it has started yet.
    Queued,
    /// Something of it has started.
    Running,
    /// Every tracked delivery ended well.
    Succeeded,
    /// A tracked delivery is a dead letter.
    Failed,
    /// A tracked delivery was canceled, and none is a dead letter.
    Canceled,
}

impl Status {
    /// Every status, in the order of an operation's life.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled];

    /// Whether the operation has ended.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// The status of a word; None for another word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// How many deliveries there are, and how many ended in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub total: u32,
    /// Ended well.
    pub done: u32,
    /// Dead letters.
    pub dead: u32,
    /// Canceled or discarded.
    pub canceled: u32,
}

impl Tally {
    /// Those that have not ended.
    pub fn live(&self) -> u32 {
        self.total - self.done - self.dead - self.canceled
    }

    fn count(&mut self, state: State) -> Option<&mut u32> {
        match state {
            State::Waiting | State::Running => None,
            State::Done => Some(&mut self.done),
            State::Dead => Some(&mut self.dead),
            State::Canceled => Some(&mut self.canceled),
        }
    }

    fn moved(&mut self, from: State, to: State) {
        if let Some(count) = self.count(from) {
            *count -= 1;
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
    }

    fn ending(&self) -> Option<Status> {
        match self {
            _ if self.live() > 0 => None,
            Self { dead: 1.., .. } => Some(Status::Failed),
            Self { canceled: 1.., .. } => Some(Status::Canceled),
            _ => Some(Status::Succeeded),
        }
    }
}

/// What the caller asked for, and everything that follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The type of its (first) root event.
    pub kind: String,
    /// Who is told how it ends.
    pub owner: Option<String>,
    /// The priority of its deliveries.
    pub priority: i8,
    /// When it was accepted.
    pub created: Timestamp,
    /// When its first delivery was claimed; kept with the first settle, see [`Operation::settled`].
    pub started: Option<Timestamp>,
    /// When anything of it last changed.
    pub updated: Timestamp,
    /// How and when it ended.
    pub ended: Option<(Status, Timestamp)>,
    /// The deliveries that decide its state.
    pub tracked: Tally,
    /// The deliveries that don't, unless there are no others.
    pub untracked: Tally,
    /// Root events that no consumer takes yet.
    pub unrouted: u32,
    /// Deliveries to the inbox that have not ended.
    pub inbox_live: u32,
    /// Whether its owner has been told of the present ending, or will not be by the automatic notification.
    pub told: bool,
    /// The failure of the delivery that died last.
    pub failure: Option<Failure>,
}

impl Operation {
    /// An operation without deliveries, accepted at `now`.
    pub fn new(id: OperationId, kind: String, owner: Option<String>, priority: i8, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            owner,
            priority,
            created: now,
            started: None,
            updated: now,
            ended: None,
            tracked: Tally::default(),
            untracked: Tally::default(),
            unrouted: 0,
            inbox_live: 0,
            told: false,
            failure: None,
        }
    }

    /// The status that follows from the tally; `any_running` says whether an attempt is going on.
    pub fn status(&self, any_running: bool) -> Status {
        match self.ended {
            Some((status, _)) => status,
            None if any_running || self.started.is_some() => Status::Running,
            None => Status::Queued,
        }
    }

    /// Counts a new delivery.
    pub fn add(&mut self, weight: Weight) {
        self.tally(weight).total += 1;
        if weight == Weight::Inbox {
            self.inbox_live += 1;
        }
    }

    /// Counts a delivery that went from one state to another at `now`.
    pub fn moved(&mut self, weight: Weight, from: State, to: State, now: Timestamp) {
        self.updated = now;
        self.tally(weight).moved(from, to);
        if weight == Weight::Inbox {
            self.inbox_live = self.inbox_live + u32::from(from.has_ended()) - u32::from(to.has_ended());
        }
    }

    /// Notes that an attempt which started at `started` has been settled.
    pub fn settled(&mut self, started: Timestamp) {
        self.started = Some(self.started.map_or(started, |first| first.min(started)));
    }

    /// Gives up on the root events that no consumer takes: each counts as a canceled delivery.
    pub fn abandon(&mut self, now: Timestamp) {
        self.updated = now;
        self.tracked.total += self.unrouted;
        self.tracked.canceled += self.unrouted;
        self.unrouted = 0;
    }

    /// Ends or reopens the operation as its tally says. True when it ended just now.
    pub fn conclude(&mut self, now: Timestamp) -> bool {
        let ending = self.ending();
        match (ending, self.ended) {
            (Some(status), None) => {
                self.ended = Some((status, now));
                true
            }
            (Some(status), Some((before, at))) => {
                self.ended = Some((status, if before == status { at } else { now }));
                false
            }
            (None, Some(_)) => {
                self.ended = None;
                self.told = false;
                false
            }
            (None, None) => false,
        }
    }

    /// Whether the automatic notification is due now: it ended, has an owner, nothing told the owner and nothing will.
    pub fn owes_notification(&self) -> bool {
        self.ended.is_some() && self.owner.is_some() && !self.told && self.inbox_live == 0
    }

    /// Whether it has ended and nothing of it is live or a dead letter.
    pub fn is_closed(&self) -> bool {
        let open = |tally: &Tally| tally.live() + tally.dead;
        self.ended.is_some() && open(&self.tracked) + open(&self.untracked) == 0
    }

    /// The tally that decides its state: the tracked one, unless there is nothing tracked.
    pub fn deciding(&self) -> &Tally {
        if self.tracked.total > 0 { &self.tracked } else { &self.untracked }
    }

    fn ending(&self) -> Option<Status> {
        if self.unrouted > 0 {
            return None;
        }
        self.deciding().ending()
    }

    fn tally(&mut self, weight: Weight) -> &mut Tally {
        match weight {
            Weight::Tracked => &mut self.tracked,
            Weight::Untracked | Weight::Inbox => &mut self.untracked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(5);

    fn operation(deliveries: &[(Weight, State)]) -> Operation {
        let mut operation = Operation::new(uuid::Uuid::nil().into(), "a".into(), Some("user".into()), 0, NOW);
        for (weight, state) in deliveries {
            operation.add(*weight);
            operation.moved(*weight, State::Waiting, *state, NOW);
        }
        operation.conclude(NOW);
        operation
    }

    #[test]
    fn dead_beats_canceled_beats_done() {
        use State::{Canceled, Dead, Done, Waiting};
        let status = |states: &[State]| {
            operation(&states.iter().map(|state| (Weight::Tracked, *state)).collect::<Vec<_>>()).status(false)
        };
        assert_eq!(status(&[Done, Canceled, Dead]), Status::Failed);
        assert_eq!(status(&[Done, Canceled]), Status::Canceled);
        assert_eq!(status(&[Done, Done]), Status::Succeeded);
        assert_eq!(status(&[Done, Waiting]), Status::Queued);
    }

    #[test]
    fn untracked_deliveries_decide_only_when_alone() {
        let with = operation(&[(Weight::Tracked, State::Done), (Weight::Untracked, State::Dead)]);
        assert_eq!(with.status(false), Status::Succeeded);
        let alone = operation(&[(Weight::Inbox, State::Dead)]);
        assert_eq!(alone.status(false), Status::Failed);
    }

    #[test]
    fn the_owner_is_owed_one_notification_an_ending() {
        let mut ended = operation(&[(Weight::Tracked, State::Done)]);
        assert!(ended.owes_notification());
        ended.told = true;
        assert!(!ended.owes_notification());
        let inbox = operation(&[(Weight::Tracked, State::Done), (Weight::Inbox, State::Waiting)]);
        assert!(!inbox.owes_notification(), "the inbox delivery will tell");
    }

    #[test]
    fn a_retried_dead_letter_reopens() {
        let mut failed = operation(&[(Weight::Tracked, State::Dead)]);
        failed.told = true;
        failed.moved(Weight::Tracked, State::Dead, State::Waiting, NOW);
        assert!(!failed.conclude(NOW) && failed.ended.is_none() && !failed.told);
        failed.moved(Weight::Tracked, State::Waiting, State::Done, NOW);
        assert!(failed.conclude(NOW) && failed.owes_notification());
    }
}

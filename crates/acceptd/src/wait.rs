//! Why a delivery is not running, or was not: gates, and the time spent before each.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, OperationId, Timestamp};

/// What a delivery waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Its due time: a delay or the backoff after a failed attempt.
    DueTime,
    /// Its consumer is paused, by a person or because its target throttles.
    Pause,
    /// A free slot of its consumer.
    Capacity,
    /// Nobody serves its consumer, or no consumer takes its event.
    NoConsumer,
    /// A limit: its rate, its slots, or its pause.
    Limit,
    /// A lock: a limit with one slot for each key.
    Lock,
}

/// The limit that held a delivery before an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// [`Gate::Limit`] or [`Gate::Lock`].
    pub gate: Gate,
    /// The limit's name.
    pub limit: String,
}

/// A time during which a consumer's gate was shut for all its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// [`Gate::Pause`] or [`Gate::NoConsumer`].
    pub gate: Gate,
    /// From when.
    pub from: Timestamp,
    /// Until when; None while it lasts and nobody knows.
    pub until: Option<Timestamp>,
    /// Who or what shut it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Closure {
    /// Whether the gate is shut at that instant.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// Time spent before one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Which gate.
    pub gate: Gate,
    /// The limit, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// What a delivery, or several of one consumer, wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingOn {
    /// The consumer; None for an event that no consumer takes.
    pub consumer: Option<String>,
    /// The first delivery that waits, when it is known which one that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    /// The gate.
    pub gate: Gate,
    /// What the gate is called: the limit, the consumer, or the event type that nobody takes.
    pub name: String,
    /// The limit's key; None where it has none.
    #[serde(default)]
    pub key: Option<String>,
    /// How many deliveries wait for the same.
    pub count: u64,
    /// How many come before the first of them, exact to 1,000; null when it does not matter or is not known.
    pub position: Option<usize>,
    /// Since when the first of them waits.
    pub since: Timestamp,
    /// When the gate opens, where that is known or can be reckoned.
    pub until: Option<Timestamp>,
    /// Who holds the lock, or the first slot of the limit.
    #[serde(default)]
    pub holder: Option<Holder>,
    /// All of it in one sentence.
    pub message: String,
}

/// Who holds a slot that others wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The operation.
    pub operation: OperationId,
    /// The consumer.
    pub consumer: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when at the latest, when nobody will hear of its end.
    pub until: Option<Timestamp>,
}

/// Splits the time from `since` to `started` by gate: first the due time, then each closure that held, and what is
/// left between them is the limit that held it, or else capacity. Pieces under a millisecond are left out: that is how
/// long starting takes.
pub fn waits(
    (since, due, started): (Timestamp, Timestamp, Timestamp),
    held_by: Option<&Held>,
    closures: &[Closure],
) -> Vec<Wait> {
    let rest = held_by.map_or(Gate::Capacity, |held| held.gate);
    let mut pieces = Vec::new();
    let mut at = since;
    push(&mut pieces, Gate::DueTime, &mut at, due.min(started));
    let mut shut: Vec<_> = closures.iter().filter(|closure| closure.from < started).collect();
    shut.sort_by_key(|closure| closure.from);
    for closure in shut {
        push(&mut pieces, rest, &mut at, closure.from);
        push(&mut pieces, closure.gate, &mut at, closure.until.unwrap_or(started).min(started));
    }
    push(&mut pieces, rest, &mut at, started);
    if let Some(held) = held_by {
        let of_limit = pieces.iter_mut().filter(|piece| piece.gate == held.gate);
        of_limit.for_each(|piece| piece.limit = Some(held.limit.clone()));
    }
    pieces
}

fn push(pieces: &mut Vec<Wait>, gate: Gate, at: &mut Timestamp, until: Timestamp) {
    if until <= *at {
        return;
    }
    if until.as_micros() - at.as_micros() >= 1_000 {
        pieces.push(Wait { gate, limit: None, from: *at, until });
    }
    *at = until;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn pause(from: i64, until: Option<i64>) -> Closure {
        Closure { gate: Gate::Pause, from: at(from), until: until.map(at), by: "x".into(), reason: "y".into() }
    }

    fn split(since: i64, due: i64, started: i64, closures: &[Closure]) -> Vec<(Gate, i64, i64)> {
        let waits = waits((at(since), at(due), at(started)), None, closures);
        waits.iter().map(|wait| (wait.gate, wait.from.as_millis(), wait.until.as_millis())).collect()
    }

    #[test]
    fn the_time_is_split_without_gap_or_overlap() {
        use Gate::{Capacity, DueTime, Pause};
        assert_eq!(split(0, 0, 10, &[]), [(Capacity, 0, 10)]);
        assert_eq!(split(0, 4, 10, &[]), [(DueTime, 0, 4), (Capacity, 4, 10)]);
        assert_eq!(
            split(0, 4, 20, &[pause(10, Some(15)), pause(2, Some(6))]),
            [(DueTime, 0, 4), (Pause, 4, 6), (Capacity, 6, 10), (Pause, 10, 15), (Capacity, 15, 20)]
        );
        assert_eq!(split(0, 0, 20, &[pause(5, None)]), [(Capacity, 0, 5), (Pause, 5, 20)]);
        assert_eq!(split(0, 0, 0, &[pause(0, None)]), []);
    }

    #[test]
    fn the_limit_that_held_it_gets_the_rest() {
        let held = Held { gate: Gate::Lock, limit: "account".into() };
        let waits = waits((at(0), at(4), at(20)), Some(&held), &[pause(10, Some(15))]);
        let waits: Vec<_> = waits.iter().map(|wait| (wait.gate, wait.limit.as_deref())).collect();
        let lock = (Gate::Lock, Some("account"));
        assert_eq!(waits, [(Gate::DueTime, None), lock, (Gate::Pause, None), lock]);
    }
}

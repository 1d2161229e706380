//! Why a delivery is not running now: one gate and one sentence, the same in API and command line.

use serde::{Deserialize, Serialize};

use crate::duration::format_duration;
use crate::{Closure, Delivery, Gate, Timestamp};

/// What a delivery, or several of one consumer, wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingOn {
    /// The consumer; None for an event that no consumer takes.
    pub consumer: Option<String>,
    /// The gate.
    pub gate: Gate,
    /// What the gate is called: the consumer, or the event type that nobody takes.
    pub name: String,
    /// How many deliveries wait for the same.
    pub count: u64,
    /// How many come before the first of them; null when it does not matter or is not known.
    pub position: Option<usize>,
    /// Since when the first of them waits.
    pub since: Timestamp,
    /// When the gate opens, where that is known.
    pub until: Option<Timestamp>,
    /// All of it in one sentence.
    pub message: String,
}

/// What the engine knows of a consumer when it explains a wait.
pub(crate) struct Standing<'a> {
    pub(crate) served: bool,
    pub(crate) running: usize,
    pub(crate) concurrency: usize,
    pub(crate) closure: Option<&'a Closure>,
}

/// The gate that holds a waiting delivery now.
pub(crate) fn gate(delivery: &Delivery, standing: &Standing<'_>, now: Timestamp) -> Gate {
    match standing {
        Standing { served: false, .. } => Gate::NoConsumer,
        _ if delivery.due > now => Gate::DueTime,
        Standing { closure: Some(closure), .. } if closure.holds_at(now) => closure.gate,
        _ => Gate::Capacity,
    }
}

/// Explains `count` waiting deliveries, of which `first` is the oldest, that wait for the same gate.
pub(crate) fn explain(
    first: &Delivery,
    count: u64,
    position: Option<usize>,
    standing: &Standing<'_>,
    now: Timestamp,
) -> WaitingOn {
    let gate = gate(first, standing, now);
    let name = &first.consumer;
    let (until, message) = match (gate, standing.closure) {
        (Gate::DueTime, _) => (Some(first.due), due_sentence(first, now)),
        (Gate::NoConsumer, _) => (None, format!("waits for consumer {name}, which nobody serves")),
        (Gate::Pause, Some(closure)) => (closure.until, pause_sentence(name, closure, now)),
        _ => (None, capacity_sentence(name, position, standing)),
    };
    let position = position.filter(|_| gate == Gate::Capacity);
    WaitingOn {
        consumer: Some(name.clone()),
        gate,
        name: name.clone(),
        count,
        position,
        since: first.since,
        until,
        message,
    }
}

/// Explains root events that no consumer takes.
pub(crate) fn explain_unrouted(kind: &str, count: u32, since: Timestamp) -> WaitingOn {
    WaitingOn {
        consumer: None,
        gate: Gate::NoConsumer,
        name: kind.to_owned(),
        count: u64::from(count),
        position: None,
        since,
        until: None,
        message: format!("waits for a consumer: nobody takes {kind}"),
    }
}

fn due_sentence(delivery: &Delivery, now: Timestamp) -> String {
    let left = format_duration(delivery.due.since(now));
    let name = &delivery.consumer;
    match delivery.attempts {
        0 => format!("starts in {left} at {name}"),
        failed => {
            let next = failed + 1;
            format!("waits {left} for attempt {next} of {} at {name}", delivery.max_attempts)
        }
    }
}

fn pause_sentence(name: &str, closure: &Closure, now: Timestamp) -> String {
    let Closure { by, reason, until, .. } = closure;
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match until {
        Some(until) => {
            let left = format_duration(until.since(now));
            format!("waits {left} because {by} paused consumer {name} until {until}{reason}")
        }
        None => format!("waits because {by} paused consumer {name}{reason}"),
    }
}

fn capacity_sentence(name: &str, position: Option<usize>, standing: &Standing<'_>) -> String {
    let Standing { running, concurrency, .. } = standing;
    match position {
        Some(ahead) if ahead > 1_000 => {
            format!("waits for a free slot of {name} ({running} of {concurrency} running): more than 1,000 ahead")
        }
        Some(ahead) if ahead > 0 => {
            format!("waits for a free slot of {name} ({running} of {concurrency} running): {ahead} ahead")
        }
        _ if running < concurrency => format!("is about to start at {name}"),
        _ => format!("waits for a free slot of {name} ({running} of {concurrency} running): next in line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operation, Route, Weight};

    const NOW: Timestamp = Timestamp::from_millis(1_763_866_800_000);

    fn delivery() -> Delivery {
        let nil = uuid::Uuid::nil();
        let operation = Operation::new(nil.into(), "ec2.start".into(), None, 0, NOW);
        let route = Route { consumer: "start-ec2".into(), weight: Weight::Tracked };
        let delivery = Delivery::new(nil.into(), &operation, nil.into(), &route, (NOW, NOW));
        Delivery { max_attempts: 8, ..delivery }
    }

    fn standing(closure: Option<&Closure>) -> Standing<'_> {
        Standing { served: true, running: 4, concurrency: 4, closure }
    }

    #[test]
    fn each_gate_has_its_sentence() {
        let late = Delivery { due: Timestamp::from_millis(NOW.as_millis() + 28_000), attempts: 2, ..delivery() };
        let say = |delivery: &Delivery, position, standing: &Standing<'_>| {
            explain(delivery, 1, position, standing, NOW).message
        };
        assert_eq!(say(&late, None, &standing(None)), "waits 28s for attempt 3 of 8 at start-ec2");
        assert_eq!(
            say(&delivery(), Some(41), &standing(None)),
            "waits for a free slot of start-ec2 (4 of 4 running): 41 ahead"
        );
        let by =
            |until| Closure { gate: Gate::Pause, from: NOW, until, by: "target".into(), reason: "HTTP 429".into() };
        let until = Some(Timestamp::from_millis(NOW.as_millis() + 60_000));
        assert_eq!(
            say(&delivery(), None, &standing(Some(&by(until)))),
            "waits 1m because target paused consumer start-ec2 until 2025-11-23T03:01:00.000Z: HTTP 429"
        );
        let gone = Standing { served: false, ..standing(None) };
        assert_eq!(say(&delivery(), None, &gone), "waits for consumer start-ec2, which nobody serves");
    }
}

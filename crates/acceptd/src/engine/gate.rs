//! Why a delivery is not running now: one gate and one sentence, the same in API and command line.

use std::time::Duration;

use crate::duration::format_duration;
use crate::limit::Rate;
use crate::store::turnstile::Blocker;
use crate::wait::{Holder, WaitingOn};
use crate::{Closure, Delivery, Gate, Timestamp};

/// What the engine knows of a consumer and of a delivery's group when it explains a wait.
pub(crate) struct Circumstances<'a> {
    pub(crate) served: bool,
    pub(crate) running: usize,
    pub(crate) slots: usize,
    pub(crate) closure: Option<&'a Closure>,
    pub(crate) blocker: Option<&'a Blocker>,
    /// How long the first of them has to wait yet, by what its limits allow.
    pub(crate) left: Option<Duration>,
}

/// The gate that holds a waiting delivery now.
pub(crate) fn gate(delivery: &Delivery, how: &Circumstances<'_>, now: Timestamp) -> Gate {
    match how {
        Circumstances { served: false, .. } => Gate::NoConsumer,
        _ if delivery.due > now && !is_throttled(delivery, how, now) => Gate::DueTime,
        Circumstances { closure: Some(closure), .. } if closure.holds_at(now) => closure.gate,
        Circumstances { blocker: Some(blocker), .. } => blocker.limit.gate(),
        _ => Gate::Capacity,
    }
}

/// Whether a pause holds it that its target asked for. It is due when that ends, but it is the pause that it waits for.
fn is_throttled(delivery: &Delivery, how: &Circumstances<'_>, now: Timestamp) -> bool {
    let is_closed = || how.closure.is_some_and(|closure| closure.holds_at(now));
    let is_paused = || how.blocker.is_some_and(|blocker| blocker.pause.is_some());
    delivery.throttled_since.is_some() && (is_closed() || is_paused())
}

/// Explains `count` waiting deliveries, of which `first` is the oldest, that wait for the same gate.
pub(crate) fn explain(
    first: &Delivery,
    count: u64,
    position: Option<usize>,
    how: &Circumstances<'_>,
    now: Timestamp,
) -> WaitingOn {
    let gate = gate(first, how, now);
    let waiting = WaitingOn {
        consumer: Some(first.consumer.clone()),
        delivery: Some(first.id).filter(|id| *id != uuid::Uuid::nil().into()),
        gate,
        name: first.consumer.clone(),
        key: None,
        count,
        position: position.filter(|_| matches!(gate, Gate::Capacity | Gate::Limit | Gate::Lock)),
        since: first.since,
        until: None,
        holder: None,
        message: String::new(),
    };
    let name = &first.consumer;
    match (gate, how.closure, how.blocker) {
        (Gate::DueTime, ..) => WaitingOn { until: Some(first.due), message: due_sentence(first, now), ..waiting },
        (Gate::NoConsumer, ..) => {
            WaitingOn { message: format!("waits for consumer {name}, which nobody serves"), ..waiting }
        }
        (Gate::Pause, Some(closure), _) => {
            WaitingOn { until: closure.until, message: pause_sentence(name, closure, now), ..waiting }
        }
        (Gate::Limit | Gate::Lock, _, Some(blocker)) => of_limit(waiting, blocker, how, now),
        _ => WaitingOn { message: capacity_sentence(name, position, how), ..waiting },
    }
}

fn of_limit(waiting: WaitingOn, blocker: &Blocker, how: &Circumstances<'_>, now: Timestamp) -> WaitingOn {
    let holder = blocker.holder.as_ref().map(|hold| Holder {
        operation: hold.operation,
        consumer: hold.consumer.clone(),
        since: hold.since,
        until: hold.until,
    });
    // Nobody knows how long a pause without an end lasts.
    let left = how.left.filter(|_| blocker.pause.as_ref().is_none_or(|pause| pause.until.is_some()));
    let until = left.map(|left| now + left).into_iter().chain(blocker.until).max();
    let message = limit_sentence(blocker, waiting.position, left, now);
    let key = Some(blocker.key.clone()).filter(|key| !key.is_empty());
    WaitingOn { name: blocker.limit.name.clone(), key, until, holder, message, ..waiting }
}

fn limit_sentence(blocker: &Blocker, position: Option<usize>, left: Option<Duration>, now: Timestamp) -> String {
    let Blocker { limit, key, pause, holder, .. } = blocker;
    let word = if limit.is_lock() { "lock" } else { "limit" };
    let of = if key.is_empty() { String::new() } else { format!(" of {key}") };
    let name = format!("{word} {}{of}", limit.name);
    if let Some(closure) = pause {
        let Closure { by, reason, until, .. } = closure;
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        return match until {
            Some(until) => {
                let left = format_duration(until.since(now));
                format!("waits {left} for {name}, which {by} paused until {until}{reason}")
            }
            None => format!("waits for {name}, which {by} paused{reason}"),
        };
    }
    let allows = match blocker.found_rate {
        Some(found) => format!("found {} so far", Rate::words(found)),
        None => limit.allows(),
    };
    let line = match position {
        Some(ahead) if ahead > 1_000 => "more than 1,000 ahead".to_owned(),
        Some(ahead) if ahead > 0 => format!("{ahead} ahead"),
        _ => "next in line".to_owned(),
    };
    let about = left.map(|left| format!(", about {}", format_duration(rounded(left)))).unwrap_or_default();
    match holder {
        Some(hold) if limit.is_lock() => {
            let (operation, consumer) = (hold.operation, &hold.consumer);
            let unheard = match hold.until {
                Some(until) => format!(", whose target may be working on it until {until}"),
                None => String::new(),
            };
            format!("waits for {name}, held by operation {operation} ({consumer}){unheard}: {line}{about}")
        }
        _ => format!("waits for {name} ({allows}): {line}{about}"),
    }
}

/// To whole seconds from one second on.
fn rounded(left: Duration) -> Duration {
    if left.as_secs() > 0 { Duration::from_secs(left.as_secs_f64().round() as u64) } else { left }
}

/// Explains root events that no consumer takes.
pub(crate) fn explain_unrouted(kind: &str, count: u32, since: Timestamp) -> WaitingOn {
    WaitingOn {
        consumer: None,
        delivery: None,
        gate: Gate::NoConsumer,
        name: kind.to_owned(),
        key: None,
        count: u64::from(count),
        position: None,
        since,
        until: None,
        holder: None,
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

fn capacity_sentence(name: &str, position: Option<usize>, how: &Circumstances<'_>) -> String {
    let Circumstances { running, slots, .. } = how;
    match position {
        Some(ahead) if ahead > 1_000 => {
            format!("waits for a free slot of {name} ({running} of {slots} running): more than 1,000 ahead")
        }
        Some(ahead) if ahead > 0 => {
            format!("waits for a free slot of {name} ({running} of {slots} running): {ahead} ahead")
        }
        _ if running < slots => format!("is about to start at {name}"),
        _ => format!("waits for a free slot of {name} ({running} of {slots} running): next in line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Limit;
    use crate::{Operation, Route};

    const NOW: Timestamp = Timestamp::from_millis(1_763_866_800_000);

    fn delivery() -> Delivery {
        let nil = uuid::Uuid::nil();
        let operation = Operation::new(nil.into(), "ec2.start".into(), None, 0, NOW);
        let route = Route::to("start-ec2");
        let delivery = Delivery::new(nil.into(), &operation, nil.into(), &route, (NOW, NOW));
        Delivery { max_attempts: 8, ..delivery }
    }

    fn standing(closure: Option<&Closure>) -> Circumstances<'_> {
        Circumstances { served: true, running: 4, slots: 4, closure, blocker: None, left: None }
    }

    #[test]
    fn each_gate_has_its_sentence() {
        let late = Delivery { due: Timestamp::from_millis(NOW.as_millis() + 28_000), attempts: 2, ..delivery() };
        let say =
            |delivery: &Delivery, position, how: &Circumstances<'_>| explain(delivery, 1, position, how, NOW).message;
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
        let due = NOW + Duration::from_secs(60);
        let throttled = Delivery { due, throttled_since: Some(NOW), ..delivery() };
        assert_eq!(explain(&throttled, 1, None, &standing(Some(&by(until))), NOW).gate, Gate::Pause);
        assert_eq!(explain(&throttled, 1, None, &standing(None), NOW).gate, Gate::DueTime);
        let gone = Circumstances { served: false, ..standing(None) };
        assert_eq!(say(&delivery(), None, &gone), "waits for consumer start-ec2, which nobody serves");
    }

    fn blocker(limit: Limit) -> Blocker {
        Blocker { limit, key: String::new(), pause: None, holder: None, until: None, found_rate: None }
    }

    fn held<'a>(blocker: &'a Blocker, left: Option<u64>) -> Circumstances<'a> {
        Circumstances { blocker: Some(blocker), left: left.map(Duration::from_secs), ..standing(None) }
    }

    #[test]
    fn a_limit_says_what_it_allows_how_many_are_ahead_and_how_long() {
        let limit = Limit::new("cloud-api").rate("2/s").unwrap();
        let waiting = explain(&delivery(), 1, Some(41), &held(&blocker(limit.clone()), Some(21)), NOW);
        assert_eq!(waiting.message, "waits for limit cloud-api (2/s): 41 ahead, about 21s");
        assert_eq!((waiting.gate, waiting.position, waiting.name.as_str()), (Gate::Limit, Some(41), "cloud-api"));
        assert_eq!(waiting.until, Some(NOW + Duration::from_secs(21)));
        let found = Blocker { key: "eu".into(), found_rate: Some(7.25), ..blocker(limit.adapt()) };
        let waiting = explain(&delivery(), 1, Some(1_001), &held(&found, None), NOW);
        assert_eq!(waiting.message, "waits for limit cloud-api of eu (found 7.2/s so far): more than 1,000 ahead");
        assert_eq!(waiting.key.as_deref(), Some("eu"));
    }

    #[test]
    fn a_paused_limit_says_by_whom_and_until_when() {
        let pause = |until: Option<u64>| {
            let until = until.map(|seconds| NOW + Duration::from_secs(seconds));
            let closure = Closure { gate: Gate::Pause, from: NOW, until, by: "target".into(), reason: "429".into() };
            Blocker { until, pause: Some(closure), ..blocker(Limit::new("stripe")) }
        };
        let say = |blocker: &Blocker| explain(&delivery(), 1, Some(0), &held(blocker, None), NOW).message;
        assert_eq!(
            say(&pause(Some(130))),
            "waits 2m10s for limit stripe, which target paused until 2025-11-23T03:02:10.000Z: 429"
        );
        assert_eq!(say(&pause(None)), "waits for limit stripe, which target paused: 429");
    }

    #[test]
    fn a_lock_names_who_holds_it() {
        let running = Delivery { state: crate::delivery::State::Running, ..delivery() };
        let holder = Some(crate::store::turnstile::Hold::of(&running));
        let key = crate::limit::KeySpec::Pointer("/account".into());
        let lock = Blocker { key: "7".into(), holder, ..blocker(Limit::lock("start-ec2", key)) };
        let waiting = explain(&delivery(), 1, Some(0), &held(&lock, None), NOW);
        let nil = uuid::Uuid::nil();
        assert_eq!(
            waiting.message,
            format!("waits for lock start-ec2.lock of 7, held by operation {nil} (start-ec2): next in line")
        );
        assert_eq!((waiting.gate, waiting.holder.unwrap().consumer.as_str()), (Gate::Lock, "start-ec2"));
    }
}

//! Execute: run one claimed delivery against its consumer's target, with its deadline, its panics caught.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::consumer::{Context, Departure, Limiter, Running};
use crate::engine::Engine;
use crate::engine::pace::Go;
use crate::engine::served::Served;
use crate::store::Claimed;
use crate::target::Reply;
use crate::telemetry::LOG_SPAN;
use crate::{Delivery, Fail, Outcome, StoredEvent, Timestamp};

/// How an attempt came to its end on this node.
#[expect(clippy::large_enum_variant, reason = "one for each attempt, and most are the large one")]
pub(crate) enum Attempted {
    /// Its target said how, at this instant by the clock that the attempt was told.
    Ended(Outcome, Timestamp),
    /// Its target took it over for so long.
    TakenOver(std::time::Duration),
    /// It was stopped: by a cancel, which is stored already, or because the node gives it back.
    Stopped,
    /// It was stopped before its target heard of it.
    Unstarted,
}

/// When a claimed delivery may start, and when its slots are others' at the latest, by a clock that nobody can set.
#[derive(Clone, Copy)]
struct Times {
    start: Instant,
    ends: Option<Instant>,
}

/// Starts every claimed delivery. Called before the clock can be set again after the claim.
pub(crate) fn start(engine: &Engine, claimed: Vec<Claimed>) {
    for claimed in claimed {
        let Some(served) = engine.0.served.get(&claimed.delivery.consumer) else { continue };
        served.enter();
        let (start, ends) = (engine.instant(claimed.start), claimed.delivery.deadline);
        let times = Times { start, ends: ends.map(|ends| engine.instant(ends)) };
        let (owned, served, claimed) = (engine.clone(), Arc::clone(served), Arc::new(claimed));
        let span = log_span(&claimed.delivery, &claimed.event);
        let running = async move {
            run(&owned, &served, claimed, times).await;
            served.leave();
        };
        engine.0.tracker.spawn(running.instrument(span));
    }
}

/// What is logged in it says which attempt it is about, in a handler, too.
pub(crate) fn log_span(delivery: &Delivery, event: &StoredEvent) -> Span {
    tracing::info_span!(
        LOG_SPAN,
        operation = %delivery.operation,
        trace_id = %event.trace().trace,
        delivery = %delivery.id,
        consumer = delivery.consumer,
    )
}

async fn run(engine: &Engine, served: &Served, claimed: Arc<Claimed>, times: Times) {
    let (id, stop) = (claimed.delivery.id, CancellationToken::new());
    let mut began = engine.now();
    engine.0.running.enter(id, stop.clone());
    engine.0.changes.touch(claimed.delivery.operation);
    let attempted = match claimed.keys.is_empty() || starts(engine, &claimed, times, &stop).await {
        true => {
            began = engine.now();
            engine.tell_wait(&claimed, began);
            attempt(engine, served, &claimed, times, stop).await
        }
        false => Attempted::Unstarted,
    };
    engine.0.running.leave(id);
    engine.finish(served, &claimed, began, attempted).await;
}

/// Waits until a delivery may start. False when it is stopped, or one of its limits was paused meanwhile.
async fn starts(engine: &Engine, claimed: &Claimed, times: Times, stop: &CancellationToken) -> bool {
    let mut start = times.start;
    loop {
        if start > Instant::now() && stop.run_until_cancelled(tokio::time::sleep_until(start)).await.is_none() {
            return false;
        }
        match engine.0.pacer.ask(&claimed.keys) {
            Go::Now => return true,
            Go::After(longer) => start = Instant::now() + longer,
            Go::Back => return false,
        }
    }
}

async fn attempt(
    engine: &Engine,
    served: &Served,
    claimed: &Arc<Claimed>,
    times: Times,
    stop: CancellationToken,
) -> Attempted {
    let consumer = served.consumer();
    let started = Instant::now();
    let departure = departure(engine, claimed, consumer.target.is_remote());
    // What holds slots has until the deadline that was stored with it: after that others may have them.
    let ends = times.ends.map_or(started + consumer.timeout, |ends| ends.min(started + consumer.timeout));
    let left = ends.saturating_duration_since(started);
    if !consumer.target.is_remote() {
        departure.depart();
    }
    let trace = claimed.event.trace().of_attempt(&claimed.delivery);
    let context = Context::new(Running {
        claimed: Arc::clone(claimed),
        deadline: engine.now() + left,
        ends,
        departure,
        stop: stop.clone(),
        states: Arc::clone(&engine.0.states),
        reports: Arc::clone(&engine.0.reports),
        store: Arc::clone(&engine.0.store),
        limiter: Arc::clone(&engine.0) as Arc<dyn Limiter>,
        emitted: Mutex::default(),
        notice: Mutex::default(),
        spans: engine.0.spans.clone().filter(|_| trace.is_sampled()),
        trace,
    });
    let ended = |outcome| Attempted::Ended(outcome, context.now());
    if let Some(accepted) = engine.accepted_outcome(&claimed.delivery).await {
        return ended(accepted);
    }
    let reply = AssertUnwindSafe(consumer.target.deliver(context.clone())).catch_unwind();
    let timed = tokio::time::timeout(left, reply);
    match stop.run_until_cancelled(timed).await {
        None => Attempted::Stopped,
        Some(Ok(Ok(Reply::Ended(outcome)))) => {
            if outcome.is_ok() {
                served.went_well(started.elapsed());
            }
            ended(outcome)
        }
        Some(Ok(Ok(Reply::TakenOver(lease)))) => Attempted::TakenOver(lease),
        Some(Ok(Err(panic))) => ended(Err(Fail::retry("panic", panic_message(panic.as_ref())))),
        Some(Err(_)) => {
            let limit = crate::duration::format_duration(consumer.timeout);
            let fail = Fail::retry("timeout", format!("the attempt did not end within {limit}"));
            ended(Err(fail.unfinished()))
        }
    }
}

/// Tells the pacer when the attempt has left for its target.
fn departure(engine: &Engine, claimed: &Arc<Claimed>, is_remote: bool) -> Departure {
    if claimed.keys.iter().all(|granted| granted.pace.is_none()) {
        return Departure::default();
    }
    let (engine, claimed) = (engine.clone(), Arc::clone(claimed));
    Departure::new(move || {
        if !is_remote {
            return engine.0.pacer.left(&claimed.keys);
        }
        let tracker = engine.0.tracker.clone();
        tracker.spawn(async move { engine.0.pacer.leaving(&claimed.keys).await });
    })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("no message"))
}

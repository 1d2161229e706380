//! Execute: run one claimed delivery against its consumer's target, with its deadline, its panics caught.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consumer::{Context, Departure, Limiter, Running};
use crate::engine::Engine;
use crate::engine::pace::Go;
use crate::engine::served::Served;
use crate::store::Claimed;
use crate::target::Reply;
use crate::{Fail, Outcome, Timestamp};

/// How an attempt came to its end on this node.
pub(crate) enum Attempted {
    /// Its target said how.
    Ended(Outcome),
    /// Its target took it over for so long.
    TakenOver(std::time::Duration),
    /// It was stopped: by a cancel, which is stored already, or because the node gives it back.
    Stopped,
    /// It was stopped before its target heard of it.
    Unstarted,
}

/// Starts every claimed delivery.
pub(crate) fn start(engine: &Engine, claimed: Vec<Claimed>) {
    for claimed in claimed {
        let Some(served) = engine.0.served.get(&claimed.delivery.consumer) else { continue };
        served.enter();
        let (owned, served, claimed) = (engine.clone(), Arc::clone(served), Arc::new(claimed));
        engine.0.tracker.spawn(async move {
            run(&owned, &served, claimed).await;
            served.leave();
        });
    }
}

async fn run(engine: &Engine, served: &Served, claimed: Arc<Claimed>) {
    let (id, stop) = (claimed.delivery.id, CancellationToken::new());
    engine.0.running.enter(id, stop.clone());
    engine.0.changes.touch(claimed.delivery.operation);
    let attempted = match claimed.keys.is_empty() || starts(engine, &claimed, &stop).await {
        true => attempt(engine, served, &claimed, stop).await,
        false => Attempted::Unstarted,
    };
    engine.0.running.leave(id);
    engine.finish(served, &claimed, attempted).await;
}

/// Waits until a delivery may start. False when it is stopped, or one of its limits was paused meanwhile.
async fn starts(engine: &Engine, claimed: &Claimed, stop: &CancellationToken) -> bool {
    let mut wait = claimed.start.since(engine.now());
    loop {
        if !wait.is_zero() && stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return false;
        }
        match engine.0.pacer.ask(&claimed.keys, engine.now()) {
            Go::Now => return true,
            Go::After(longer) => wait = longer,
            Go::Back => return false,
        }
    }
}

async fn attempt(engine: &Engine, served: &Served, claimed: &Arc<Claimed>, stop: CancellationToken) -> Attempted {
    let consumer = served.consumer();
    let started = Instant::now();
    let (deadline, departure) = (deadline(engine, served, claimed), departure(engine, claimed));
    let left = deadline.since(engine.now());
    if !consumer.target.is_remote() {
        departure.depart();
    }
    let context = Context::new(Running {
        claimed: Arc::clone(claimed),
        deadline,
        ends: started + left,
        departure,
        stop: stop.clone(),
        states: Arc::clone(&engine.0.states),
        reports: Arc::clone(&engine.0.reports),
        store: Arc::clone(&engine.0.store),
        limiter: Arc::clone(&engine.0) as Arc<dyn Limiter>,
        emitted: Mutex::default(),
    });
    let reply = AssertUnwindSafe(consumer.target.deliver(context)).catch_unwind();
    let timed = tokio::time::timeout(left, reply);
    match stop.run_until_cancelled(timed).await {
        None => Attempted::Stopped,
        Some(Ok(Ok(Reply::Ended(outcome)))) => {
            if outcome.is_ok() {
                served.went_well(started.elapsed());
            }
            Attempted::Ended(outcome)
        }
        Some(Ok(Ok(Reply::TakenOver(lease)))) => Attempted::TakenOver(lease),
        Some(Ok(Err(panic))) => Attempted::Ended(Err(Fail::retry("panic", panic_message(panic.as_ref())))),
        Some(Err(_)) => {
            let limit = crate::duration::format_duration(consumer.timeout);
            let fail = Fail::retry("timeout", format!("the attempt did not end within {limit}"));
            Attempted::Ended(Err(fail.unfinished()))
        }
    }
}

/// When an attempt is out of time. What holds slots has until the deadline that was stored with it: after that others
/// may have them, whatever became of this node.
fn deadline(engine: &Engine, served: &Served, claimed: &Claimed) -> Timestamp {
    let deadline = engine.now() + served.consumer().timeout;
    claimed.delivery.deadline.map_or(deadline, |stored| stored.min(deadline))
}

/// Tells the pacer when the attempt has left for its target.
fn departure(engine: &Engine, claimed: &Arc<Claimed>) -> Departure {
    if claimed.keys.iter().all(|granted| granted.pace.is_none()) {
        return Departure::default();
    }
    let (engine, claimed) = (engine.clone(), Arc::clone(claimed));
    Departure::new(move || engine.0.pacer.left(&claimed.keys))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("no message"))
}

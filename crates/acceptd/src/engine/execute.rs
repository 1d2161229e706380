//! Execute: run one claimed delivery against its consumer's target, with its deadline, its panics caught.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::consumer::{Context, Running};
use crate::engine::Engine;
use crate::engine::dispatch::Dispatcher;
use crate::store::Claimed;
use crate::target::Reply;
use crate::{Fail, Outcome};

/// How an attempt came to its end on this node.
pub(crate) enum Attempted {
    /// Its target said how.
    Ended(Outcome),
    /// Its target took it over for so long.
    TakenOver(std::time::Duration),
    /// It was stopped: by a cancel, which is stored already, or because the node gives it back.
    Stopped,
}

/// Starts every claimed delivery.
pub(crate) fn start(engine: &Engine, dispatcher: &Arc<Dispatcher>, claimed: Vec<Claimed>) {
    for claimed in claimed {
        let (owned, dispatcher, claimed) = (engine.clone(), Arc::clone(dispatcher), Arc::new(claimed));
        engine.0.tracker.spawn(async move {
            run(&owned, &dispatcher, claimed).await;
            dispatcher.leave();
        });
    }
}

async fn run(engine: &Engine, dispatcher: &Dispatcher, claimed: Arc<Claimed>) {
    let (id, stop) = (claimed.delivery.id, CancellationToken::new());
    engine.0.running.enter(id, stop.clone());
    engine.0.changes.touch(claimed.delivery.operation);
    let attempted = attempt(engine, dispatcher, &claimed, stop).await;
    engine.0.running.leave(id);
    engine.finish(dispatcher.consumer(), &claimed, attempted).await;
}

async fn attempt(
    engine: &Engine,
    dispatcher: &Dispatcher,
    claimed: &Arc<Claimed>,
    stop: CancellationToken,
) -> Attempted {
    let consumer = dispatcher.consumer();
    let context = Context::new(Running {
        claimed: Arc::clone(claimed),
        deadline: engine.now() + consumer.timeout,
        stop: stop.clone(),
        states: Arc::clone(&engine.0.states),
        reports: Arc::clone(&engine.0.reports),
        store: Arc::clone(&engine.0.store),
        emitted: Mutex::default(),
    });
    let reply = AssertUnwindSafe(consumer.target.deliver(context)).catch_unwind();
    let timed = tokio::time::timeout(consumer.timeout, reply);
    match stop.run_until_cancelled(timed).await {
        None => Attempted::Stopped,
        Some(Ok(Ok(Reply::Ended(outcome)))) => Attempted::Ended(outcome),
        Some(Ok(Ok(Reply::TakenOver(lease)))) => Attempted::TakenOver(lease),
        Some(Ok(Err(panic))) => Attempted::Ended(Err(Fail::retry("panic", panic_message(panic.as_ref())))),
        Some(Err(_)) => {
            let limit = crate::duration::format_duration(consumer.timeout);
            Attempted::Ended(Err(Fail::retry("timeout", format!("the attempt did not end within {limit}"))))
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("no message"))
}

//! Nothing waits silently: each gate is named while it holds, and recorded afterwards.

use std::time::Duration;

use acceptd::consumer::Consumer;
use acceptd::{Context, Done, Fail, Gate, Outcome, Submission};

use crate::fixture::{Start, accept, end, eventually, memory, on, start};

async fn fails_once(_: Start, context: Context) -> Outcome {
    if context.attempt() == 1 { Err(Fail::retry("flaky", "not yet")) } else { Done::new() }
}

#[tokio::test(start_paused = true)]
async fn the_gate_of_a_retry_is_its_due_time() {
    let engine = on(&memory()).consumer(Consumer::new("once", fails_once)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    let waiting = eventually(async || {
        let monitor = engine.monitor(id).await.unwrap();
        monitor.waiting_on.into_iter().find(|waiting| waiting.gate == Gate::DueTime)
    });
    let waiting = waiting.await;
    assert!(waiting.message.ends_with("for attempt 2 of 8 at once"), "{}", waiting.message);
    end(&engine, id).await;
    let chain = engine.store().chain(id).await.unwrap();
    let second = &chain.attempts[1];
    let waits = acceptd::wait::waits((second.waiting_since, second.due, second.started), None, &[]);
    assert_eq!(waits[0].gate, Gate::DueTime);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_operation_says_when_it_starts() {
    let engine = on(&memory()).consumer(Consumer::new("once", fails_once)).start().await.unwrap();
    let due = Some(engine.now() + Duration::from_secs(90));
    let accepted = engine.accept(Submission { due, ..start("m1") }).await.unwrap();
    let monitor = engine.monitor_accepted(&accepted).await.unwrap();
    assert_eq!(monitor.waiting_on[0].message, "starts in 1m30s at once");
    assert_eq!(monitor.waiting_on[0].until, due);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_knows_the_position() {
    async fn hangs(_: Start) -> Outcome {
        std::future::pending().await
    }
    let consumer = Consumer::new("hangs", hangs).concurrency(1);
    let engine = on(&memory()).consumer(consumer).start().await.unwrap();
    let first = accept(&engine, start("m1")).await;
    eventually(async || (engine.monitor(first).await.unwrap().waiting_on.is_empty()).then_some(())).await;
    for _ in 0..3 {
        accept(&engine, start("m")).await;
    }
    let last = accept(&engine, start("m5")).await;
    let waiting = engine.monitor(last).await.unwrap().waiting_on.remove(0);
    assert_eq!((waiting.gate, waiting.position), (Gate::Capacity, Some(3)));
    assert_eq!(waiting.message, "waits for a free slot of hangs (1 of 1 running): 3 ahead");
}

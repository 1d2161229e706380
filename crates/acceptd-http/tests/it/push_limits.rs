//! What an endpoint says of its limits holds for every consumer that uses them, and only for the key it was about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use acceptd::engine::Callback;
use acceptd::store::memory::MemoryStore;
use acceptd::{Acceptd, Consumer, Data, Done, Draft, Engine, ErrorKind, Gate, JSON, Limit, OperationId, Status};

use crate::push_receiver::{Receiver, accept, answer, end, until};

fn draft(kind: &str, region: &str) -> Draft {
    Draft::new(kind.to_owned()).data(Data::new(JSON, format!("{{\"region\":\"{region}\"}}")))
}

/// Two consumers that share a limit, at the same endpoint.
async fn two(receiver: &Receiver, limit: Limit) -> Engine {
    let consumer =
        |name: &str| Consumer::to(name, [format!("test.{name}")], Arc::new(receiver.push())).limit(limit.name.clone());
    let acceptd = Acceptd::new(Arc::new(MemoryStore::default())).limit(limit.clone());
    acceptd.consumer(consumer("a")).consumer(consumer("b")).start().await.unwrap()
}

async fn waits_for(engine: &Engine, id: OperationId) -> Option<(Gate, String)> {
    let monitor = engine.monitor(id).await.unwrap();
    monitor.waiting_on.first().map(|waiting| (waiting.gate, waiting.message.clone()))
}

#[tokio::test]
async fn a_429_pauses_its_key_for_every_consumer_and_costs_no_attempt() {
    let refuses = Arc::new(AtomicBool::new(true));
    let first = Arc::clone(&refuses);
    let receiver = Receiver::start(move |_, seen| {
        let is_eu = seen.body.windows(2).any(|part| part == b"eu");
        let refused = is_eu && first.swap(false, Ordering::SeqCst);
        async move { if refused { answer(429, &[("retry-after", "1")], "") } else { answer(204, &[], "") } }
    })
    .await;
    let engine = two(&receiver, Limit::new("api").rate("50/s burst 10").unwrap().key("/region").unwrap()).await;
    let refused = accept(&engine, draft("test.a", "eu")).await;
    until("the pause", async || engine.limit("api").await.unwrap().keys.iter().any(|key| key.pause.is_some())).await;
    let paused_at = Instant::now();
    let asked = receiver.seen().len();
    let mut held = Vec::new();
    for number in 0..6 {
        held.push(accept(&engine, draft(if number % 2 == 0 { "test.a" } else { "test.b" }, "eu")).await);
    }
    let free = accept(&engine, draft("test.b", "us")).await;
    assert_eq!(end(&engine, free).await.0, Status::Succeeded, "another key goes on");
    let (gate, message) = waits_for(&engine, held[1]).await.unwrap();
    assert_eq!(gate, Gate::Limit);
    assert!(message.contains("for limit api of eu, which target paused until"), "{message}");
    assert_eq!(receiver.seen().len(), asked + 1, "nothing of the key was sent meanwhile");
    for id in held.into_iter().chain([refused]) {
        assert_eq!(end(&engine, id).await.0, Status::Succeeded);
    }
    assert!(paused_at.elapsed() > Duration::from_millis(900));
    // Seven at 50 a second, and none of the burst of 10.
    assert!(paused_at.elapsed() > Duration::from_millis(1_000 + 100), "it goes on at its rate: {paused_at:?}");
    let attempts = engine.store().chain(refused).await.unwrap().attempts;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn an_answer_that_is_well_and_says_that_nothing_is_left_pauses_before_anything_is_refused() {
    for spent in [("ratelimit", "\"burst\";r=0;t=60"), ("x-ratelimit-reset", "60")] {
        let receiver = Receiver::start(move |_, _| async move {
            answer(200, &[("x-ratelimit-remaining", if spent.0 == "ratelimit" { "9" } else { "0" }), spent], "{}")
        })
        .await;
        let engine = two(&receiver, Limit::new("api").rate("1000/s").unwrap()).await;
        let done = accept(&engine, draft("test.a", "eu")).await;
        assert_eq!(end(&engine, done).await.0, Status::Succeeded);
        let held = accept(&engine, draft("test.b", "eu")).await;
        until("the gate", async || waits_for(&engine, held).await.is_some_and(|(gate, _)| gate == Gate::Limit)).await;
        let (_, message) = waits_for(&engine, held).await.unwrap();
        assert!(message.contains("which target paused until"), "{message}");
        assert!(message.ends_with("the target says that its rate limit is spent"), "{message}");
        assert_eq!(receiver.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_call_after_a_cancel_frees_the_slot_that_it_held() {
    let receiver = Receiver::always(202, &[], "").await;
    let engine = two(&receiver, Limit::new("api").concurrency(1)).await;
    let canceled = accept(&engine, draft("test.a", "eu")).await;
    until("the request", async || receiver.seen().len() == 1).await;
    let next = accept(&engine, draft("test.b", "eu")).await;
    let delivery = engine.store().operation(canceled).await.unwrap().live[0].clone();
    until("the lease", async || engine.store().delivery(delivery.id).await.unwrap().delivery.lease.is_some()).await;
    engine.cancel(canceled).await.unwrap();
    assert_eq!(engine.limit("api").await.unwrap().in_use, 1, "its target may still be working");
    assert_eq!(waits_for(&engine, next).await.unwrap().0, Gate::Limit);
    let fence = receiver.seen()[0].header("acceptd-fence").parse().unwrap();
    let late = engine.callback(delivery.id, fence, Callback::End(Ok(Done::default()))).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Canceled);
    until("the next request", async || receiver.seen().len() == 2).await;
}

#[tokio::test]
async fn a_target_is_told_how_long_it_may_work() {
    let receiver = Receiver::always(204, &[], "").await;
    let engine = two(&receiver, Limit::new("api").concurrency(1)).await;
    let id = accept(&engine, draft("test.a", "eu")).await;
    assert_eq!(end(&engine, id).await.0, Status::Succeeded);
    let seconds: f64 = receiver.seen()[0].header("acceptd-timeout").parse().unwrap();
    assert!((59.0..60.0).contains(&seconds), "a little less than a minute: {seconds}");
}

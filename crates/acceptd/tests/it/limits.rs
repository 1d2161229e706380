//! Capacity, priorities, delays, backlog caps, throttling.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptd::consumer::Consumer;
use acceptd::delivery::Ending;
use acceptd::{Context, Done, ErrorKind, Fail, FailExt as _, Outcome, Settings, State, Status, Submission, Timestamp};

use crate::fixture::{Start, accept, end, memory, on, start};

#[derive(Clone, Default)]
struct Seen {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    order: Arc<Mutex<Vec<String>>>,
}

async fn counts(event: Start, State(seen): State<Seen>) -> Outcome {
    let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(running, Ordering::SeqCst);
    seen.order.lock().unwrap().push(event.name);
    tokio::time::sleep(Duration::from_millis(10)).await;
    seen.running.fetch_sub(1, Ordering::SeqCst);
    Done::new()
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_the_consumer_allows() {
    let seen = Seen::default();
    let consumer = Consumer::new("counts", counts).concurrency(3);
    let engine = on(&memory()).state(seen.clone()).consumer(consumer).start().await.unwrap();
    let mut ids = Vec::new();
    for index in 0..50 {
        ids.push(accept(&engine, start(&index.to_string())).await);
    }
    for id in ids {
        assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    }
    assert_eq!(seen.most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_run_first_and_delays_are_kept() {
    let seen = Seen::default();
    let consumer = Consumer::new("counts", counts).concurrency(1);
    let engine = on(&memory()).state(seen.clone()).consumer(consumer).start().await.unwrap();
    engine.pause("counts", None, "test", "").await.unwrap();
    let later = engine.now() + Duration::from_secs(60);
    let submissions = [
        Submission { priority: -5, ..start("low") },
        start("first"),
        start("second"),
        Submission { priority: 100, due: Some(later), ..start("late") },
        Submission { priority: 7, ..start("high") },
    ];
    let mut ids = Vec::new();
    for submission in submissions {
        ids.push(accept(&engine, submission).await);
    }
    engine.resume("counts").await.unwrap();
    for id in &ids {
        end(&engine, *id).await;
    }
    assert_eq!(*seen.order.lock().unwrap(), ["high", "first", "second", "low", "late"]);
    let attempts = engine.store().chain(ids[3]).await.unwrap().attempts;
    assert!(attempts[0].started >= later);
}

#[tokio::test(start_paused = true)]
async fn past_the_cap_nothing_is_accepted() {
    let settings = Settings { backlog_max: 2, ..Settings::default() };
    let engine = on(&memory()).settings(settings).consumer(Consumer::new("counts", counts));
    let engine = engine.state(Seen::default()).start().await.unwrap();
    engine.pause("counts", None, "test", "").await.unwrap();
    accept(&engine, start("1")).await;
    accept(&engine, start("2")).await;
    assert_eq!(engine.accept(start("3")).await.unwrap_err().kind(), ErrorKind::Overloaded);
}

async fn throttled_twice(_: Start, context: Context, State(calls): State<Arc<Mutex<Vec<Timestamp>>>>) -> Outcome {
    let now = context.deadline() - Duration::from_secs(60);
    let calls = {
        let mut calls = calls.lock().unwrap();
        calls.push(now);
        calls.len()
    };
    if calls <= 2 {
        let busy: Result<(), Fail> = Err(Fail::retry("http-429", "too many requests"));
        busy.throttled("throttled", now + Duration::from_secs(30))?;
    }
    Done::new()
}

#[tokio::test(start_paused = true)]
async fn throttling_pauses_the_consumer_and_costs_no_attempt() {
    let calls = Arc::new(Mutex::new(Vec::<Timestamp>::new()));
    let consumer = Consumer::new("throttled", throttled_twice).retry(1).concurrency(1);
    let engine = on(&memory()).state(Arc::clone(&calls)).consumer(consumer).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    let other = accept(&engine, start("m2")).await;
    let waiting = crate::fixture::eventually(async || {
        let monitor = engine.monitor(other).await.unwrap();
        monitor.waiting_on.into_iter().next().filter(|waiting| waiting.until.is_some())
    });
    let waiting = waiting.await;
    assert!(waiting.message.contains("because target paused consumer throttled until"), "{}", waiting.message);
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    end(&engine, other).await;
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 4);
    assert!(calls[1].since(calls[0]) >= Duration::from_secs(30), "nobody calls before the pause is over");
    let attempts = engine.store().chain(id).await.unwrap().attempts;
    assert_eq!(attempts[0].ending, Ending::Throttled);
    assert_eq!(attempts.last().unwrap().number, 1);
}

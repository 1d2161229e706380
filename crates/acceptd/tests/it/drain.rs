//! Shutting down: what runs may finish within the grace, the rest is given back uncounted.

use std::sync::Arc;
use std::time::Duration;

use acceptd::consumer::Consumer;
use acceptd::delivery::Ending;
use acceptd::{Done, ErrorKind, Outcome, State, Status};
use tokio::sync::Notify;

use crate::fixture::{Start, accept, end, memory, on, start};

async fn takes_ten_seconds(_: Start, State(started): State<Arc<Notify>>) -> Outcome {
    started.notify_one();
    tokio::time::sleep(Duration::from_secs(10)).await;
    Done::new()
}

#[tokio::test(start_paused = true)]
async fn an_attempt_within_the_grace_finishes() {
    let started = Arc::new(Notify::new());
    let consumer = Consumer::new("slow", takes_ten_seconds);
    let engine = on(&memory()).state(Arc::clone(&started)).consumer(consumer).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    started.notified().await;
    engine.shut_down(Duration::from_secs(11)).await;
    assert_eq!(engine.monitor(id).await.unwrap().status, Status::Succeeded);
    assert_eq!(engine.accept(start("m2")).await.unwrap_err().kind(), ErrorKind::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_over_the_grace_is_given_back_uncounted() {
    let (store, started) = (memory(), Arc::new(Notify::new()));
    let slow = || Consumer::new("slow", takes_ten_seconds).retry(1);
    let engine = on(&store).state(Arc::clone(&started)).consumer(slow()).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    started.notified().await;
    engine.shut_down(Duration::from_secs(1)).await;

    let engine = on(&store).state(started).consumer(slow()).start().await.unwrap();
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    let attempts = engine.store().chain(id).await.unwrap().attempts;
    assert_eq!(attempts.iter().map(|a| a.ending).collect::<Vec<_>>(), [Ending::Released, Ending::Done]);
    assert_eq!(attempts[1].number, 1, "the only attempt there may be was not used up");
}

//! Failures: retries, backoff, panics, timeouts, dead letters and their retry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use acceptd::consumer::Consumer;
use acceptd::delivery::Ending;
use acceptd::store::{DeadLetters, Page};
use acceptd::{Context, Done, Fail, Outcome, State, Status};

use crate::fixture::{Start, accept, end, inbox, memory, on, start};

async fn flaky(_: Start, context: Context) -> Outcome {
    if context.attempt() < 3 { Err(Fail::retry("flaky", "not yet")) } else { Done::new() }
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_tried_again_with_growing_waits() {
    let engine = on(&memory()).consumer(Consumer::new("flaky", flaky)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    let attempts = engine.store().chain(id).await.unwrap().attempts;
    assert_eq!(attempts.iter().map(|a| a.ending).collect::<Vec<_>>(), [Ending::Retry, Ending::Retry, Ending::Done]);
    assert_eq!(attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2, 3]);
    let first = attempts[1].started.since(attempts[0].ended);
    let second = attempts[2].started.since(attempts[1].ended);
    assert!((Duration::from_millis(500)..Duration::from_millis(1_100)).contains(&first), "{first:?}");
    assert!((Duration::from_millis(1_000)..Duration::from_millis(2_100)).contains(&second), "{second:?}");
}

async fn panics(_: Start) -> Outcome {
    panic!("the disk of the moon is full");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt_and_the_last_one_a_dead_letter() {
    let engine = on(&memory()).consumer(Consumer::new("panics", panics).retry(2)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    let monitor = end(&engine, id).await;
    assert_eq!(monitor.status, Status::Failed);
    assert_eq!(monitor.failure.unwrap().message, "the handler panicked: the disk of the moon is full");
    let letters = engine.store().dead_letters(Page { before: None, size: 10 }).await.unwrap().items;
    assert_eq!((letters.len(), letters[0].delivery.attempts), (1, 2));
    assert_eq!(inbox(&engine, "user-42").await[0].title, "machine.start failed");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_out_of_time_is_tried_again() {
    async fn hangs(_: Start) -> Outcome {
        std::future::pending().await
    }
    let consumer = Consumer::new("hangs", hangs).timeout("2s").retry(2);
    let engine = on(&memory()).consumer(consumer).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    assert_eq!(end(&engine, id).await.failure.unwrap().message, "the attempt did not end within 2s");
}

async fn until_mended(_: Start, State(mended): State<Arc<AtomicBool>>) -> Outcome {
    if mended.load(Ordering::SeqCst) { Done::new() } else { Err(Fail::terminal("broken", "it is broken")) }
}

#[tokio::test(start_paused = true)]
async fn a_retried_dead_letter_reopens_and_the_owner_is_told_again() {
    let mended = Arc::new(AtomicBool::new(false));
    let engine = on(&memory())
        .state(Arc::clone(&mended))
        .consumer(Consumer::new("until-mended", until_mended))
        .start()
        .await
        .unwrap();
    let id = accept(&engine, start("m1")).await;
    assert_eq!(end(&engine, id).await.status, Status::Failed);
    mended.store(true, Ordering::SeqCst);
    engine.retry(DeadLetters::Operation(id)).await.unwrap();
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    let titles: Vec<_> = inbox(&engine, "user-42").await.into_iter().map(|n| n.title).collect();
    assert_eq!(titles, ["machine.start is done", "machine.start failed"]);
    assert!(engine.retry(DeadLetters::Operation(id)).await.is_err(), "there is nothing to retry any more");
}

#[tokio::test(start_paused = true)]
async fn a_discarded_dead_letter_counts_as_canceled() {
    let engine = on(&memory()).consumer(Consumer::new("panics", panics).retry(1)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    end(&engine, id).await;
    let delivery = engine.store().chain(id).await.unwrap().deliveries[0].id;
    assert_eq!(engine.discard(delivery).await.unwrap().status, Status::Canceled);
}

async fn snoozes(_: Start, State(calls): State<Arc<AtomicU32>>, context: Context) -> Outcome {
    assert_eq!(context.attempt(), 1, "a snooze counts as no attempt");
    if calls.fetch_add(1, Ordering::SeqCst) < 5 { Err(Fail::snooze(Duration::from_secs(9))) } else { Done::new() }
}

#[tokio::test(start_paused = true)]
async fn a_snooze_costs_no_attempt() {
    let consumer = Consumer::new("snoozes", snoozes).retry(1);
    let engine = on(&memory()).state(Arc::new(AtomicU32::new(0))).consumer(consumer).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
}

//! Cancel, pause and resume.

use std::sync::Arc;

use acceptd::consumer::Consumer;
use acceptd::{Done, Emits, ErrorKind, Outcome, State, Status};
use tokio::sync::Notify;

use crate::fixture::{Start, Started, accept, end, eventually, inbox, memory, on, start};

#[derive(Clone, Default)]
struct Signals {
    started: Arc<Notify>,
    dropped: Arc<Notify>,
}

struct TellOnDrop(Arc<Notify>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn hangs(_: Started, State(signals): State<Signals>) -> Outcome {
    let _tell = TellOnDrop(signals.dropped);
    signals.started.notify_one();
    std::future::pending().await
}

async fn first(event: Start, mut out: Emits<(Started,)>) -> Outcome {
    out.emit(Started { name: event.name });
    Done::new()
}

#[tokio::test(start_paused = true)]
async fn cancel_goes_down_the_chain_and_stops_what_runs() {
    let signals = Signals::default();
    let engine = on(&memory())
        .state(signals.clone())
        .consumer(Consumer::new("first", first))
        .consumer(Consumer::new("hangs", hangs))
        .start()
        .await
        .unwrap();
    let id = accept(&engine, start("m1")).await;
    signals.started.notified().await;
    let monitor = engine.cancel(id).await.unwrap();
    assert_eq!(monitor.status, Status::Canceled);
    signals.dropped.notified().await;
    assert_eq!(engine.cancel(id).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(inbox(&engine, "user-42").await[0].title, "machine.start was canceled");
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_a_restart_and_is_explained() {
    let store = memory();
    let engine = on(&store).consumer(Consumer::inbox("first", "machine.start")).start().await.unwrap();
    engine.pause("first", None, "ann", "the API is being moved").await.unwrap();
    let id = accept(&engine, start("m1")).await;
    engine.shut_down(std::time::Duration::ZERO).await;

    let engine = on(&store).consumer(Consumer::inbox("first", "machine.start")).start().await.unwrap();
    let monitor = engine.monitor(id).await.unwrap();
    assert_eq!(monitor.status, Status::Queued);
    let message = &monitor.waiting_on[0].message;
    assert_eq!(message, "waits because ann paused consumer first: the API is being moved");
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    assert!(engine.resume("first").await.unwrap());
    assert!(!engine.resume("first").await.unwrap(), "it was not paused any more");
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    let waits = engine.store().chain(id).await.unwrap();
    assert!(waits.closures.iter().any(|(name, closure)| name == "first" && closure.by == "ann"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_consumer_gets_the_nearest_name() {
    let engine = on(&memory()).consumer(Consumer::inbox("start-ec2", "machine.start")).start().await.unwrap();
    let error = engine.pause("start-ec", None, "ann", "").await.unwrap_err();
    assert_eq!(error.message(), "there is no consumer start-ec; did you mean start-ec2?");
}

#[tokio::test(start_paused = true)]
async fn watchers_hear_of_changes() {
    let engine = on(&memory()).consumer(Consumer::inbox("first", "machine.start")).start().await.unwrap();
    engine.pause("first", None, "ann", "").await.unwrap();
    let id = accept(&engine, start("m1")).await;
    let mut watcher = engine.changes().operation(id);
    engine.resume("first").await.unwrap();
    watcher.changed().await;
    eventually(async || engine.monitor(id).await.unwrap().status.is_done().then_some(())).await;
}

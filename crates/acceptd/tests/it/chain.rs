//! Chains: emitted events, results, notifications, steps, states.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use acceptd::consumer::Consumer;
use acceptd::{Context, Done, Emits, Fail, Outcome, Progress, State, Status, Steps};

use crate::fixture::{Alarm, Start, Started, accept, end, inbox, memory, on, plain, start};

async fn start_machine(
    event: Start,
    mut out: Emits<(Started, Alarm)>,
    progress: Progress,
    context: Context,
) -> Outcome {
    progress.set(1, 2, "starting");
    out.emit(Started { name: event.name.clone() });
    Done::with(serde_json::json!({ "machine": event.name, "attempt": context.attempt() }))
}

async fn announce(event: Started, mut out: Emits<(Alarm,)>) -> Outcome {
    out.emit(Alarm { title: format!("{} is running", event.name) });
    Done::new()
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_to_its_notification() {
    let engine = on(&memory())
        .consumer(Consumer::new("start-machine", start_machine))
        .consumer(Consumer::new("announce", announce))
        .consumer(Consumer::inbox("alarm", "alarm.create"))
        .start()
        .await
        .unwrap();
    let id = accept(&engine, start("m1")).await;
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    engine.shut_down(std::time::Duration::from_secs(5)).await;

    let chain = engine.store().chain(id).await.unwrap();
    let kinds: Vec<_> = chain.events.iter().map(|event| event.draft.kind.as_ref()).collect();
    assert_eq!(kinds, ["machine.start", "machine.started", "alarm.create"]);
    assert_eq!(chain.events[1].cause.as_deref(), Some(chain.events[0].id().as_ref()));
    assert_eq!(chain.events[1].draft.source, "/consumers/start-machine");
    let results = engine.store().results(id).await.unwrap();
    assert_eq!(results[0].data.bytes, r#"{"attempt":1,"machine":"m1"}"#);
    let inbox = inbox(&engine, "user-42").await;
    assert_eq!(inbox.len(), 1, "the alarm takes the place of the automatic notification");
    assert_eq!(inbox[0].title, "m1 is running");
}

#[tokio::test(start_paused = true)]
async fn without_an_alarm_the_owner_is_told_automatically() {
    let quiet = async |_: Start| -> Outcome { Done::new() };
    let engine = on(&memory()).consumer(Consumer::new("quiet", quiet)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    end(&engine, id).await;
    let inbox = inbox(&engine, "user-42").await;
    assert_eq!(inbox.iter().map(|n| n.title.as_str()).collect::<Vec<_>>(), ["machine.start is done"]);
}

async fn two_steps(_: Start, steps: Steps, State(runs): State<Arc<[AtomicU32; 2]>>) -> Outcome {
    let step = async |index: usize| Ok::<_, std::io::Error>(runs[index].fetch_add(1, Ordering::SeqCst));
    let first: u32 = steps.run("first", || step(0)).await?;
    let second: u32 = steps.run("second", || step(1)).await?;
    if second == 0 && runs[1].load(Ordering::SeqCst) == 1 && first == 0 {
        runs[1].fetch_add(1, Ordering::SeqCst);
        return Err(Fail::retry("flaky", "fails after its steps"));
    }
    Done::with(first)
}

#[tokio::test(start_paused = true)]
async fn steps_are_remembered_over_attempts() {
    let runs = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let engine =
        on(&memory()).state(Arc::clone(&runs)).consumer(Consumer::new("two-steps", two_steps)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    assert_eq!(runs[0].load(Ordering::SeqCst), 1, "the first step ran once in two attempts");
    let chain = engine.store().chain(id).await.unwrap();
    assert_eq!(chain.attempts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_missing_state_is_found_at_start() {
    let error = on(&memory()).consumer(Consumer::new("two-steps", two_steps)).start().await.err().unwrap();
    assert!(error.message().starts_with("consumer two-steps: it needs State<"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_loops_ends_as_a_dead_letter() {
    async fn again(event: Start, mut out: Emits<(Start,)>) -> Outcome {
        out.emit(event);
        Done::new()
    }
    let engine = on(&memory()).consumer(Consumer::new("again", again)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    let monitor = end(&engine, id).await;
    assert_eq!(monitor.status, Status::Failed);
    assert_eq!(monitor.failure.unwrap().code, "chain-too-deep");
    assert_eq!(engine.store().chain(id).await.unwrap().events.len(), 33, "the root and 32 events after it");
}

#[tokio::test(start_paused = true)]
async fn a_declared_event_waits_visibly_for_its_first_consumer() {
    let store = memory();
    let first = on(&store).event("machine.start", Default::default()).start().await.unwrap();
    let id = accept(&first, plain("machine.start")).await;
    let monitor = first.monitor(id).await.unwrap();
    assert_eq!(monitor.waiting_on[0].message, "waits for a consumer: nobody takes machine.start");
    first.shut_down(std::time::Duration::ZERO).await;

    let second = on(&store).consumer(Consumer::inbox("take", "machine.start")).start().await.unwrap();
    assert_eq!(end(&second, id).await.status, Status::Succeeded);
}

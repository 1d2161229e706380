//! The story of an operation: the document adds up, and its renderings are the same whenever things go the same way.

use std::time::Duration;

use acceptd::EventDeclaration;
use acceptd::consumer::Consumer;
use acceptd::limit::Limit;
use acceptd::story::{TextOptions, mermaid, text};
use acceptd::{Context, Done, Emits, Engine, ErrorKind, Fail, FailExt as _, Gate, Outcome, Story};

use crate::fixture::{Alarm, Start, Started, accept, end, eventually, memory, on, plain, start};

async fn start_machine(event: Start, mut out: Emits<(Started, Alarm)>, context: Context) -> Outcome {
    tokio::time::sleep(Duration::from_secs(3)).await;
    if event.name == "many" && context.attempt() == 1 {
        let busy: Result<(), Fail> = Err(Fail::retry("busy", "no room\n\x1b[2Jyet"));
        busy.retry_after(Duration::from_secs(2))?;
    }
    let machines = if event.name == "many" { 25 } else { 1 };
    (0..machines).for_each(|number| out.emit(Started { name: format!("m{number}") }));
    out.emit(Alarm { title: format!("{} \"started\"", event.name) });
    Done::with(machines)
}

async fn check(event: Started) -> Outcome {
    tokio::time::sleep(Duration::from_millis(500)).await;
    let checked = if event.name == "m7" { Err(Fail::retry("broken", "it <b>smokes</b>")) } else { Ok(()) };
    checked.terminal()?;
    Done::new()
}

async fn engine() -> Engine {
    on(&memory())
        .limit(Limit::new("cloud-api").concurrency(1))
        .consumer(Consumer::new("start-machine", start_machine).limit("cloud-api"))
        .consumer(Consumer::new("check", check).concurrency(100))
        .consumer(Consumer::inbox("alarm", "alarm.create"))
        .start()
        .await
        .unwrap()
}

/// The story of an operation that waits for another, while it waits and after its end.
async fn waited_and_ended() -> (Story, Story) {
    let engine = engine().await;
    let first = accept(&engine, start("one")).await;
    eventually(async || engine.monitor(first).await.unwrap().waiting_on.is_empty().then_some(())).await;
    let id = accept(&engine, start("many")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = engine.story(id).await.unwrap();
    end(&engine, id).await;
    (waits, engine.story(id).await.unwrap())
}

const ENDED: &str = "\
machine.start failed, 11s = waiting 26% / running 57% / backing off 17%
owner user-42
waited 3s for limit cloud-api
waited 2s for the due time at start-machine
machine.start (15 B)
└─ ✓ start-machine done, waited 3s for limit cloud-api, backed off 2s, ran 6s, attempt 2 of 8, result 2 B
   ├─ attempt 1 failed, waited 3s for limit cloud-api, ran 3s: busy: no room  [2Jyet
   ├─ attempt 2 done, backed off 2s, ran 3s
   ├─ machine.started x 25 (1 failed, 340 B)
   │  └─ ✗ check 24 done, 1 dead, ran 12s in all
   │     └─ ✗ dead, ran 500ms: broken: it <b>smokes</b>
   └─ alarm.create (28 B)
      └─ ✓ alarm done, ran 0s";

const WAITS: &str = "\
machine.start queued, 1s = waiting 100% / running 0% / backing off 0%
owner user-42
waited 1s for limit cloud-api
machine.start (15 B)
└─ · start-machine waiting for 1s: waits for limit cloud-api (1 at a time): next in line";

const PICTURE: &str = concat!(
    r##"flowchart LR
  n0[["machine.start failed, 11s<br/>waiting 26% / running 57% / backing off 17%"]]
  n0 --> n1(["machine.start<br/>(15 B)"])
  n1 --> n2["start-machine<br/>done, waited 3s for limit cloud-api, backed off 2s,"##,
    r##" ran 6s, attempt 2 of 8, result 2 B"]:::done
  n2 --> n3(["machine.started x 25<br/>(1 failed, 340 B)"])
  n3 --> n4["check<br/>24 done, 1 dead, ran 12s in all<br/>broken#58; it #60;b#62;smokes#60;/b#62;"]:::dead
  n2 --> n5(["alarm.create<br/>(28 B)"])
  n5 --> n6["alarm<br/>done, ran 0s"]:::done
  classDef done fill:#e6f5f0,stroke:#2ba086,color:#1b1f24
  classDef running fill:#e8eef8,stroke:#335fae,color:#1b1f24
  classDef waiting fill:#ffffff,stroke:#868e99,color:#1b1f24,stroke-dasharray:4 3
  classDef dead fill:#f8e8ea,stroke:#7d0718,color:#1b1f24
  classDef canceled fill:#f6f7f9,stroke:#868e99,color:#57606a
"##
);

#[tokio::test(start_paused = true)]
async fn the_text_of_a_story_with_a_limit_a_retry_a_fan_out_and_a_dead_letter() {
    let (waits, ended) = waited_and_ended().await;
    let options = TextOptions::default();
    assert_eq!(text(&waits, &options), WAITS);
    assert_eq!(text(&ended, &options), ENDED);
    let (again, also) = waited_and_ended().await;
    assert_ne!(also.operation, ended.operation);
    assert_eq!((text(&again, &options), text(&also, &options)), (WAITS.to_owned(), ENDED.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_times_add_up_and_each_event_knows_its_cause() {
    let (waits, ended) = waited_and_ended().await;
    assert_eq!((waits.times.waiting_ms, waits.times.total_ms), (1_000, 1_000));
    let times = ended.times;
    assert_eq!(times.running_ms + times.backing_off_ms + times.waiting_ms, times.total_ms);
    assert_eq!((times.running_ms, times.backing_off_ms), (6_500, 2_000), "twice 3 s, and 25 checks at once");
    let limit = &ended.waits[0];
    assert_eq!((limit.gate, limit.name.as_str(), limit.total_ms, limit.count), (Gate::Limit, "cloud-api", 3_000, 1));
    let root = &ended.events[0];
    let starter = &root.deliveries[0];
    assert!(root.caused_by.is_none() && starter.result_size == Some(2));
    for event in &ended.events[1..] {
        assert_eq!(event.causation_id.as_ref(), Some(&root.id));
        assert_eq!(event.caused_by.as_ref().map(|cause| cause.delivery), Some(starter.id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_story_as_a_picture() {
    let (_, ended) = waited_and_ended().await;
    assert_eq!(mermaid(&ended), PICTURE);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_held_by_an_operation_without_its_id() {
    let engine = on(&memory())
        .consumer(Consumer::new("start-machine", start_machine).lock("/name"))
        .consumer(Consumer::new("check", check))
        .consumer(Consumer::inbox("alarm", "alarm.create"))
        .start()
        .await
        .unwrap();
    let first = accept(&engine, start("one")).await;
    eventually(async || engine.monitor(first).await.unwrap().waiting_on.is_empty().then_some(())).await;
    let id = accept(&engine, start("one")).await;
    let story = engine.story(id).await.unwrap();
    let without = text(&story, &TextOptions::default());
    assert!(without.contains("of one, held by another operation (start-machine): next in line"), "{without}");
    let with = text(&story, &TextOptions { ids: true, ..TextOptions::default() });
    for id in
        [id.to_string(), first.to_string(), story.events[0].id.clone(), story.events[0].deliveries[0].id.to_string()]
    {
        assert!(with.contains(&id) && !without.contains(&id), "{id}\n{with}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_waits_in_the_story() {
    let engine = on(&memory()).event("lonely.event", EventDeclaration::default()).start().await.unwrap();
    let id = accept(&engine, plain("lonely.event")).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    let story = engine.story(id).await.unwrap();
    let lonely = "lonely.event queued, 1m30s = waiting 100% / running 0% / backing off 0%\n\
                  waited 1m30s for someone to serve lonely.event\n\
                  waits for a consumer: nobody takes lonely.event\n\
                  lonely.event waits: nobody takes it";
    assert_eq!(text(&story, &TextOptions::default()), lonely);
    assert_eq!(engine.story(acceptd::OperationId::from_bytes([0; 16])).await.unwrap_err().kind(), ErrorKind::NotFound);
}

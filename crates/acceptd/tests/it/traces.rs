//! Traces: one for each operation, over its whole chain and over restarts, with or without anyone who records spans.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptd::consumer::Consumer;
use acceptd::engine::Callback;
use acceptd::target::{Reply, Replying, Target, TargetDescription};
use acceptd::telemetry::{FinishedSpan, SPANS, SpanKind, SpanSink, Value, attribute};
use acceptd::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use acceptd::{Context, Done, Draft, Emits, Engine, Fail, Outcome, State, StoredEvent, Submission};

use crate::fixture::{Alarm, Start, Started, accept, end, eventually, memory, on, start};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn parent(text: &str) -> TraceContext {
    TraceContext::parse(text, Some("vendor=1")).unwrap()
}

async fn start_machine(event: Start, mut out: Emits<(Started,)>) -> Outcome {
    out.emit(Started { name: event.name });
    Done::new()
}

async fn announce(event: Started, mut out: Emits<(Alarm,)>) -> Outcome {
    out.emit(Alarm { title: event.name });
    Done::new()
}

fn first() -> Consumer {
    Consumer::new("start-machine", start_machine)
}

fn rest() -> [Consumer; 2] {
    [Consumer::new("announce", announce), Consumer::inbox("alarm", "alarm.create")]
}

/// Keeps spans.
#[derive(Default)]
struct Recorded(Mutex<Vec<FinishedSpan>>);

impl SpanSink for Recorded {
    fn ended(&self, span: FinishedSpan) {
        self.0.lock().unwrap().push(span);
    }
}

impl Recorded {
    fn all(&self) -> Vec<FinishedSpan> {
        self.0.lock().unwrap().clone()
    }

    fn one(&self, name: &str) -> FinishedSpan {
        let named: Vec<_> = self.all().into_iter().filter(|span| span.name == name).collect();
        assert_eq!(named.len(), 1, "{name}: {:?}", self.all());
        named.into_iter().next().unwrap()
    }
}

fn of<'a>(span: &'a FinishedSpan, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn text(span: &FinishedSpan, name: &str) -> String {
    match of(span, name) {
        Some(Value::Text(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

async fn events(engine: &Engine, id: acceptd::OperationId) -> Vec<StoredEvent> {
    engine.store().chain(id).await.unwrap().events
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_one_trace_over_a_restart_although_nobody_records() {
    let store = memory();
    let whole = || rest().into_iter().fold(on(&store).consumer(first()), acceptd::Acceptd::consumer);
    let engine = whole().start().await.unwrap();
    engine.pause("announce", None, "test", "in the middle of the chain").await.unwrap();
    let id = accept(&engine, start("m1")).await;
    eventually(async || (events(&engine, id).await.len() == 2).then_some(())).await;
    engine.shut_down(Duration::from_secs(5)).await;

    let again = whole().start().await.unwrap();
    again.resume("announce").await.unwrap();
    end(&again, id).await;
    again.shut_down(Duration::from_secs(5)).await;
    let events = events(&again, id).await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.trace().trace.as_bytes() == id.as_bytes()));
    let spans: BTreeSet<_> = events.iter().map(|event| event.trace().span).collect();
    assert_eq!(spans.len(), 3);
    assert!(events.iter().all(|event| event.draft.extensions.is_empty()), "nothing more is stored");
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_request_goes_on_through_the_chain() {
    let store = memory();
    let engine = on(&store).consumer(first()).consumer(Consumer::new("announce", announce)).start().await.unwrap();
    let submission = Submission { trace: Some(parent(PARENT)), ..start("m1") };
    let id = accept(&engine, submission).await;
    end(&engine, id).await;
    let chain = engine.store().chain(id).await.unwrap();
    assert_eq!(chain.events[0].draft.extensions[TRACEPARENT], PARENT);
    for (event, delivery) in chain.events.iter().zip(&chain.deliveries) {
        let following = chain.events.iter().find(|one| one.cause.as_deref() == Some(&event.id())).unwrap();
        assert_eq!(following.draft.trace(), Some(event.trace().of_attempt(delivery)));
        assert_eq!(following.draft.extensions[TRACESTATE], "vendor=1");
    }
    assert_eq!((chain.events.len(), chain.deliveries.len()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn every_step_is_a_span_in_its_place() {
    let sink = Arc::new(Recorded::default());
    let builder = on(&memory()).spans(Arc::clone(&sink) as Arc<dyn SpanSink>).consumer(first());
    let engine = rest().into_iter().fold(builder, acceptd::Acceptd::consumer).start().await.unwrap();
    let id = accept(&engine, Submission { trace: Some(parent(PARENT)), ..start("m1") }).await;
    end(&engine, id).await;
    eventually(async || (sink.all().len() == 9).then_some(())).await;
    let chain = engine.store().chain(id).await.unwrap();
    let mut before = parent(PARENT);
    for (event, delivery) in chain.events.iter().zip(&chain.deliveries) {
        let kind = &event.draft.kind;
        let send = sink.one(&format!("send {kind}"));
        assert_eq!((send.kind, send.parent.as_ref(), send.links.len()), (SpanKind::Producer, Some(&before), 0));
        assert_eq!(send.context, event.trace(), "an event was created where it was sent");
        let process = sink.one(&format!("process {kind}"));
        assert_eq!((process.kind, process.parent.as_ref()), (SpanKind::Consumer, Some(&send.context)));
        assert_eq!((process.links.as_slice(), process.error.as_deref()), ([send.context].as_slice(), None));
        assert_eq!(text(&process, attribute::CONSUMER), delivery.consumer);
        assert_eq!(text(&process, attribute::MESSAGE), event.id());
        assert_eq!(text(&process, attribute::CONVERSATION), id.to_string());
        assert_eq!(of(&process, attribute::ATTEMPT), Some(&Value::Number(1)));
        let settle = sink.one(&format!("settle {kind}"));
        assert_eq!((settle.kind, settle.parent.as_ref()), (SpanKind::Client, Some(&process.context)));
        assert!(process.start <= settle.start && settle.end <= process.end);
        before = process.context;
    }
    for span in sink.all() {
        assert_eq!((span.context.trace, span.context.state()), (parent(PARENT).trace, Some("vendor=1")));
        let name = span.name.replace(text(&span, attribute::DESTINATION).as_str(), "<type>");
        let known = SPANS.iter().find(|known| known.name == name && known.kind == span.kind).unwrap();
        assert!(span.attributes.iter().all(|(name, _)| known.attributes.contains(name)), "{span:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_trace_of_its_own_an_operation_is_the_trace() {
    let sink = Arc::new(Recorded::default());
    let engine = on(&memory()).spans(Arc::clone(&sink) as Arc<dyn SpanSink>).consumer(first()).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    end(&engine, id).await;
    eventually(async || (sink.all().len() == 4).then_some(())).await;
    assert!(sink.all().iter().all(|span| span.context.trace.as_bytes() == id.as_bytes()));
    let roots: Vec<_> = sink.all().into_iter().filter(|span| span.parent.is_none()).map(|span| span.name).collect();
    assert_eq!(roots, ["send machine.start"]);
    assert_eq!(sink.one("send machine.start").context, events(&engine, id).await[0].trace());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_a_span_linked_to_each_of_its_events() {
    let sink = Arc::new(Recorded::default());
    let spans = Arc::clone(&sink) as Arc<dyn SpanSink>;
    let engine = on(&memory()).spans(spans).event("a.b", Default::default()).start().await.unwrap();
    let mut placed = Draft::new("a.b");
    placed.set_trace(&parent(PARENT));
    let drafts = vec![Draft::new("a.b"), placed, Draft::new("a.b")];
    let id = accept(&engine, Submission { events: drafts, ..Submission::default() }).await;
    let send = sink.one("send a.b");
    let places: Vec<_> = events(&engine, id).await.iter().map(StoredEvent::trace).collect();
    assert_eq!((send.kind, &send.links), (SpanKind::Client, &places));
    assert_eq!(of(&send, attribute::BATCH_COUNT), Some(&Value::Number(3)));
    let creates: Vec<_> = sink.all().into_iter().filter(|span| span.name == "create a.b").collect();
    assert!(creates.iter().all(|span| span.kind == SpanKind::Producer));
    let created: Vec<_> = creates.into_iter().map(|span| span.context).collect();
    assert_eq!(created, [places[0].clone(), places[2].clone()], "the other was created by its producer");
    assert_eq!(places[1], parent(PARENT));
}

#[tokio::test(start_paused = true)]
async fn what_a_producer_says_of_its_event_stays() {
    async fn relay(_: Start, context: Context) -> Outcome {
        let mut draft = Draft::new("other.event");
        draft.set_trace(&TraceContext::parse("00-11111111111111111111111111111111-2222222222222222-00", None).unwrap());
        assert_ne!(context.trace(), &context.event().trace());
        Ok(Done { emit: vec![draft], ..Done::default() })
    }
    let sink = Arc::new(Recorded::default());
    let consumer = Consumer::new("relay", relay).emits(["other.event"]);
    let engine = on(&memory()).spans(Arc::clone(&sink) as Arc<dyn SpanSink>).consumer(consumer).start().await.unwrap();
    let mut own = start("m1");
    own.events[0].set_trace(&parent(PARENT));
    let id = accept(&engine, Submission { trace: Some(parent(&PARENT.replace("b7ad", "aaaa"))), ..own }).await;
    end(&engine, id).await;
    let events = events(&engine, id).await;
    assert_eq!(events[0].draft.extensions[TRACEPARENT], PARENT);
    assert_eq!(events[1].trace().to_string(), "00-11111111111111111111111111111111-2222222222222222-00");
    for (name, link) in [("send machine.start", &events[0]), ("send other.event", &events[1])] {
        let send = sink.one(name);
        assert_eq!((send.kind, send.links), (SpanKind::Client, vec![link.trace()]), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_is_not_sampled_goes_on_unrecorded() {
    let sink = Arc::new(Recorded::default());
    let engine = on(&memory()).spans(Arc::clone(&sink) as Arc<dyn SpanSink>).consumer(first()).start().await.unwrap();
    let unsampled = parent(&PARENT.replace("-01", "-00"));
    let id = accept(&engine, Submission { trace: Some(unsampled.clone()), ..start("m1") }).await;
    end(&engine, id).await;
    engine.shut_down(Duration::from_secs(5)).await;
    let events = events(&engine, id).await;
    assert!(events.iter().all(|event| event.trace().trace == unsampled.trace && !event.trace().is_sampled()));
    assert_eq!((events.len(), sink.all()), (2, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_span_with_what_went_wrong() {
    async fn flaky(_: Start, context: Context, State(seen): State<Arc<Mutex<Vec<TraceContext>>>>) -> Outcome {
        seen.lock().unwrap().push(context.trace().clone());
        if context.attempt() < 3 { Err(Fail::retry("flaky", "not yet")) } else { Err(Fail::terminal("broken", "no")) }
    }
    let (sink, seen) = (Arc::new(Recorded::default()), Arc::new(Mutex::new(Vec::new())));
    let engine = on(&memory()).spans(Arc::clone(&sink) as Arc<dyn SpanSink>).state(Arc::clone(&seen));
    let engine = engine.consumer(Consumer::new("flaky", flaky)).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    end(&engine, id).await;
    engine.shut_down(Duration::from_secs(5)).await;
    let attempts: Vec<_> = sink.all().into_iter().filter(|span| span.kind == SpanKind::Consumer).collect();
    let told = attempts.iter().map(|span| (span.error.as_deref().unwrap(), text(span, attribute::OUTCOME)));
    let told: Vec<_> = told.collect();
    let expected = [("flaky", "retry"), ("flaky", "retry"), ("broken", "dead")];
    assert_eq!(told, expected.map(|(error, outcome)| (error, outcome.to_owned())));
    let places: Vec<_> = attempts.into_iter().map(|span| span.context).collect();
    assert_eq!(places, *seen.lock().unwrap(), "a handler is told the place of its span");
    assert!(places[0].span != places[1].span && places[1].span != places[2].span);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_lost_is_told_of_once_and_its_late_end_is_not() {
    async fn slow(_: Start, context: Context) -> Outcome {
        if context.attempt() == 1 {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        Done::new()
    }
    let (store, sink) = (memory(), Arc::new(Recorded::default()));
    let consumer = || Consumer::new("slow", slow);
    let (one, two) = (on(&store).consumer(consumer()), on(&store).consumer(consumer()));
    let one = one.spans(Arc::clone(&sink) as Arc<dyn SpanSink>);
    // It shows so seldom that it lives that the other takes what it runs.
    let seldom = acceptd::Settings { rescue_every: Duration::from_secs(3_600), ..acceptd::Settings::default() };
    let one = one.settings(seldom).start().await.unwrap();
    let id = accept(&one, start("m1")).await;
    eventually(async || (one.store().operation(id).await.unwrap().live[0].fence == 1).then_some(())).await;
    let two = two.spans(Arc::clone(&sink) as Arc<dyn SpanSink>).start().await.unwrap();
    end(&two, id).await;
    eventually(async || sink.all().iter().any(|span| span.error.as_deref() == Some("stale-fence")).then_some(())).await;
    let attempts: Vec<_> = sink.all().into_iter().filter(|span| span.kind == SpanKind::Consumer).collect();
    let outcomes: Vec<_> = attempts.iter().map(|span| text(span, attribute::OUTCOME)).collect();
    assert_eq!(outcomes, ["lost", "done"]);
    assert_eq!(attempts[0].error.as_deref(), Some("lost"));
    assert_ne!(attempts[0].context, attempts[1].context);
}

/// Takes everything over and says no more.
struct Away;

impl Target for Away {
    fn deliver(&self, _: Context) -> Replying<'_> {
        Box::pin(async { Reply::TakenOver(Duration::from_secs(60)) })
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "away", address: "away".to_owned() }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_its_target_took_over_lasts_until_the_target_calls() {
    let sink = Arc::new(Recorded::default());
    let consumer = Consumer::to("away", ["machine.start"], Arc::new(Away));
    let engine = on(&memory()).spans(Arc::clone(&sink) as Arc<dyn SpanSink>).consumer(consumer).start().await.unwrap();
    let id = accept(&engine, start("m1")).await;
    let taken = async || engine.store().operation(id).await.unwrap().live.into_iter().find(|one| one.lease.is_some());
    let delivery = eventually(taken).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(engine.callback(delivery.id, 1, Callback::End(Done::new())).await.unwrap());
    assert!(!engine.callback(delivery.id, 1, Callback::End(Done::new())).await.unwrap());
    let process = sink.one("process machine.start");
    assert_eq!((process.start, text(&process, attribute::OUTCOME)), (delivery.since, "done".to_owned()));
    assert!(process.end.since(process.start) >= Duration::from_secs(20));
    let settles: Vec<_> = sink.all().into_iter().filter(|span| span.name == "settle machine.start").collect();
    assert_eq!(settles.iter().map(|span| span.error.as_deref()).collect::<Vec<_>>(), [None, Some("already-settled")]);
}

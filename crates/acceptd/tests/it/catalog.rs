//! The catalog: what signatures declare, and what is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use acceptd::catalog::{EdgeKind, EdgeState, drift};
use acceptd::consumer::Consumer;
use acceptd::schemars::{self, JsonSchema};
use acceptd::{
    Acceptd, Data, Done, Draft, Emits, Engine, ErrorKind, Event, Fail, Level, Limit, NamedLimit, Notice, Notify,
    Outcome, Permits, State, Status, consumer,
};
use serde::{Deserialize, Serialize};

use crate::fixture::{accept, end, inbox, memory, on};

/// Someone bought something.
#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[event(name = "order.placed", version = 2, key = order_id)]
struct OrderPlaced {
    order_id: u64,
}

/// The card paid.
#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event("card.charged")]
struct CardCharged {
    order_id: u64,
}

#[derive(Event, Serialize, Deserialize)]
#[event("card.declined", no_schema)]
struct CardDeclined {
    why: String,
}

struct Stripe;

impl NamedLimit for Stripe {
    const NAME: &'static str = "stripe";
    fn limit() -> acceptd::Result<Limit> {
        Limit::new(Self::NAME).rate("80/s burst 20")
    }
}

#[derive(Clone)]
struct CardClient;

/// Charges the card, once per customer at a time.
#[consumer(limit = Stripe, limit = "orders", lock = "/orderId", retry = 3, timeout = "2m", team = "payments")]
async fn charge_card(
    event: OrderPlaced,
    mut out: Emits<(CardCharged, CardDeclined)>,
    permits: Permits<Stripe>,
    notify: Notify,
    State(_client): State<CardClient>,
) -> Outcome {
    let _permit = permits.acquire("").await?;
    if event.order_id == 13 {
        out.emit(CardDeclined { why: "unlucky".into() });
        notify.tell_as(Level::Warning, "Your card was declined");
    } else {
        out.emit(CardCharged { order_id: event.order_id });
    }
    Done::new()
}

fn shop(app: Acceptd) -> Acceptd {
    app.state(CardClient)
        .limit_of::<Stripe>()
        .limit(Limit::new("orders").concurrency(8))
        .consumer(charge_card::consumer())
}

#[tokio::test(start_paused = true)]
async fn a_signature_says_everything() {
    let catalog = shop(on(&memory())).catalog().unwrap();
    let charge = catalog.consumer("charge-card").unwrap();
    assert_eq!(charge.description.as_deref(), Some("Charges the card, once per customer at a time."));
    assert!(charge.place.as_ref().unwrap().contains("tests/it/catalog.rs:"), "{:?}", charge.place);
    assert_eq!(
        (charge.on.as_slice(), charge.emits.as_slice()),
        (["order.placed".to_owned()].as_slice(), ["card.charged".to_owned(), "card.declined".to_owned()].as_slice())
    );
    assert_eq!(charge.limits, ["charge-card.lock", "orders", "stripe"]);
    assert_eq!(
        (charge.permits.as_slice(), charge.uses.as_slice()),
        (["stripe".to_owned()].as_slice(), ["CardClient".to_owned()].as_slice())
    );
    assert_eq!((charge.max_attempts, charge.timeout_ms, charge.team.as_deref()), (3, 120_000, Some("payments")));
    assert!(charge.notifies);
    let placed = catalog.event("order.placed").unwrap();
    assert_eq!((placed.version, placed.key.as_deref()), (2, Some("/orderId")));
    assert_eq!(placed.description.as_deref(), Some("Someone bought something."));
    assert_eq!(placed.schema.as_ref().unwrap()["properties"]["orderId"]["type"], "integer");
    assert!(catalog.event("card.declined").unwrap().schema.is_none());
    let limits: Vec<_> = catalog.limits.iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(limits, ["orders", "stripe"], "locks are told with their consumers");
}

#[test]
fn a_key_becomes_the_partition_key() {
    let draft = Draft::of(&OrderPlaced { order_id: 7 }).unwrap();
    assert_eq!(draft.extensions["partitionkey"], "7");
    assert!(Draft::of(&CardCharged { order_id: 7 }).unwrap().extensions.is_empty());
}

async fn place(engine: &Engine, order_id: u64) -> Status {
    let submission = acceptd::Submission::of(&OrderPlaced { order_id }).unwrap().owner("u1");
    let id = accept(engine, submission).await;
    end(engine, id).await.status
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_seen() {
    let engine = shop(on(&memory())).start().await.unwrap();
    assert_eq!(place(&engine, 1).await, Status::Succeeded);
    assert_eq!(place(&engine, 13).await, Status::Succeeded);
    let inbox = inbox(&engine, "u1").await;
    assert!(inbox.iter().any(|told| told.title == "Your card was declined" && told.level == Level::Warning));
    let catalog = engine.catalog(1).await.unwrap();
    let counts = |kind: EdgeKind, event: &str| {
        let edge = catalog.edges.iter().find(|edge| edge.kind == kind && edge.event == event).unwrap();
        (edge.state, edge.observed.as_ref().map(|seen| (seen.count, seen.failed)))
    };
    assert_eq!(counts(EdgeKind::Accepts, "order.placed"), (EdgeState::Seen, Some((2, 0))));
    assert_eq!(counts(EdgeKind::Takes, "order.placed"), (EdgeState::Seen, Some((2, 0))));
    assert_eq!(counts(EdgeKind::Emits, "card.charged"), (EdgeState::Seen, Some((1, 0))));
    assert_eq!(counts(EdgeKind::Emits, "card.declined"), (EdgeState::Seen, Some((1, 0))));
    assert_eq!(drift(&catalog).undeclared, [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn failures_and_retries_are_seen() {
    let moody = async |event: CardCharged| match event.order_id {
        1 => Err(Fail::terminal("no", "never")),
        _ => Err(Fail::retry("again", "later")),
    };
    let moody: Consumer = Consumer::new("moody", move |event: CardCharged| async move {
        let outcome: Outcome = moody(event).await;
        outcome
    });
    let engine = on(&memory()).consumer(moody.retry(3)).start().await.unwrap();
    for order_id in [1, 2] {
        let id = accept(&engine, acceptd::Submission::of(&CardCharged { order_id }).unwrap()).await;
        assert_eq!(end(&engine, id).await.status, Status::Failed);
    }
    let catalog = engine.catalog(1).await.unwrap();
    let edge = catalog.edges_of("moody", EdgeKind::Takes).next().unwrap();
    let seen = edge.observed.as_ref().unwrap();
    assert_eq!((seen.count, seen.failed, seen.retried, seen.failure_rate), (2, 2, 2, 1.0));
    assert_eq!(seen.days.len(), 1);
}

async fn undeclared(lets_pass: bool) -> (Status, Vec<String>) {
    let sly =
        |_: CardCharged| async { Ok(Done { emit: vec![Draft::new("secret.sent")], ..Done::default() }) as Outcome };
    let sly = Consumer::new("sly", sly);
    let sly = if lets_pass { sly.let_undeclared_pass() } else { sly };
    let store = memory();
    let engine = on(&store).consumer(sly).start().await.unwrap();
    let id = accept(&engine, acceptd::Submission::of(&CardCharged { order_id: 1 }).unwrap()).await;
    let status = end(&engine, id).await.status;
    // Nothing of this engine's memory is asked: what nobody declared was stored before the end was.
    let seen = store.observed("2000-01-01".parse().unwrap()).await.unwrap();
    let named = seen.iter().filter(|seen| seen.emits == "secret.sent").map(|seen| seen.consumer.clone()).collect();
    let drift = drift(&engine.catalog(1).await.unwrap());
    assert_eq!(drift.undeclared.len(), 1, "{drift:?}");
    assert!(drift.undeclared[0].starts_with("sly emits secret.sent: once"), "{drift:?}");
    (status, named)
}

/// Emits what it does not declare, and counts how often it was asked.
fn sly(asked: &Arc<AtomicU32>) -> Consumer {
    let asked = Arc::clone(asked);
    Consumer::new("sly", move |_: CardCharged| {
        asked.fetch_add(1, Ordering::SeqCst);
        let secret =
            Draft { subject: Some("s".into()), ..Draft::new("secret.sent").data(Data::new(acceptd::JSON, "7")) };
        let notify = Some(Notice { title: "done it".into(), ..Notice::default() });
        async { Ok(Done { emit: vec![secret], notify, ..Done::with("whole")? }) as Outcome }
    })
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_accepted_once_its_events_are_declared() {
    let (store, asked) = (memory(), Arc::new(AtomicU32::new(0)));
    let engine = on(&store).consumer(sly(&asked)).start().await.unwrap();
    let submission = acceptd::Submission::of(&CardCharged { order_id: 1 }).unwrap().owner("u1");
    let id = accept(&engine, submission).await;
    assert_eq!(end(&engine, id).await.status, Status::Failed);
    let delivery = store.chain(id).await.unwrap().deliveries[0].id;
    let early = engine.accept_outcome(delivery).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Conflict);
    assert!(early.message().contains("which it does not declare"), "{early}");
    let drift = drift(&engine.catalog(1).await.unwrap());
    assert!(drift.undeclared[0].starts_with("sly emits secret.sent: once"), "asking is no emit: {drift:?}");
    engine.shut_down(Duration::from_secs(1)).await;

    let declared = sly(&asked).emits(["secret.sent"]);
    let engine = on(&store).consumer(declared).start().await.unwrap();
    engine.accept_outcome(delivery).await.unwrap();
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody was asked again");
    let chain = store.chain(id).await.unwrap();
    let secret = &chain.events[1].draft;
    assert_eq!((secret.kind.as_ref(), secret.subject.as_deref()), ("secret.sent", Some("s")));
    assert_eq!(secret.data.as_ref().unwrap().bytes, "7");
    assert_eq!(store.results(id).await.unwrap()[0].data.bytes, r#""whole""#);
    assert!(inbox(&engine, "u1").await.iter().any(|told| told.title == "done it"));
    assert_eq!(engine.accept_outcome(delivery).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_emit_is_drift_whether_it_is_refused_or_passes() {
    assert_eq!(undeclared(false).await, (Status::Failed, vec!["sly".to_owned()]));
    assert_eq!(undeclared(true).await, (Status::Succeeded, vec!["sly".to_owned()]));
}

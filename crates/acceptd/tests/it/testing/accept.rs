//! Accepting in tests.

use acceptd::testing::{self, Test};
use acceptd::{ErrorKind, Gate};
use serde_json::json;

use super::shop::{Alarm, InvoiceReady, OrderPlaced, Printer, shop};

async fn started() -> Test {
    testing::start(shop(&Printer::default())).await
}

#[tokio::test(start_paused = true)]
async fn owner_delay_and_priority_are_those_of_the_operation() {
    let t = started().await;
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").delay("1h").priority(7).await;
    t.advance("59m").await;
    order.assert_waits_for(Gate::DueTime).assert_waits_for("charge-card");
    assert_eq!(order.waits(), ["starts in 1m at charge-card"]);
    let operation = order.monitor().operation;
    assert_eq!((operation.owner.as_deref(), operation.priority), (Some("u1"), 7));
    t.settle().await;
    order.assert_succeeded();
}

#[tokio::test(start_paused = true)]
async fn several_events_are_one_operation() {
    let t = started().await;
    let alarm = Alarm { title: "more".into() };
    let orders = t.accept_all([OrderPlaced { order: 1 }, OrderPlaced { order: 2 }]).and(alarm);
    let orders = orders.and_json("order.placed", json!({ "order": 3 })).owner("u1").await;
    t.settle().await;
    orders.assert_succeeded();
    assert_eq!(orders.emitted::<InvoiceReady>().len(), 3);
    assert_eq!(t.inbox("u1").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_key_makes_the_same_request_the_same_operation() {
    let t = started().await;
    let first = t.accept(OrderPlaced { order: 7 }).idempotency_key("k").await;
    let again = t.accept(OrderPlaced { order: 7 }).idempotency_key("k").await;
    assert!(first.id() == again.id() && again.is_replay() && !first.is_replay());
    let other = t.accept(OrderPlaced { order: 8 }).idempotency_key("k").refused().await;
    assert_eq!(other.kind(), ErrorKind::KeyReused);
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nothing declares \"order.place\"; did you mean order.placed? (at crates/acceptd/tests")]
async fn what_is_refused_says_why_and_where() {
    started().await.accept_json("order.place", json!({})).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "order.placed is accepted")]
async fn what_is_accepted_was_not_refused() {
    started().await.accept(OrderPlaced { order: 7 }).refused().await;
}

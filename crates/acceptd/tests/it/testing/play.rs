//! What tests let targets do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use acceptd::testing::{self, DoneExt, Test};
use acceptd::{Context, Done, Emits, Fail, Outcome, Status};
use serde_json::{Value, json};

use super::shop::{CardCharged, CardDeclined, InvoiceReady, OrderPlaced, Printer, shipping_shop, shop};

async fn started() -> Test {
    testing::start(shop(&Printer::default())).await
}

#[tokio::test(start_paused = true)]
async fn a_stub_stands_in_for_a_function() {
    let t = started().await;
    t.stub("charge-card", |order: OrderPlaced| {
        Done::new().emit(CardDeclined { order: order.order }).notify("Your card was declined")
    });
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").await;
    t.settle().await;
    order.assert_succeeded().assert_emitted::<CardDeclined>().assert_not_emitted::<CardCharged>();
    assert_eq!(t.inbox("u1").titles(), ["Your card was declined", "order.placed is done"]);
}

#[tokio::test(start_paused = true)]
async fn a_stub_stands_in_for_an_endpoint() {
    let t = testing::start(shipping_shop).await;
    let calls = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&calls);
    t.stub("ship", move |invoice: Value| {
        counts.fetch_add(1, Ordering::SeqCst);
        Done::with(json!({ "parcel": invoice["order"] }))
    });
    let order = t.accept_json("invoice.ready", json!({ "order": 7, "url": "/a" })).await;
    t.settle().await;
    assert_eq!((order.result::<Value>(), calls.load(Ordering::SeqCst)), (json!({ "parcel": 7 }), 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_stands_in_for_a_target_and_takes_its_time() {
    async fn slow(order: OrderPlaced, context: Context, mut out: Emits<(CardDeclined,)>) -> Outcome {
        tokio::time::sleep(Duration::from_secs(40)).await;
        out.emit(CardDeclined { order: order.order + context.attempt() });
        Done::new()
    }
    let t = started().await;
    t.stub_with("charge-card", slow);
    let order = t.accept(OrderPlaced { order: 7 }).await;
    t.advance("39s").await;
    order.assert_status(Status::Running);
    t.settle().await;
    assert_eq!(order.emitted::<CardDeclined>(), [CardDeclined { order: 8 }]);
}

#[tokio::test(start_paused = true)]
async fn outcomes_come_one_after_the_other_and_the_last_one_stays() {
    let t = started().await;
    let fail = || Err(Fail::retry("http-503", "try later"));
    t.stub_sequence("charge-card", [fail(), fail(), Done::with(1), Done::with(2)]);
    let orders = [t.accept(OrderPlaced { order: 1 }).await, {
        t.settle().await;
        t.accept(OrderPlaced { order: 2 }).await
    }];
    t.settle().await;
    let last = t.accept(OrderPlaced { order: 3 }).await;
    t.settle().await;
    orders[0].assert_attempts("charge-card", 3);
    assert_eq!([orders[0].result::<u32>(), orders[1].result(), last.result()], [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_injected_one_an_attempt() {
    let t = started().await;
    (0..3).for_each(|_| t.fail_next("charge-card", Fail::retry("http-503", "try later")));
    let order = t.accept(OrderPlaced { order: 7 }).await;
    t.settle().await;
    order.assert_succeeded().assert_attempts("charge-card", 4);
    t.fail_next("make-invoice", Fail::terminal("no-paper", "there is no paper"));
    let order = t.accept(OrderPlaced { order: 8 }).owner("u1").await;
    t.settle().await;
    order.assert_failed();
    assert_eq!(order.failure().unwrap().code, "no-paper");
    assert_eq!(t.dead_letters()[0].delivery.consumer, "make-invoice");
    order.retry().await;
    t.settle().await;
    order.assert_succeeded();
}

#[tokio::test(start_paused = true)]
async fn a_throttle_pauses_the_consumer_or_its_limits_and_costs_no_attempt() {
    let t = started().await;
    t.throttle_next("alarm", "1m");
    t.throttle_next("make-invoice", "2m");
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").await;
    t.advance("1m").await;
    order.assert_waits_for("press");
    t.advance("61s").await;
    order.assert_waits_for("alarm");
    t.settle().await;
    order.assert_succeeded();
    let attempts = order.attempts("make-invoice");
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn no_test_calls_the_network() {
    let t = testing::start(shipping_shop).await;
    let order = t.accept(InvoiceReady { order: 7, url: "/a".into() }).await;
    t.settle().await;
    order.assert_failed();
    assert_eq!(
        order.failure().unwrap().message,
        "a test calls nobody, and the target of ship is http at https://example.com/ship: \
         stand in for it with t.stub(\"ship\", ..)"
    );
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no consumer is named \"charge-cart\"; did you mean charge-card?")]
async fn a_consumer_that_is_not_there_is_named_with_the_nearest() {
    started().await.fail_next("charge-cart", Fail::retry("a", "b"));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no limit is named \"strip\"; did you mean stripe?")]
async fn a_limit_that_is_not_there_is_named_with_the_nearest() {
    started().await.throttle_limit_next("charge-card", "strip", "1s");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "\"1 minute\" is not a duration such as 250ms, 30s, 5m, 1h30m or 7d")]
async fn a_duration_that_is_none_is_told() {
    started().await.throttle_next("charge-card", "1 minute");
}

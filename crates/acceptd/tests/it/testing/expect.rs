//! Expectations: each is disappointed when it should be, with the story.

use acceptd::testing::{self, Test, TestOperation};
use acceptd::{Event, Gate, Status};

use super::shop::{CardCharged, CardDeclined, OrderPlaced, Printer, shop};

async fn ordered() -> (Test, TestOperation) {
    let t = testing::start(shop(&Printer::default())).await;
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").await;
    t.settle().await;
    (t, order)
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the operation is succeeded, not failed\n\norder.placed")]
async fn a_status_that_is_another() {
    ordered().await.1.assert_failed();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the operation is succeeded, not canceled")]
async fn an_operation_that_nobody_canceled() {
    ordered().await.1.assert_canceled();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the chain did not emit card.declined, but card.charged, ")]
async fn an_event_that_was_not_emitted() {
    ordered().await.1.assert_emitted::<CardDeclined>();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the chain did not emit order.placed, but card.charged, ")]
async fn a_root_event_is_not_emitted() {
    ordered().await.1.assert_emitted::<OrderPlaced>();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the chain emitted card.charged")]
async fn an_event_that_was_emitted() {
    ordered().await.1.assert_not_emitted::<CardCharged>();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the operation does not wait for stripe: it waits for nothing")]
async fn a_wait_that_is_none() {
    ordered().await.1.assert_waits_for("stripe");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the operation does not wait for gate Pause: it starts in 1h at charge-card")]
async fn a_wait_at_another_gate() {
    let (t, _) = ordered().await;
    t.accept(OrderPlaced { order: 8 }).delay("1h").await.assert_waits_for(Gate::Pause);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "charge-card ended 1 attempts, not 2")]
async fn attempts_that_are_not_so_many() {
    ordered().await.1.assert_attempts("charge-card", 2);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the operation has no result")]
async fn a_result_that_is_not_there() {
    let t = testing::start(shop(&Printer::default())).await;
    t.accept(CardCharged { order: 7 }).await.result::<u32>();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the result: the data does not fit")]
async fn a_result_of_another_type() {
    ordered().await.1.result::<String>();
}

#[tokio::test(start_paused = true)]
async fn progress_is_seen_while_it_lasts() {
    let t = testing::start(shop(&Printer::default())).await;
    let invoice = t.accept(CardCharged { order: 7 }).await;
    t.advance("160ms").await;
    let progress = invoice.progress("make-invoice").unwrap();
    assert_eq!((progress.done, progress.total, progress.message.as_deref()), (1, 2, Some("rendering")));
    assert_eq!(invoice.monitor().percent, 50);
    t.settle().await;
    assert_eq!(invoice.progress("make-invoice").unwrap().message.as_deref(), Some("uploading"));
}

#[tokio::test(start_paused = true)]
async fn a_canceled_operation_ends_and_its_story_says_so() {
    let t = testing::start(shop(&Printer::default())).await;
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").delay("1h").await;
    order.cancel().await;
    t.settle().await;
    order.assert_canceled().assert_status(Status::Canceled).assert_attempts("charge-card", 0);
    assert_eq!(t.inbox("u1").titles(), ["order.placed was canceled"]);
    assert!(order.story().contains(OrderPlaced::TYPE), "{}", order.story());
}

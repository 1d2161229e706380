//! Settling: runs to the end whatever can end, and says what can't and why.

use std::time::Duration;

use acceptd::testing::{self, Test};
use acceptd::{Acceptd, Fail, Gate};

use super::shop::{Alarm, CardCharged, CardDeclined, InvoiceReady, OrderPlaced, Printer, hanging_shop, shop};

async fn started() -> Test {
    testing::start(shop(&Printer::default())).await
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_to_its_notification() {
    let t = started().await;
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").await;
    t.settle().await;
    order.assert_succeeded().assert_emitted::<InvoiceReady>().assert_not_emitted::<CardDeclined>();
    assert_eq!(order.emitted::<CardCharged>(), [CardCharged { order: 7 }]);
    assert_eq!(order.result::<u32>(), 7);
    assert_eq!(t.inbox("u1").titles(), ["Your invoice is at /invoices/7"]);
    assert_eq!(order.attempts("alarm").len(), 1);
    assert!(t.inbox("u2").is_empty() && t.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_moves_time_over_delays_retries_throttles_and_pauses_that_end() {
    let t = started().await;
    let until = t.now() + Duration::from_secs(2 * 3_600);
    t.engine().pause("make-invoice", Some(until), "ops", "a new drum").await.unwrap();
    t.fail_next("charge-card", Fail::retry("http-503", "try later"));
    t.throttle_next("charge-card", "10m");
    let order = t.accept(OrderPlaced { order: 7 }).delay("1h").await;
    t.settle().await;
    order.assert_succeeded().assert_attempts("charge-card", 3);
    assert!(t.now() >= until);
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "settle waits for every operation to end, but 1 operation waits because ops paused consumer \
                           make-invoice: a new drum"
)]
async fn a_pause_without_an_end_is_named() {
    let t = started().await;
    t.engine().pause("make-invoice", None, "ops", "a new drum").await.unwrap();
    t.accept(OrderPlaced { order: 7 }).await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "└─ ✓ charge-card done, ran 0s, result 1 B")]
async fn what_is_stuck_tells_its_story() {
    let t = started().await;
    t.engine().pause("make-invoice", None, "ops", "a new drum").await.unwrap();
    t.accept(OrderPlaced { order: 7 }).await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "to end, but 1 operation waits for limit press, which ops paused: no paper")]
async fn a_limit_that_is_paused_without_an_end_is_named() {
    let t = started().await;
    t.engine().pause_limit("press", None, None, "ops", "no paper").await.unwrap();
    t.accept(OrderPlaced { order: 7 }).await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "to end, but 1 operation waits for a consumer: nobody takes card.declined")]
async fn an_event_that_nobody_takes_is_named() {
    let t = testing::start(|app: Acceptd| app.event_of::<CardDeclined>()).await;
    t.accept(CardDeclined { order: 7 }).await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stuck_does_not_keep_others_from_their_end() {
    let t = started().await;
    t.engine().pause("alarm", None, "ops", "").await.unwrap();
    t.fail_next("charge-card", Fail::retry("http-503", "try later"));
    let alarm = t.accept(Alarm { title: "stays".into() }).await;
    let order = t.accept(OrderPlaced { order: 7 }).await;
    t.advance("10s").await;
    order.assert_succeeded();
    alarm.assert_waits_for(Gate::Pause);
    t.engine().resume("alarm").await.unwrap();
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "that did not happen within 12h: 2 operations have not ended: waits for lock hangs.lock of 7, held by"
)]
async fn a_lock_that_is_never_given_back_ends_at_the_horizon() {
    let t = testing::start(hanging_shop).await;
    t.horizon("12h");
    t.accept(InvoiceReady { order: 7, url: "/a".into() }).await;
    t.advance("1s").await;
    t.accept(InvoiceReady { order: 7, url: "/b".into() }).await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "that did not happen within 7d: an attempt of 1 operation runs")]
async fn without_another_word_the_horizon_is_a_week() {
    let t = testing::start(hanging_shop).await;
    t.accept(InvoiceReady { order: 7, url: "/a".into() }).await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "something runs again and again and no time passes")]
async fn what_never_rests_is_found() {
    let t = started().await;
    t.stub("charge-card", |_: OrderPlaced| Err::<(), _>(Fail::snooze(Duration::ZERO)));
    t.accept(OrderPlaced { order: 7 }).await;
    t.settle().await;
}

#[tokio::test]
#[should_panic(expected = "write #[tokio::test(start_paused = true)]")]
async fn time_that_is_not_paused_is_found() {
    started().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the program does not start: consumer make-invoice: it needs State<")]
async fn a_program_that_does_not_start_says_why() {
    use acceptd::Consumer;
    testing::start(|app: Acceptd| app.consumer(Consumer::new("make-invoice", super::shop::make_invoice))).await;
}

//! Crashes: like real ones, wherever they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptd::delivery::Ending;
use acceptd::testing::{self, CrashAt};
use acceptd::{Acceptd, Consumer, Done, Outcome, State};

use super::shop::{CardCharged, InvoiceReady, OrderPlaced, Printer, shop};

/// Where the invoice's attempt may crash, how many attempts there are then, and how often each step is done.
const POINTS: [(CrashAt, usize, [u32; 2]); 9] = [
    (CrashAt::Start, 2, [1, 1]),
    (CrashAt::BeforeStep("render"), 2, [1, 1]),
    (CrashAt::Step("render"), 2, [2, 1]),
    (CrashAt::AfterStep("render"), 2, [1, 1]),
    (CrashAt::BeforeStep("upload"), 2, [1, 1]),
    (CrashAt::Step("upload"), 2, [1, 2]),
    (CrashAt::AfterStep("upload"), 2, [1, 1]),
    (CrashAt::End, 2, [1, 1]),
    (CrashAt::Settled, 1, [1, 1]),
];

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_wherever_it_crashes_and_remembered_steps_run_once() {
    for (at, attempts, steps) in POINTS {
        let printer = Printer::default();
        let t = testing::start(shop(&printer)).await;
        let order = t.accept(OrderPlaced { order: 7 }).owner("u1").await;
        t.crash_at("make-invoice", at).await;
        t.restart().await;
        let restarted = t.now();
        t.settle().await;
        order.assert_succeeded().assert_attempts("make-invoice", attempts).assert_attempts("charge-card", 1);
        assert_eq!(printer.counts(), steps, "{at}");
        assert_eq!(order.emitted::<InvoiceReady>().len(), 1, "{at}");
        assert_eq!(t.inbox("u1").titles(), ["Your invoice is at /invoices/7"], "{at}");
        assert!(t.now().since(restarted) < Duration::from_secs(20), "{at}: a crash costs seconds");
        let endings: Vec<_> = order.attempts("make-invoice").iter().map(|attempt| attempt.ending).collect();
        assert_eq!(endings[..attempts - 1], [Ending::Lost][..attempts - 1], "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn crashes_follow_one_another_on_the_way() {
    let printer = Printer::default();
    let t = testing::start(shop(&printer)).await;
    let order = t.accept(OrderPlaced { order: 7 }).owner("u1").await;
    for (at, ..) in POINTS {
        t.crash_at("make-invoice", at).await;
        t.restart().await;
    }
    t.settle().await;
    order.assert_succeeded().assert_attempts("make-invoice", POINTS.len());
    assert_eq!(printer.counts(), [2, 2], "each step was done once more because a crash came before it was remembered");
    assert_eq!(t.inbox("u1").titles(), ["Your invoice is at /invoices/7"]);
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// How many attempts began, how many were dropped, and how many came to their end.
#[derive(Clone, Default)]
struct Seen([Arc<AtomicUsize>; 3]);

impl Seen {
    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|index: usize| self.0[index].load(Ordering::SeqCst))
    }
}

async fn sleeps(_: OrderPlaced, State(Seen([began, dropped, ended])): State<Seen>) -> Outcome {
    began.fetch_add(1, Ordering::SeqCst);
    let _dropped = Dropped(dropped);
    tokio::time::sleep(Duration::from_secs(30)).await;
    ended.fetch_add(1, Ordering::SeqCst);
    Done::new()
}

fn sleepy(seen: &Seen) -> impl Fn(Acceptd) -> Acceptd + use<> {
    let seen = seen.clone();
    move |app| app.state(seen.clone()).consumer(Consumer::new("sleeps", sleeps).concurrency(3).retry(3))
}

#[tokio::test(start_paused = true)]
async fn a_crash_drops_every_handler_and_changes_nothing_afterwards() {
    let seen = Seen::default();
    let t = testing::start(sleepy(&seen)).await;
    let orders = t.accept_all((0..5).map(|order| OrderPlaced { order })).await;
    t.advance("29s").await;
    t.crash().await;
    assert_eq!(seen.counts(), [3, 3, 0]);
    let before = format!("{:?}", orders.chain());
    t.advance("1d").await;
    assert_eq!(format!("{:?}", orders.chain()), before);
    assert_eq!(seen.counts(), [3, 3, 0]);
    t.restart().await;
    t.settle().await;
    orders.assert_succeeded().assert_attempts("sleeps", 8);
    assert_eq!(seen.counts(), [8, 8, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_amid_claimed_deliveries_starts_none_of_the_others() {
    let seen = Seen::default();
    let t = testing::start(sleepy(&seen)).await;
    let orders = t.accept_all((0..3).map(|order| OrderPlaced { order })).await;
    t.crash_at("sleeps", CrashAt::Start).await;
    t.advance("1h").await;
    assert_eq!(seen.counts(), [0, 0, 0]);
    t.restart().await;
    t.settle().await;
    orders.assert_succeeded();
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_node_that_crashed_runs_out_first() {
    let seen = Seen::default();
    let t = testing::start(sleepy(&seen)).await;
    let order = t.accept(OrderPlaced { order: 7 }).await;
    t.advance("1s").await;
    t.crash().await;
    t.restart().await;
    t.advance("9s").await;
    assert_eq!(seen.counts()[0], 1, "the lease is 10 s");
    t.advance("6s").await;
    assert_eq!(seen.counts()[0], 2);
    t.settle().await;
    order.assert_succeeded();
    assert_eq!(order.attempts("sleeps")[0].ending, Ending::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_restart_without_a_crash_is_a_deploy_and_costs_no_attempt() {
    let seen = Seen::default();
    let t = testing::start(sleepy(&seen)).await;
    let order = t.accept(OrderPlaced { order: 7 }).await;
    t.advance("1s").await;
    t.restart().await;
    t.settle().await;
    order.assert_succeeded().assert_attempts("sleeps", 1);
    let invoice = t.accept(OrderPlaced { order: 8 }).await;
    t.settle().await;
    invoice.assert_succeeded();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "crash_at waits for make-invoice to come to step uplod, but nothing is left to run")]
async fn a_point_that_nobody_comes_to_is_told() {
    let t = testing::start(shop(&Printer::default())).await;
    t.accept(CardCharged { order: 7 }).await;
    t.crash_at("make-invoice", CrashAt::Step("uplod")).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the engine has crashed: call restart first")]
async fn after_a_crash_nothing_settles() {
    let t = testing::start(shop(&Printer::default())).await;
    t.accept(OrderPlaced { order: 7 }).await;
    t.crash().await;
    t.settle().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the engine has crashed: call restart first")]
async fn after_a_crash_nothing_is_accepted() {
    let t = testing::start(shop(&Printer::default())).await;
    t.crash().await;
    t.accept(OrderPlaced { order: 7 }).await;
}

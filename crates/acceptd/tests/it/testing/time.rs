//! Virtual time: exact, in order, and cheap.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptd::testing::{self, CrashAt, Test};
use acceptd::{Acceptd, Consumer, Context, Done, Fail, Gate, Limit, Outcome, State, Timestamp};

use super::shop::{CardCharged, OrderPlaced, Printer, shop};

type Log = Arc<Mutex<Vec<(u32, Timestamp)>>>;

async fn logs(order: OrderPlaced, context: Context, State(log): State<Log>) -> Outcome {
    log.lock().unwrap().push((order.order, context.now()));
    Done::new()
}

async fn logging(log: &Log, limit: Limit) -> Test {
    let log = Arc::clone(log);
    let app = move |app: Acceptd| {
        let consumer = Consumer::new("logs", logs).limit("slow");
        app.state(Arc::clone(&log)).limit(limit.clone()).consumer(consumer)
    };
    testing::start(app).await
}

#[tokio::test(start_paused = true)]
async fn a_test_starts_on_new_years_day_and_time_moves_by_as_much_as_it_is_told() {
    let t = logging(&Log::default(), Limit::new("slow")).await;
    assert_eq!(t.now().to_string(), "2026-01-01T00:00:00.000Z");
    t.advance("29s").await;
    t.advance(Duration::from_millis(1)).await;
    assert_eq!(t.now().to_string(), "2026-01-01T00:00:29.001Z");
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_on_the_way_runs_in_order_and_at_its_time() {
    let log = Log::default();
    let t = logging(&log, Limit::new("slow")).await;
    let start = t.now();
    for (order, delay) in [(3, "3m"), (1, "1m"), (4, "4m"), (2, "2m")] {
        t.accept(OrderPlaced { order }).delay(delay).await;
    }
    t.advance("3m").await;
    let seen = log.lock().unwrap().clone();
    assert_eq!(seen.iter().map(|(order, _)| *order).collect::<Vec<_>>()[..2], [1, 2]);
    for (order, at) in seen {
        let late = at.since(start + Duration::from_secs(60 * u64::from(order)));
        assert!(late <= Duration::from_millis(2), "order {order} was {late:?} late");
    }
    t.advance("2ms").await;
    assert_eq!(log.lock().unwrap().len(), 3);
    t.settle().await;
    assert_eq!(log.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_in_virtual_time() {
    let log = Log::default();
    let t = logging(&log, Limit::new("slow").rate("1/m").unwrap()).await;
    let orders = t.accept_all((0..5).map(|order| OrderPlaced { order })).await;
    t.advance("30s").await;
    orders.assert_waits_for("slow").assert_waits_for(Gate::Limit);
    assert!(orders.waits()[0].starts_with("waits for limit slow (1/m): next in line, about "), "{:?}", orders.waits());
    t.settle().await;
    let starts: Vec<_> = log.lock().unwrap().iter().map(|(_, at)| *at).collect();
    assert!(starts.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_millis(59_990)), "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_limit_waits_to_the_second() {
    let t = testing::start(shop(&Printer::default())).await;
    t.throttle_limit_next("charge-card", "stripe", "30s");
    let order = t.accept(OrderPlaced { order: 7 }).await;
    t.advance("29s").await;
    order.assert_waits_for("stripe");
    assert!(order.waits()[0].contains("limit stripe, which target paused until 2026-01-01T00:00:30.00"));
    t.advance("2s").await;
    order.assert_succeeded();
}

#[tokio::test(start_paused = true)]
async fn virtual_days_are_cheap() {
    let t = testing::start(shop(&Printer::default())).await;
    t.engine().pause("alarm", None, "ops", "").await.unwrap();
    let order = t.accept(OrderPlaced { order: 7 }).delay("3d").await;
    let began = std::time::Instant::now();
    t.advance("4d").await;
    order.assert_succeeded();
    let took = began.elapsed() / 4;
    println!("a virtual day took {took:?}");
    // About 0.4 s in a debug build; a loop that ticks several times a second makes ten of it.
    assert!(took < Duration::from_secs(4), "a virtual day took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_test_tells_the_same_story_each_time() {
    let mut stories = Vec::new();
    for _ in 0..5 {
        let t = testing::start(shop(&Printer::default())).await;
        (0..4).for_each(|_| t.fail_next("charge-card", Fail::retry("http-503", "try later")));
        let orders = t.accept_all((0..3).map(|order| OrderPlaced { order })).owner("u1").await;
        t.advance("1s").await;
        t.crash().await;
        t.restart().await;
        t.fail_next("make-invoice", Fail::retry("jam", "paper jam"));
        t.settle().await;
        stories.push(orders.story());
    }
    assert!(stories[0].contains("paper jam"), "{}", stories[0]);
    assert!(stories.windows(2).all(|pair| pair[0] == pair[1]), "{stories:#?}");
}

/// What a test says of a retry, a crash and a throttle, each time it runs, on each machine.
const STORY: &str = "\
card.charged succeeded, 11s = waiting 0% / running 94% / backing off 6%
owner u1
waited 1m for the due time at alarm
waited 691ms for the due time at make-invoice
card.charged (11 B)
└─ ✓ make-invoice done, backed off 691ms, ran 10s, attempt 3 of 20
   ├─ attempt 1 failed, ran 0s: jam: paper jam
   ├─ attempt 2 lost, backed off 691ms, ran 10s: lost: whoever ran this attempt went away without ending it
   ├─ attempt 3 done, ran 200ms
   ├─ alarm.create (42 B)
   │  └─ ✓ alarm done, throttled 1m, ran 0s
   │     ├─ attempt 1 throttled, ran 0s: throttled: the test throttles it
   │     └─ attempt 1 done, throttled 1m, ran 0s
   └─ invoice.ready (31 B) nobody takes it";

#[tokio::test(start_paused = true)]
async fn a_story_fits_a_snapshot() {
    let t = testing::start(shop(&Printer::default())).await;
    t.fail_next("make-invoice", Fail::retry("jam", "paper jam"));
    t.throttle_next("alarm", "1m");
    let invoice = t.accept(CardCharged { order: 7 }).owner("u1").await;
    t.crash_at("make-invoice", CrashAt::Step("upload")).await;
    t.restart().await;
    t.settle().await;
    assert_eq!(invoice.story(), STORY);
}

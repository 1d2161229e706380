//! Limits with names: rates, slots, locks, turns, order, and what a throttled target means for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptd::consumer::Consumer;
use acceptd::{
    Acceptd, Context, Done, Fail, FailExt as _, Gate, Limit, Limits, Outcome, State, Status, Submission, Timestamp,
};
use tokio::time::Instant;

use crate::fixture::{Start, accept, end, eventually, memory, on, start};

/// An event's name, when its handler started, and when it ended.
type Row = (String, Instant, Option<Instant>);

/// When each event started and ended.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Vec<Row>>>);

impl Ledger {
    fn enter(&self, name: &str) -> usize {
        let mut rows = self.0.lock().unwrap();
        rows.push((name.to_owned(), Instant::now(), None));
        rows.len() - 1
    }

    fn leave(&self, row: usize) {
        self.0.lock().unwrap()[row].2 = Some(Instant::now());
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|row| row.0.clone()).collect()
    }

    fn starts(&self) -> Vec<Instant> {
        self.0.lock().unwrap().iter().map(|row| row.1).collect()
    }

    fn most_at_once(&self) -> usize {
        let rows = self.0.lock().unwrap();
        let during = |at| rows.iter().filter(|row| row.1 <= at && row.2.is_none_or(|end| end > at)).count();
        rows.iter().map(|row| during(row.1)).max().unwrap_or(0)
    }
}

async fn works(event: Start, State(ledger): State<Ledger>) -> Outcome {
    let row = ledger.enter(&event.name);
    tokio::time::sleep(Duration::from_millis(300)).await;
    ledger.leave(row);
    Done::new()
}

fn engine(ledger: &Ledger, limit: Limit, consumer: Consumer) -> Acceptd {
    on(&memory()).state(ledger.clone()).limit(limit).consumer(consumer)
}

#[tokio::test(start_paused = true)]
async fn starts_keep_the_rate() {
    let ledger = Ledger::default();
    let limit = Limit::new("api").rate("5/s").unwrap();
    let engine = engine(&ledger, limit, Consumer::new("works", works).limit("api")).start().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(accept(&engine, start(&number.to_string())).await);
    }
    for id in ids {
        assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    }
    let starts = ledger.starts();
    for pair in starts.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(200), "{:?}", pair[1] - pair[0]);
    }
    let all = starts[19] - starts[0];
    assert!(all < Duration::from_millis(19 * 200 * 105 / 100), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_lets_one_of_a_key_run_and_others_go_on() {
    let ledger = Ledger::default();
    let consumer = Consumer::new("works", works).lock("/name");
    let engine = engine(&ledger, Limit::new("unused"), consumer).start().await.unwrap();
    let held: Vec<_> = vec![accept(&engine, start("a")).await, accept(&engine, start("a")).await];
    let other = accept(&engine, start("b")).await;
    let waiting = eventually(async || engine.monitor(held[1]).await.unwrap().waiting_on.pop()).await;
    let waiting = match waiting.gate {
        Gate::Lock => waiting,
        _ => {
            eventually(async || {
                engine.monitor(held[1]).await.unwrap().waiting_on.pop().filter(|w| w.gate == Gate::Lock)
            })
            .await
        }
    };
    assert_eq!(waiting.holder.as_ref().unwrap().operation, held[0]);
    assert!(waiting.message.starts_with("waits for lock works.lock of a, held by operation"), "{}", waiting.message);
    for id in held.into_iter().chain([other]) {
        end(&engine, id).await;
    }
    assert_eq!(ledger.names(), ["a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn slots_are_shared_by_consumers() {
    let ledger = Ledger::default();
    let limit = Limit::new("api").concurrency(2);
    let engine = engine(&ledger, limit, Consumer::new("one", works).limit("api"));
    let engine = engine.consumer(Consumer::new("two", works).limit("api")).start().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(accept(&engine, start(&number.to_string())).await);
    }
    for id in ids {
        end(&engine, id).await;
    }
    assert_eq!((ledger.most_at_once(), ledger.names().len()), (2, 20));
}

#[tokio::test(start_paused = true)]
async fn owners_take_turns() {
    let ledger = Ledger::default();
    let limit = Limit::new("api").concurrency(1);
    let engine = engine(&ledger, limit, Consumer::new("works", works).limit("api")).start().await.unwrap();
    for number in 0..50 {
        let batch = Submission { owner: Some("many".into()), ..start(&number.to_string()) };
        accept(&engine, batch).await;
    }
    let single = Submission { owner: Some("one".into()), ..start("single") };
    let id = accept(&engine, single).await;
    end(&engine, id).await;
    assert!(ledger.names().len() <= 3, "{:?}", ledger.names());
}

#[tokio::test(start_paused = true)]
async fn an_ordered_consumer_keeps_the_order_also_while_its_head_is_tried_again() {
    async fn stumbles(event: Start, context: Context, State(ledger): State<Ledger>) -> Outcome {
        if event.name == "1" && context.attempt() < 3 {
            return Err(Fail::retry("stumbled", "again"));
        }
        let row = ledger.enter(&event.name);
        ledger.leave(row);
        Done::new()
    }
    let ledger = Ledger::default();
    let consumer = Consumer::new("stumbles", stumbles).ordered();
    let engine = engine(&ledger, Limit::new("unused"), consumer).start().await.unwrap();
    let mut last = None;
    for number in 0..5 {
        last = Some(accept(&engine, Submission { priority: number, ..start(&number.to_string()) }).await);
    }
    end(&engine, last.unwrap()).await;
    assert_eq!(ledger.names(), ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_pauses_its_limit_and_only_its_key() {
    async fn throttles(event: Start, context: Context, State(ledger): State<Ledger>) -> Outcome {
        ledger.enter(&event.name);
        if event.name == "a" && context.fence() == 1 {
            let until = Timestamp::from_micros(context.deadline().as_micros());
            Err(Fail::retry("http-429", "slow down")).throttled("api", until)?;
        }
        Done::new()
    }
    let ledger = Ledger::default();
    let limit = Limit::new("api").key("/name").unwrap();
    let consumer = Consumer::new("throttles", throttles).limit("api").timeout("10s");
    let engine = engine(&ledger, limit, consumer).start().await.unwrap();
    let paused = accept(&engine, start("a")).await;
    let waiting = eventually(async || engine.monitor(paused).await.unwrap().waiting_on.pop()).await;
    let waiting = if waiting.gate == Gate::Capacity {
        eventually(async || engine.monitor(paused).await.unwrap().waiting_on.pop().filter(|w| w.gate != Gate::Capacity))
            .await
    } else {
        waiting
    };
    assert!(matches!(waiting.gate, Gate::Limit | Gate::DueTime), "{waiting:?}");
    let began = Instant::now();
    let other = accept(&engine, start("b")).await;
    end(&engine, other).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(end(&engine, paused).await.status, Status::Succeeded);
    assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_within_a_handler_can_be_held_too() {
    async fn calls(event: Start, limits: Limits, State(ledger): State<Ledger>) -> Outcome {
        let permit = limits.get("api").acquire("").await?;
        let row = ledger.enter(&event.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
        ledger.leave(row);
        drop(permit);
        Done::new()
    }
    let ledger = Ledger::default();
    let limit = Limit::new("api").concurrency(1);
    let engine = engine(&ledger, limit, Consumer::new("calls", calls)).start().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(accept(&engine, start(&number.to_string())).await);
    }
    for id in ids {
        assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    }
    assert_eq!((ledger.most_at_once(), ledger.names().len()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_for_a_call_holds_nothing() {
    async fn calls(_: Start, limits: Limits, State(ledger): State<Ledger>) -> Outcome {
        let api = limits.get("api");
        let first = api.acquire("").await?;
        drop(first);
        // The rate grants the second in 10 s, and it is not waited for.
        let second = tokio::time::timeout(Duration::from_secs(1), api.acquire("")).await;
        assert!(second.is_err());
        // Its slot is free all the same.
        let third = api.acquire("").await?;
        ledger.enter("third");
        drop(third);
        Done::new()
    }
    let ledger = Ledger::default();
    let limit = Limit::new("api").concurrency(1).rate("1/10s").unwrap();
    let engine = engine(&ledger, limit, Consumer::new("calls", calls)).start().await.unwrap();
    let began = Instant::now();
    let id = accept(&engine, start("a")).await;
    assert_eq!(end(&engine, id).await.status, Status::Succeeded);
    assert_eq!(ledger.names(), ["third"]);
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
}

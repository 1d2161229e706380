//! Answers that end nothing yet: 202, with calls that follow; 429 and 503, which pause the consumer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acceptd::delivery::Ending;
use acceptd::engine::Callback;
use acceptd::store::memory::MemoryStore;
use acceptd::{
    Acceptd, Clock as _, Data, DeliveryId, Done, Draft, Engine, ErrorKind, Gate, ManualClock, ProgressReport, Settings,
    Status, SystemClock, Timestamp,
};

use crate::push_receiver::{Receiver, accept, answer, consumer, end, engine, event, until};

/// An engine whose time stands still until it is told, so that leases run out when the test says so.
async fn with_clock(receiver: &Receiver) -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let settings = Settings { rescue_every: Duration::from_millis(5), ..Settings::default() };
    let acceptd = Acceptd::new(Arc::new(MemoryStore::default())).clock(Arc::clone(&clock) as _).settings(settings);
    (acceptd.consumer(consumer(receiver.push())).start().await.unwrap(), clock)
}

fn about(subject: &str) -> Draft {
    Draft { subject: Some(subject.to_owned()), ..event() }
}

/// The requests about a subject: delivery and fence of each.
fn requests(receiver: &Receiver, subject: &str) -> Vec<(DeliveryId, u64)> {
    let seen = receiver.seen();
    let about = seen.iter().filter(|seen| seen.header("ce-subject") == subject);
    about
        .map(|seen| (seen.header("acceptd-delivery").parse().unwrap(), seen.header("acceptd-fence").parse().unwrap()))
        .collect()
}

async fn lease(engine: &Engine, delivery: DeliveryId) -> Option<Timestamp> {
    engine.store().delivery(delivery).await.unwrap().delivery.lease
}

#[tokio::test]
async fn heartbeats_keep_what_was_taken_over_and_silence_loses_it() {
    let receiver = Receiver::start(|_, seen| async move {
        let first = seen.header("acceptd-attempt") == "1";
        answer(if first { 202 } else { 204 }, &[], "")
    })
    .await;
    let (engine, clock) = with_clock(&receiver).await;
    let (alive, silent) = (accept(&engine, about("alive")).await, accept(&engine, about("silent")).await);
    until("both requests", async || receiver.seen().len() == 2).await;
    let [(delivery, fence)] = requests(&receiver, "alive")[..] else { panic!("one request") };
    let [(lost, old_fence)] = requests(&receiver, "silent")[..] else { panic!("one request") };
    until("both leases", async || lease(&engine, delivery).await.is_some() && lease(&engine, lost).await.is_some())
        .await;
    assert_eq!(lease(&engine, delivery).await.unwrap().since(engine.now()), Duration::from_secs(30));

    clock.advance(Duration::from_secs(20));
    assert!(engine.callback(delivery, fence, Callback::Heartbeat(None)).await.unwrap());
    clock.advance(Duration::from_secs(20));
    assert_eq!(end(&engine, silent).await.0, Status::Succeeded, "it ran again");
    assert_eq!(requests(&receiver, "silent"), [(lost, old_fence), (lost, old_fence + 1)]);
    let endings: Vec<_> = engine.store().chain(silent).await.unwrap().attempts.iter().map(|a| a.ending).collect();
    assert_eq!(endings, [Ending::Lost, Ending::Done]);

    // The same looks that rescued the other one left this one alone.
    assert_eq!(requests(&receiver, "alive").len(), 1);
    let report = ProgressReport { done: 1, total: 2, message: Some("half way".into()) };
    assert!(engine.callback(delivery, fence, Callback::Progress(report)).await.unwrap());
    assert_eq!(engine.monitor(alive).await.unwrap().message.as_deref(), Some("half way"));
    let done = Done { result: Some(Data::new(acceptd::JSON, "7")), ..Done::default() };
    assert!(engine.callback(delivery, fence, Callback::End(Ok(done.clone()))).await.unwrap());
    assert_eq!(end(&engine, alive).await.0, Status::Succeeded);
    assert_eq!(engine.store().results(alive).await.unwrap()[0].data.bytes, "7");

    let zombie = engine.callback(lost, old_fence, Callback::End(Ok(done.clone()))).await;
    assert_eq!(zombie.unwrap_err().kind(), ErrorKind::StaleFence);
    assert!(!engine.callback(delivery, fence, Callback::End(Ok(done))).await.unwrap(), "twice changes nothing");
}

#[tokio::test]
async fn a_target_chooses_its_lease() {
    let receiver = Receiver::always(202, &[("acceptd-lease", "2h")], "thanks").await;
    let (engine, _clock) = with_clock(&receiver).await;
    accept(&engine, event()).await;
    until("the request", async || receiver.seen().len() == 1).await;
    let delivery = receiver.seen()[0].header("acceptd-delivery").parse().unwrap();
    until("the lease", async || lease(&engine, delivery).await.is_some()).await;
    assert_eq!(lease(&engine, delivery).await.unwrap().since(engine.now()), Duration::from_secs(7_200));
}

#[tokio::test]
async fn a_call_of_a_canceled_delivery_is_told_so() {
    let receiver = Receiver::always(202, &[], "").await;
    let (engine, _clock) = with_clock(&receiver).await;
    let id = accept(&engine, event()).await;
    until("the request", async || receiver.seen().len() == 1).await;
    let delivery = receiver.seen()[0].header("acceptd-delivery").parse().unwrap();
    until("the lease", async || lease(&engine, delivery).await.is_some()).await;
    engine.cancel(id).await.unwrap();
    let late = engine.callback(delivery, 1, Callback::Heartbeat(None)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Canceled);
}

/// A time a minute ahead in the three forms of HTTP: the present one, that of RFC 850, and that of C's asctime.
fn dates() -> [String; 3] {
    let now = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let parts: Vec<_> = now.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let &[weekday, day, month, year, time, _] = &parts[..] else { panic!("{now}") };
    let rest = match weekday {
        "Tue" => "sday",
        "Wed" => "nesday",
        "Thu" => "rsday",
        "Sat" => "urday",
        _ => "day",
    };
    let old = format!("{weekday}{rest}, {day}-{month}-{} {time} GMT", &year[2..]);
    let asctime = format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'));
    [now, old, asctime]
}

#[tokio::test]
async fn each_form_of_retry_after_pauses_the_whole_consumer_and_costs_no_attempt() {
    let [now, old, asctime] = dates();
    let cases =
        [(429, "60".to_owned()), (429, now.clone()), (429, old), (429, asctime), (503, "60".to_owned()), (503, now)];
    for (status, form) in cases {
        let value = form.clone();
        let receiver = Receiver::start(move |number, _| {
            let value = value.clone();
            async move { answer(if number == 0 { status } else { 204 }, &[("retry-after", &value)], "") }
        })
        .await;
        let engine = engine([consumer(receiver.push())]).await;
        let first = accept(&engine, event()).await;
        until("the first attempt's end", async || !engine.store().chain(first).await.unwrap().attempts.is_empty())
            .await;
        let chain = engine.store().chain(first).await.unwrap();
        let (attempt, delivery) = (&chain.attempts[0], &chain.deliveries[0]);
        assert_eq!((attempt.ending, delivery.attempts, delivery.max_attempts), (Ending::Throttled, 0, 8), "{form}");
        let until_end = delivery.due.since(attempt.ended);
        assert!((40..=60).contains(&until_end.as_secs()), "{form}: {until_end:?}");
        let closure = engine.store().consumers(engine.now()).await.unwrap().remove(0).closure.unwrap();
        assert_eq!((closure.gate, closure.until), (Gate::Pause, Some(delivery.due)), "{form}");

        let second = accept(&engine, event()).await;
        let waiting = engine.monitor(second).await.unwrap().waiting_on.remove(0);
        assert_eq!((waiting.gate, waiting.until), (Gate::Pause, Some(delivery.due)), "{}", waiting.message);
        assert_eq!(receiver.seen().len(), 1);
        engine.resume("push").await.unwrap();
        assert_eq!(end(&engine, second).await.0, Status::Succeeded);
    }
}

#[tokio::test]
async fn a_throttled_delivery_goes_on_by_itself_when_the_time_has_come() {
    let receiver = Receiver::start(|number, _| async move {
        answer(if number < 3 { 429 } else { 204 }, &[("retry-after", if number == 0 { "1" } else { "0" })], "")
    })
    .await;
    let engine = engine([consumer(receiver.push()).retry(1)]).await;
    let id = accept(&engine, event()).await;
    assert_eq!(end(&engine, id).await.0, Status::Succeeded, "three throttled attempts of one: none counted");
    let chain = engine.store().chain(id).await.unwrap();
    assert_eq!((chain.attempts.len(), chain.deliveries[0].attempts), (4, 1));
    let pauses: Vec<_> = chain.attempts.windows(2).map(|two| two[1].started.since(two[0].ended).as_millis()).collect();
    assert!(pauses[0] >= 990, "a second: {pauses:?}");
    assert!(pauses[1] >= 90 && pauses[2] >= 90, "not in a tight loop: {pauses:?}");
}

#[tokio::test]
async fn a_throttle_that_says_nothing_usable_lasts_five_seconds_and_a_503_is_no_throttle() {
    for (status, headers) in [(429, &[("retry-after", "soon")][..]), (429, &[]), (503, &[("retry-after", "soon")])] {
        let receiver = Receiver::always(status, headers, "").await;
        let engine = engine([consumer(receiver.push())]).await;
        let id = accept(&engine, event()).await;
        until("the first attempt's end", async || !engine.store().chain(id).await.unwrap().attempts.is_empty()).await;
        let chain = engine.store().chain(id).await.unwrap();
        let (attempt, closed) = (&chain.attempts[0], !chain.closures.is_empty());
        if status == 503 {
            assert_eq!((attempt.ending, closed), (Ending::Retry, false));
        } else {
            let wait = chain.deliveries[0].due.since(attempt.ended);
            assert_eq!((attempt.ending, closed), (Ending::Throttled, true));
            assert!(wait <= Duration::from_secs(5) && wait > Duration::from_secs(2), "{wait:?}");
        }
    }
}

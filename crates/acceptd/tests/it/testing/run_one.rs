//! One attempt of one handler.

use std::time::Duration;

use acceptd::testing::{DoneExt, run_one};
use acceptd::{Context, Done, Fail, Next, Outcome, Progress};

use super::shop::{Alarm, CardCharged, CardDeclined, InvoiceReady, OrderPlaced, Printer, make_invoice};

#[tokio::test(start_paused = true)]
async fn a_handler_by_itself_returns_what_it_emits_and_reports() {
    let printer = Printer::default();
    let attempt = run_one(make_invoice, CardCharged { order: 7 }).state(printer.clone()).await;
    assert_eq!(attempt.emitted::<InvoiceReady>(), [InvoiceReady { order: 7, url: "/invoices/7".into() }]);
    assert_eq!(attempt.emitted::<Alarm>().len(), 1);
    assert!(attempt.emitted::<CardDeclined>().is_empty() && attempt.notice().is_none());
    assert_eq!(attempt.progress.as_ref().unwrap().message.as_deref(), Some("uploading"));
    assert_eq!(printer.counts(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn results_notices_and_owners_are_seen() {
    async fn greets(_: OrderPlaced, context: Context) -> Outcome {
        Done::with(context.owner().map(str::len)).notify("hello")
    }
    let attempt = run_one(greets, OrderPlaced { order: 7 }).owner("u1").await;
    assert_eq!((attempt.result::<usize>(), attempt.notice().unwrap().title.as_str()), (2, "hello"));
}

#[tokio::test(start_paused = true)]
async fn only_one_attempt_is_made() {
    async fn snoozes(_: OrderPlaced, progress: Progress) -> Outcome {
        progress.set(1, 3, "asleep");
        Err(Fail::snooze(Duration::from_secs(9)))
    }
    let attempt = run_one(snoozes, OrderPlaced { order: 7 }).await;
    assert_eq!(attempt.fail().next, Next::Snooze(Duration::from_secs(9)));
    assert_eq!(attempt.progress.unwrap().total, 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_timeout_are_failures() {
    async fn panics(_: OrderPlaced) -> Outcome {
        panic!("out of ink")
    }
    async fn hangs(_: OrderPlaced) -> Outcome {
        std::future::pending().await
    }
    let panicked = run_one(panics, OrderPlaced { order: 7 }).await;
    assert_eq!(panicked.fail().failure.message, "the handler panicked: out of ink");
    assert_eq!(run_one(hangs, OrderPlaced { order: 7 }).await.fail().failure.code, "timeout");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the attempt failed: there is no paper (no-paper)")]
async fn a_failure_has_emitted_nothing() {
    async fn fails(_: OrderPlaced) -> Outcome {
        Err(Fail::terminal("no-paper", "there is no paper"))
    }
    run_one(fails, OrderPlaced { order: 7 }).await.emitted::<Alarm>();
}

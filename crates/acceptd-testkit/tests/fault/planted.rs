//! The harness must fail when there is something to find: each planted bug is caught, and for the right reason.
//!
//! No run proves anything that can't fail. Each bug gets a few short runs, because some need luck to show.

use std::time::Duration;

use acceptd::fault::PLANTED;
use acceptd_testkit::harness::checker::Promise;
use acceptd_testkit::harness::load::Mix;
use acceptd_testkit::harness::world::{Fault, Plan, play};

/// So many runs a bug may hide.
const RUNS: u64 = 3;

async fn is_caught(bug: &'static str, promise: Promise, mix: Mix, faults: Vec<Fault>) {
    assert!(PLANTED.contains(&bug), "{bug} can be planted");
    let seed = acceptd_testkit::harness::seed();
    for run in 0..RUNS {
        let plan = Plan { seed: seed.wrapping_add(run), mix, faults: faults.clone(), planted: Some(bug) };
        let report = play(plan).await;
        println!("planted {bug}: {report}");
        if report.broke(promise) {
            return;
        }
    }
    panic!("{bug} was not caught in {RUNS} runs: the harness proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_commit_is_caught() {
    let faults = vec![Fault::Crash("accept.before-commit", 20); 4];
    is_caught("answer-before-commit", Promise::NothingLost, &[("prompt", 1)], faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_without_fence_is_caught() {
    let faults = vec![Fault::Kill(Duration::from_secs(4))];
    is_caught("settle-without-fence", Promise::Fenced, &[("late", 1)], faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emit_outside_the_transaction_is_caught() {
    let faults = vec![Fault::Crash("settle.after-commit", 10); 4];
    is_caught("emit-outside-transaction", Promise::Whole, &[("prompt", 1)], faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_counted_after_the_start_are_caught() {
    is_caught("attempt-counted-after-start", Promise::Bounded, &[("prompt", 1)], vec![Fault::Poison]).await;
}

//! Twenty consumers, five limits, two hundred keys; the server and the services die and stop, and the clock is set: no
//! service ever sees more than its limits allow, in any window and for any key.
//!
//! A program of its own, in which one run follows the other: the network's jitter is measured to milliseconds, and
//! other tests beside it would be a part of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use acceptd_testkit::harness::limits::world::{Plan, play};
use tokio::sync::Mutex;

/// Held by the run that is going on.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept_whatever_happens() {
    let _alone = ALONE.lock().await;
    let executions = std::env::var("ACCEPTD_FAULT_EXECUTIONS").map_or(8_000, |text| text.parse().expect("a number"));
    let seed = acceptd_testkit::harness::seed();
    // The long run has as many refusals as the short one: each of them pauses what others wait for.
    let refuses = u32::try_from(executions / 40).expect("not that many").max(50);
    let report = play(Plan { seed, executions, refuses, planted: None }).await;
    println!("limits: {report}");
    report.assert_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_bugs_of_limits_are_caught() {
    let _alone = ALONE.lock().await;
    let seed = acceptd_testkit::harness::seed();
    for bug in ["slots-counted", "release-on-rescue"] {
        let mut caught = false;
        for run in 0..3 {
            let seed = seed.wrapping_add(run);
            let report = play(Plan { seed, executions: 6_000, refuses: 1_000, planted: Some(bug) }).await;
            println!("{bug} (planted): {report}");
            // Both lose slots; a start that came too soon would be something else.
            caught = report.excesses.iter().any(|excess| excess.of_slots);
            if caught {
                break;
            }
        }
        assert!(caught, "{bug} was not caught: the harness proves nothing");
    }
}

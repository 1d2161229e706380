//! The server dies again and again, at random moments and at every named point, while clients ask and consumers
//! answer. Nothing that was answered 202 is lost, nothing is torn, nothing is done twice.

use std::time::Duration;

use acceptd::fault::CRASH_POINTS;
use acceptd_testkit::harness::load::Mix;
use acceptd_testkit::harness::world::{DRAINED_WITHIN, Fault, Plan, play};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

const MIX: Mix = &[("prompt", 40), ("slow", 20), ("flaky", 20), ("remote", 18), ("late", 2)];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_server_dies() {
    let cycles = std::env::var("ACCEPTD_FAULT_CYCLES").map_or(20, |text| text.parse().expect("a number"));
    let seed = acceptd_testkit::harness::seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let faults = (0..cycles).map(|number| fault(number, &mut rng)).collect();
    let report = play(Plan { seed, mix: MIX, faults, planted: None, drained_within: DRAINED_WITHIN }).await;
    println!("crash: {report}");
    report.assert_kept();
    assert!(report.median_recovery() < Duration::from_secs(1), "a killed server accepts again within a second");
}

/// Every crash point in turn, random kills between them, now and then one while it starts, a deploy, and an event
/// that kills whoever runs it.
fn fault(number: usize, rng: &mut SmallRng) -> Fault {
    match number % 20 {
        19 => Fault::Poison,
        10 => Fault::Terminate(Duration::from_millis(rng.random_range(20..400))),
        4 | 14 => Fault::KillStarting(Duration::from_millis(rng.random_range(0..80))),
        even if even % 2 == 0 => Fault::Kill(Duration::from_millis(rng.random_range(20..400))),
        _ => Fault::Crash(CRASH_POINTS[number / 2 % CRASH_POINTS.len()], rng.random_range(1..60)),
    }
}

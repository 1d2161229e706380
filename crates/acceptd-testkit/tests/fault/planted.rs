//! The harness must fail when there is something to find: each planted bug is caught, and for the right reason.
//!
//! No run proves anything that can't fail. Each bug gets a few short runs, because some need luck to show.

use std::time::Duration;

use acceptd::fault::PLANTED;
use acceptd_testkit::harness::checker::Promise;
use acceptd_testkit::harness::load::Mix;
use acceptd_testkit::harness::world::{Fault, Plan, Report, play};

/// So many runs a bug may hide.
const RUNS: u64 = 3;

/// What brings a bug to light.
struct Bait {
    bug: &'static str,
    breaks: Promise,
    mix: Mix,
    faults: Vec<Fault>,
}

impl Bait {
    fn of(bug: &'static str) -> Self {
        let (breaks, mix, faults): (_, Mix, _) = match bug {
            "answer-before-commit" => {
                (Promise::NothingLost, &[("prompt", 1)], vec![Fault::Crash("accept.before-commit", 20); 3])
            }
            "settle-without-fence" => (Promise::Fenced, &[("late", 1)], vec![Fault::Kill(Duration::from_secs(3))]),
            "emit-outside-transaction" => {
                (Promise::Whole, &[("prompt", 1)], vec![Fault::Crash("settle.after-commit", 10); 3])
            }
            "attempt-counted-after-start" => (Promise::Bounded, &[("prompt", 1)], vec![Fault::Poison]),
            other => panic!("{other} is planted by nobody's test"),
        };
        Self { bug, breaks, mix, faults }
    }

    async fn run(&self, seed: u64, planted: Option<&'static str>) -> Report {
        let drained_within = Duration::from_secs(if planted.is_some() { 8 } else { 60 });
        let report = play(Plan { seed, mix: self.mix, faults: self.faults.clone(), planted, drained_within }).await;
        println!("{} ({}): {report}", self.bug, planted.map_or("not planted", |_| "planted"));
        report
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_bug_is_caught() {
    let seed = acceptd_testkit::harness::seed();
    // What is missing on the disk shows when the system calls are watched: see `fsync`; what is wrong with limits,
    // where services keep account of their visits: see `tests/limits`.
    let elsewhere = ["commit-without-fsync", "slots-counted", "release-on-rescue"];
    for bait in PLANTED.into_iter().filter(|bug| !elsewhere.contains(bug)).map(Bait::of) {
        // Without the bug the same run keeps every promise: it is the bug that is caught.
        bait.run(seed, None).await.assert_kept();
        let mut caught = false;
        for run in 0..RUNS {
            caught = caught || bait.run(seed.wrapping_add(run), Some(bait.bug)).await.broke(bait.breaks);
        }
        assert!(caught, "{} was not caught in {RUNS} runs: the harness proves nothing", bait.bug);
    }
}

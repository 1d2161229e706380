//! Time: it passes only here, and everything that falls due on the way runs in order.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::Instant;

use crate::Store as _;
use crate::duration::{IntoDuration, format_duration};
use crate::testing::stage::Stage;
use crate::testing::{Caller, Test};

/// Turns of the runtime without a change after which nothing more can run without time.
const QUIET: usize = 32;
/// Changes of the store at one instant after which time will not go on, and how many more for each delivery that waits.
const RESTLESS: (u64, u64) = (20_000, 100);
/// How long nothing happens before it is asked whether anything can.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// The longest time between two such looks.
const LAST_LOOK: Duration = Duration::from_secs(3_600);

impl Test {
    /// Runs until every operation has ended, and moves time over whatever they wait for: due times, retries, limits,
    /// pauses that end.
    ///
    /// # Panics
    /// With the story when operations can't end by themselves: a pause without an end, nobody who takes an event, a
    /// handler that does not come back within the horizon.
    #[track_caller]
    pub fn settle(&self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let store = &self.stage.store;
            self.stage.run_until("settle", "every operation to end", || store.health().backlog == 0, caller).await;
            self.stage.rest().await;
        }
    }

    /// Lets exactly this much time pass: a `Duration` in whole milliseconds, or text such as `"30s"`. It also passes
    /// while the engine is crashed.
    ///
    /// # Panics
    /// For text that is no duration.
    #[track_caller]
    pub fn advance(&self, by: impl IntoDuration) -> impl Future<Output = ()> {
        let by = duration(by);
        async move {
            tokio::time::sleep(by).await;
            self.stage.rest().await;
        }
    }

    /// How much virtual time [`Test::settle`] may take; 7 days when this is not called.
    ///
    /// # Panics
    /// For text that is no duration.
    #[track_caller]
    pub fn horizon(&self, horizon: impl IntoDuration) {
        self.stage.set_horizon(duration(horizon));
    }
}

/// What a test says of a duration.
#[track_caller]
pub(super) fn duration(text: impl IntoDuration) -> Duration {
    match text.into_duration() {
        Ok(duration) => duration,
        Err(error) => panic!("{error}"),
    }
}

impl Stage {
    /// Lets everything run that can run without time.
    pub(super) async fn rest(&self) {
        let mut changes = self.node().changes();
        let (mut quiet, mut seen) = (0, 0);
        while quiet < QUIET && seen < RESTLESS.0 {
            tokio::task::yield_now().await;
            let has_changed = changes.has_changed().unwrap_or(false);
            (quiet, seen) = if has_changed { (0, seen + 1) } else { (quiet + 1, seen) };
            changes.mark_unchanged();
        }
    }

    /// Lets time pass until something is so. `goal` says what the test waits for.
    pub(super) async fn run_until(&self, verb: &str, goal: &str, is_so: impl Fn() -> bool, caller: Caller) {
        let node = self.node();
        let (mut changes, mut look) = (node.changes(), FIRST_LOOK);
        let (started, mut at, mut since) = (Instant::now(), Instant::now(), *changes.borrow_and_update());
        let wrong = |what: &str| panic!("{verb} waits for {goal}, but {what} (at {caller})\n\n{}", self.open_stories());
        while !is_so() {
            if node.is_dead() {
                wrong("the engine has crashed: call restart first");
            }
            let left = self.horizon().saturating_sub(started.elapsed());
            if left.is_zero() {
                let horizon = format_duration(self.horizon());
                wrong(&format!("that did not happen within {horizon}: {}", self.why()));
            }
            let has_changed = tokio::select! {
                biased;
                _ = changes.changed() => true,
                () = tokio::time::sleep(look.min(left)) => false,
            };
            let count = *changes.borrow_and_update();
            if Instant::now() > at {
                (at, since) = (Instant::now(), count);
            }
            if count - since > RESTLESS.0 + RESTLESS.1 * self.store.health().backlog {
                wrong("something runs again and again and no time passes");
            }
            look = if has_changed { FIRST_LOOK } else { LAST_LOOK.min(look * 2) };
            if !has_changed && !is_so() && !self.can_go_on() {
                wrong(&self.why());
            }
        }
    }
}

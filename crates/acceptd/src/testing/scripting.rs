//! What a test lets targets do: stubs, failures, throttles.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::consumer::{Handler, IntoOutcome};
use crate::duration::IntoDuration;
use crate::target::Function;
use crate::testing::Test;
use crate::testing::script::{Play, Stub};
use crate::testing::time::duration;
use crate::{Fail, Outcome};

impl Test {
    /// Puts a closure in the place of a consumer's target, whatever kind that is, from now on. It gets the event's
    /// data.
    ///
    /// # Panics
    /// When no consumer has this name.
    #[track_caller]
    pub fn stub<E, F, O>(&self, consumer: &str, answer: F)
    where
        E: DeserializeOwned + 'static,
        F: FnMut(E) -> O + Send + 'static,
        O: IntoOutcome + 'static,
    {
        self.stage.check_consumer(consumer);
        self.stage.script.stub(consumer, Arc::new(Stub::new(answer)));
    }

    /// Puts a handler in the place of a consumer's target: for a stub that takes time, reports progress or runs steps.
    ///
    /// # Panics
    /// When no consumer has this name.
    #[track_caller]
    pub fn stub_with<H: Handler<Args>, Args: 'static>(&self, consumer: &str, handler: H) {
        self.stage.check_consumer(consumer);
        self.stage.script.stub(consumer, Arc::new(Function::new(handler)));
    }

    /// Lets a consumer's attempts come to these outcomes one after the other, and the last one from then on.
    ///
    /// # Panics
    /// When no consumer has this name, and without an outcome.
    #[track_caller]
    pub fn stub_sequence(&self, consumer: &str, outcomes: impl IntoIterator<Item = Outcome>) {
        let mut outcomes: VecDeque<Outcome> = outcomes.into_iter().collect();
        let Some(last) = outcomes.pop_back() else { panic!("the stub of {consumer} needs an outcome") };
        self.stub(consumer, move |_: Value| outcomes.pop_front().unwrap_or_else(|| last.clone()));
    }

    /// Lets the next attempt of a consumer fail like this, without its target hearing of it. Each call is about one
    /// more attempt.
    ///
    /// # Panics
    /// When no consumer has this name.
    #[track_caller]
    pub fn fail_next(&self, consumer: &str, fail: Fail) {
        self.stage.check_consumer(consumer);
        self.stage.script.add(consumer, Play::Fail(fail));
    }

    /// Lets the next attempt of a consumer be throttled for so long: the limits that it took pause, or else the
    /// consumer.
    ///
    /// # Panics
    /// When no consumer has this name.
    #[track_caller]
    pub fn throttle_next(&self, consumer: &str, lasts: impl IntoDuration) {
        self.stage.check_consumer(consumer);
        self.stage.script.add(consumer, Play::Throttle { lasts: duration(lasts), limit: None });
    }

    /// The same, where the target names the limit that it is about.
    ///
    /// # Panics
    /// When no consumer and no limit have these names.
    #[track_caller]
    pub fn throttle_limit_next(&self, consumer: &str, limit: &str, lasts: impl IntoDuration) {
        self.stage.check_consumer(consumer);
        self.stage.check_limit(limit);
        let play = Play::Throttle { lasts: duration(lasts), limit: Some(limit.to_owned()) };
        self.stage.script.add(consumer, play);
    }
}

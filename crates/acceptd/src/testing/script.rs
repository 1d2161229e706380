//! The script: what a test lets targets do in place of what they would do.

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::consumer::{Context, IntoOutcome};
use crate::target::{Reply, Replying, Target, TargetDescription};
use crate::{Data, Fail, JSON, Next};

/// What is to happen, by consumer. It outlives crashes: it is the world outside.
#[derive(Default)]
pub(super) struct Script(Mutex<HashMap<String, Part>>);

#[derive(Default)]
struct Part {
    /// What its next attempts come to, each once.
    next: VecDeque<Play>,
    /// What stands in for its target.
    stub: Option<Arc<dyn Target>>,
}

/// What an attempt comes to instead of what its target says.
pub(super) enum Play {
    Fail(Fail),
    Throttle { lasts: Duration, limit: Option<String> },
}

impl Play {
    pub(super) fn fail(self, context: &Context) -> Fail {
        match self {
            Self::Fail(fail) => fail,
            Self::Throttle { lasts, limit } => {
                let next = Next::Throttled { limit, until: context.now() + lasts };
                Fail { next, ..Fail::retry("throttled", "the test throttles it") }
            }
        }
    }
}

impl Script {
    /// Lets the next attempt that is not spoken for come to this.
    pub(super) fn add(&self, consumer: &str, play: Play) {
        self.lock().entry(consumer.to_owned()).or_default().next.push_back(play);
    }

    /// Puts something in the place of a target.
    pub(super) fn stub(&self, consumer: &str, target: Arc<dyn Target>) {
        self.lock().entry(consumer.to_owned()).or_default().stub = Some(target);
    }

    /// What the attempt that starts now comes to; None leaves it to its target.
    pub(super) fn take(&self, consumer: &str) -> Option<Play> {
        self.lock().get_mut(consumer)?.next.pop_front()
    }

    /// What stands in for a target.
    pub(super) fn stubbed(&self, consumer: &str) -> Option<Arc<dyn Target>> {
        self.lock().get(consumer)?.stub.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A closure that stands in for a target.
pub(super) struct Stub<E, F> {
    answer: Mutex<F>,
    event: PhantomData<fn(E)>,
}

impl<E, F> Stub<E, F> {
    pub(super) fn new(answer: F) -> Self {
        Self { answer: Mutex::new(answer), event: PhantomData }
    }
}

impl<E, F, O> Target for Stub<E, F>
where
    E: DeserializeOwned + 'static,
    F: FnMut(E) -> O + Send + 'static,
    O: IntoOutcome,
{
    fn deliver(&self, context: Context) -> Replying<'_> {
        Box::pin(async move {
            let nothing = Data::new(JSON, "null");
            let event = match context.event().draft.data.as_ref().unwrap_or(&nothing).parse() {
                Ok(event) => event,
                Err(error) => return Reply::Ended(Err(Fail::terminal("bad-data", error))),
            };
            let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
            Reply::Ended(answer(event).into_outcome())
        })
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "stub", address: "stub".to_owned() }
    }
}

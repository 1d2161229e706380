//! An operation that a test accepted: what became of it.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::delivery::Attempt;
use crate::engine::Monitor;
use crate::store::{Accepted, Chain, DeadLetters, Replay};
use crate::testing::read::at_once;
use crate::testing::stage::Stage;
use crate::{Data, Event, Failure, OperationId, ProgressReport, Status, Store as _};

/// An operation that a test accepted. It can be asked at any time, also after a restart.
#[derive(Clone)]
pub struct TestOperation {
    pub(super) stage: Arc<Stage>,
    id: OperationId,
    replay: Replay,
}

impl TestOperation {
    pub(super) fn new(stage: Arc<Stage>, accepted: &Accepted) -> Self {
        Self { stage, id: accepted.operation.id, replay: accepted.replay }
    }

    /// Its id.
    pub fn id(&self) -> OperationId {
        self.id
    }

    /// Whether it was accepted before, under the same idempotency key or event id.
    pub fn is_replay(&self) -> bool {
        self.replay != Replay::New
    }

    /// Where it stands, with everything that its caller may ask.
    pub fn monitor(&self) -> Monitor {
        self.stage.monitor_of(self.stage.view(self.id))
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.stage.view(self.id).status()
    }

    /// Every event, delivery and attempt of it, oldest first.
    pub fn chain(&self) -> Chain {
        self.stage.chain(self.id)
    }

    /// What it waits for: one sentence for each gate.
    pub fn waits(&self) -> Vec<String> {
        self.monitor().waiting_on.into_iter().map(|waiting| waiting.message).collect()
    }

    /// The events of this type that its chain emitted, oldest first.
    ///
    /// # Panics
    /// When the data of one does not fit the type.
    #[track_caller]
    pub fn emitted<E: Event>(&self) -> Vec<E> {
        let events = self.chain().events.into_iter();
        let emitted = events.filter(|event| event.cause.is_some() && event.draft.kind == E::TYPE);
        let nothing = || Data::new(crate::JSON, "null");
        let mut parsed = Vec::new();
        for event in emitted {
            match event.draft.data.unwrap_or_else(nothing).parse() {
                Ok(event) => parsed.push(event),
                Err(error) => panic!("{}: {error}", E::TYPE),
            }
        }
        parsed
    }

    /// Its result: that of its root delivery, or an object by consumer name when there are several.
    ///
    /// # Panics
    /// With the story when there is none, and when it does not fit the type.
    #[track_caller]
    pub fn result<T: DeserializeOwned>(&self) -> T {
        let results = at_once(self.stage.store.results(self.id)).unwrap_or_default();
        let result = match results.as_slice() {
            [] => panic!("the operation has no result\n\n{}", self.story()),
            [one] => one.data.parse(),
            several => {
                let by_name = several.iter().map(|one| Ok((one.consumer.clone(), one.data.parse()?)));
                let object: crate::Result<Map<String, Value>> = by_name.collect();
                object.and_then(|object| Data::json(&object)?.parse())
            }
        };
        match result {
            Ok(result) => result,
            Err(error) => panic!("the result: {error}\n\n{}", self.story()),
        }
    }

    /// Why it failed.
    pub fn failure(&self) -> Option<Failure> {
        self.monitor().failure
    }

    /// The attempts of a consumer that have ended, oldest first.
    ///
    /// # Panics
    /// When no consumer has this name.
    #[track_caller]
    pub fn attempts(&self, consumer: &str) -> Vec<Attempt> {
        self.stage.check_consumer(consumer);
        let Chain { deliveries, mut attempts, .. } = self.chain();
        let is_of = |attempt: &Attempt| {
            deliveries.iter().any(|delivery| delivery.id == attempt.delivery && delivery.consumer == consumer)
        };
        attempts.retain(is_of);
        attempts
    }

    /// How far a consumer's latest delivery is, as its handler said last.
    ///
    /// # Panics
    /// When no consumer has this name.
    #[track_caller]
    pub fn progress(&self, consumer: &str) -> Option<ProgressReport> {
        self.stage.check_consumer(consumer);
        let deliveries = self.chain().deliveries.into_iter();
        deliveries.filter(|delivery| delivery.consumer == consumer).filter_map(|delivery| delivery.progress).next_back()
    }

    /// What happened, as text that is the same each time the test runs: for snapshots.
    pub fn story(&self) -> String {
        self.stage.story(self.id)
    }

    /// Cancels it.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn cancel(&self) {
        if let Err(error) = self.stage.engine().cancel(self.id).await {
            panic!("{error}\n\n{}", self.story());
        }
    }

    /// Retries its dead letters.
    ///
    /// # Panics
    /// When it has none.
    pub async fn retry(&self) {
        if let Err(error) = self.stage.engine().retry(DeadLetters::Operation(self.id)).await {
            panic!("{error}\n\n{}", self.story());
        }
    }
}

impl fmt::Debug for TestOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.story())
    }
}

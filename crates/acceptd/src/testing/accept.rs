//! Accepting in a test.

use std::future::{Future, IntoFuture};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::duration::IntoDuration;
use crate::store::Accepted;
use crate::testing::stage::Stage;
use crate::testing::time::duration;
use crate::testing::{Caller, Test, TestOperation};
use crate::{Data, Draft, Error, Event, Result, Submission};

/// Something to accept; awaited, it is accepted.
#[must_use = "await it"]
pub struct Accepting {
    stage: Arc<Stage>,
    submission: Submission,
    key: Option<String>,
    delay: Option<Duration>,
    caller: Caller,
}

impl Test {
    /// Accepts an event.
    ///
    /// # Panics
    /// When it is refused; see [`Accepting::refused`].
    #[track_caller]
    pub fn accept<E: Event>(&self, event: E) -> Accepting {
        self.accept_all([event])
    }

    /// Accepts several events as one operation.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn accept_all<E: Event>(&self, events: impl IntoIterator<Item = E>) -> Accepting {
        self.accepting(events.into_iter().map(|event| draft(Draft::of(&event))).collect())
    }

    /// Accepts an event of a type that is no Rust type here.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn accept_json(&self, kind: &str, data: Value) -> Accepting {
        self.accepting(vec![json(kind, &data)])
    }

    #[track_caller]
    fn accepting(&self, events: Vec<Draft>) -> Accepting {
        let submission = Submission { events, ..Submission::default() };
        let (stage, caller) = (Arc::clone(&self.stage), Location::caller());
        Accepting { stage, submission, key: None, delay: None, caller }
    }
}

#[track_caller]
fn draft(draft: Result<Draft>) -> Draft {
    match draft {
        Ok(draft) => draft,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn json(kind: &str, data: &Value) -> Draft {
    draft(Data::json(data).map(|data| Draft::new(kind.to_owned()).data(data)))
}

impl Accepting {
    /// Adds another event to the operation.
    #[track_caller]
    pub fn and<E: Event>(mut self, event: E) -> Self {
        self.submission.events.push(draft(Draft::of(&event)));
        self
    }

    /// Adds another event to the operation, of a type that is no Rust type here.
    #[track_caller]
    pub fn and_json(mut self, kind: &str, data: Value) -> Self {
        self.submission.events.push(json(kind, &data));
        self
    }

    /// Who is told how it ends.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.submission.owner = Some(owner.into());
        self
    }

    /// Starts nothing of it before this much time has passed.
    ///
    /// # Panics
    /// For text that is no duration.
    #[track_caller]
    pub fn delay(mut self, delay: impl IntoDuration) -> Self {
        self.delay = Some(duration(delay));
        self
    }

    /// From -100 to 100; higher runs first.
    pub fn priority(mut self, priority: i8) -> Self {
        self.submission.priority = priority;
        self
    }

    /// The caller's key: the same request with the same key is the same operation.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Expects that it is refused, and why.
    ///
    /// # Panics
    /// When it is accepted.
    pub async fn refused(self) -> Error {
        let caller = self.caller;
        match self.submit().await {
            Ok((_, accepted)) => panic!("{} is accepted (at {caller})", accepted.operation.kind),
            Err(error) => error,
        }
    }

    async fn submit(mut self) -> Result<(Arc<Stage>, Accepted)> {
        if self.stage.node().is_dead() {
            panic!("the engine has crashed: call restart first (at {})", self.caller);
        }
        let fingerprint = fingerprint(&self.submission, self.delay);
        self.submission.idempotency = self.key.map(|key| ("test".to_owned(), key, fingerprint));
        self.submission.due = self.delay.map(|delay| self.stage.now() + delay);
        let accepted = self.stage.engine().accept(self.submission).await?;
        Ok((self.stage, accepted))
    }
}

/// A digest of a request: the same for the same request.
fn fingerprint(submission: &Submission, delay: Option<Duration>) -> [u8; 32] {
    let mut hasher = DefaultHasher::new();
    format!("{submission:?} {delay:?}").hash(&mut hasher);
    let mut fingerprint = [0; 32];
    fingerprint[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    fingerprint
}

impl IntoFuture for Accepting {
    type Output = TestOperation;
    type IntoFuture = Pin<Box<dyn Future<Output = TestOperation> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let caller = self.caller;
        Box::pin(async move {
            match self.submit().await {
                Ok((stage, accepted)) => TestOperation::new(stage, &accepted),
                Err(error) => panic!("it is not accepted: {error} (at {caller})"),
            }
        })
    }
}

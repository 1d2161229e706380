//! What a test expects of an operation. One that is disappointed panics with the story.

use std::fmt;

use crate::engine::WaitingOn;
use crate::testing::TestOperation;
use crate::{Event, Gate, Status};

/// What an operation is expected to wait for: a gate, or a limit, lock or consumer by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Any wait at this gate.
    At(Gate),
    /// A wait for what has this name.
    For(String),
}

impl From<Gate> for Waits {
    fn from(gate: Gate) -> Self {
        Self::At(gate)
    }
}

impl From<&str> for Waits {
    fn from(name: &str) -> Self {
        Self::For(name.to_owned())
    }
}

impl Waits {
    fn is(&self, waiting: &WaitingOn) -> bool {
        match self {
            Self::At(gate) => waiting.gate == *gate,
            Self::For(name) => waiting.name == *name,
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(gate) => write!(f, "gate {gate:?}"),
            Self::For(name) => f.write_str(name),
        }
    }
}

impl TestOperation {
    /// Expects that it succeeded.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_succeeded(&self) -> &Self {
        self.assert_status(Status::Succeeded)
    }

    /// Expects that it failed.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_failed(&self) -> &Self {
        self.assert_status(Status::Failed)
    }

    /// Expects that it was canceled.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_canceled(&self) -> &Self {
        self.assert_status(Status::Canceled)
    }

    /// Expects that it stands there.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_status(&self, expected: Status) -> &Self {
        let status = self.status();
        if status != expected {
            self.disappoint(&format!("the operation is {}, not {}", status.as_str(), expected.as_str()));
        }
        self
    }

    /// Expects that its chain emitted an event of this type.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_emitted<E: Event>(&self) -> &Self {
        let emitted = self.emitted_types();
        if !emitted.iter().any(|kind| kind == E::TYPE) {
            let others = if emitted.is_empty() { "nothing".to_owned() } else { emitted.join(", ") };
            self.disappoint(&format!("the chain did not emit {}, but {others}", E::TYPE));
        }
        self
    }

    /// Expects that its chain emitted no event of this type.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_not_emitted<E: Event>(&self) -> &Self {
        if self.emitted_types().iter().any(|kind| kind == E::TYPE) {
            self.disappoint(&format!("the chain emitted {}", E::TYPE));
        }
        self
    }

    /// Expects that something of it waits for this now: `Gate::Pause`, or `"stripe"`, the name of a limit, a lock, a
    /// consumer, or of an event type that nobody takes. [`TestOperation::waits`] has the sentences.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_waits_for(&self, what: impl Into<Waits>) -> &Self {
        let (what, waiting_on) = (what.into(), self.monitor().waiting_on);
        if !waiting_on.iter().any(|waiting| what.is(waiting)) {
            let sentences: Vec<_> = waiting_on.iter().map(|waiting| format!("it {}", waiting.message)).collect();
            let instead = if sentences.is_empty() { "it waits for nothing".to_owned() } else { sentences.join("; ") };
            self.disappoint(&format!("the operation does not wait for {what}: {instead}"));
        }
        self
    }

    /// Expects that a consumer's attempts which have ended are so many.
    ///
    /// # Panics
    /// Otherwise.
    #[track_caller]
    pub fn assert_attempts(&self, consumer: &str, expected: usize) -> &Self {
        let attempts = self.attempts(consumer).len();
        if attempts != expected {
            self.disappoint(&format!("{consumer} ended {attempts} attempts, not {expected}"));
        }
        self
    }

    fn emitted_types(&self) -> Vec<String> {
        let events = self.chain().events.into_iter().filter(|event| event.cause.is_some());
        events.map(|event| event.draft.kind.into_owned()).collect()
    }

    #[track_caller]
    fn disappoint(&self, what: &str) -> ! {
        panic!("{what}\n\n{}", self.story());
    }
}

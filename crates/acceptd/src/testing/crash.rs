//! Crashes: at once, or at a chosen point of an attempt. Nothing of a node that crashed changes the store afterwards.

/// A point of an attempt at which the node crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashAt {
    /// The attempt is counted; its target has not heard of it.
    Start,
    /// Before the work of the step of this name.
    BeforeStep(&'static str),
    /// The work of the step is done, and nobody remembers it yet: the next attempt does it again.
    Step(&'static str),
    /// The step is remembered.
    AfterStep(&'static str),
    /// The target is done, and that is not stored yet.
    End,
    /// The end is stored, and nobody was told.
    Settled,
}

impl std::fmt::Display for CrashAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("the start of an attempt"),
            Self::BeforeStep(step) => write!(f, "the moment before step {step}"),
            Self::Step(step) => write!(f, "step {step}"),
            Self::AfterStep(step) => write!(f, "the moment after step {step}"),
            Self::End => f.write_str("the end of an attempt"),
            Self::Settled => f.write_str("the moment after an attempt"),
        }
    }
}

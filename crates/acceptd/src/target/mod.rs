//! Targets: where deliveries go. A target runs one attempt and says how it ended; the engine settles it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

mod function;
mod inbox;

pub use function::Function;
pub use inbox::Inbox;

use crate::consumer::Context;
use crate::{Outcome, Result, Weight};

/// A target's reply on its way.
pub type Replying<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// How a target answered an attempt.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each attempt, and most are the large one")]
pub enum Reply {
    /// The attempt ended.
    Ended(Outcome),
    /// The target took it over and will call; without a call within this time the delivery is rescued.
    TakenOver(Duration),
}

/// Somewhere a delivery can go.
pub trait Target: Send + Sync + 'static {
    /// Runs one attempt. It is dropped when the attempt is canceled or out of time.
    fn deliver(&self, context: Context) -> Replying<'_>;

    /// What the catalog says of it.
    fn describe(&self) -> TargetDescription;

    /// Whether it may go on with an attempt when this node is gone or has let go of it.
    fn is_remote(&self) -> bool {
        false
    }

    /// How its deliveries count for an operation's end.
    fn weight(&self) -> Weight {
        Weight::Tracked
    }

    /// Checks at start that it can work at all, for example that every state its handler asks for was given.
    ///
    /// # Errors
    /// One sentence that says what is missing.
    fn check(&self, _states: &crate::consumer::States) -> Result<()> {
        Ok(())
    }
}

/// What the catalog says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDescription {
    /// `function`, `http`, `inbox`.
    pub kind: &'static str,
    /// Where it is: a URL, a type name.
    pub address: String,
}

//! A clock that follows tokio's, so that a paused runtime moves both.

use acceptd::{Clock, Timestamp};
use tokio::time::Instant;

pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000) + self.0.elapsed()
    }
}

//! The virtual clock: a fixed date, and from there on tokio's paused time.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Clock, Timestamp};

/// 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Shows 2026-01-01T00:00:00Z when it is made, and moves with tokio's paused time: what the engine waits for, what
/// handlers sleep and what the store is told are one.
#[derive(Debug)]
pub struct VirtualClock(Instant);

impl VirtualClock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// How much virtual time has passed.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        START + self.elapsed()
    }
}

/// Whether tokio's time stands still while the machine's goes on.
pub(super) fn is_paused() -> bool {
    let (machine, tokio) = (std::time::Instant::now(), Instant::now());
    while machine.elapsed() < Duration::from_micros(1) {
        std::hint::spin_loop();
    }
    Instant::now() == tokio
}

//! The store's time, which all nodes go by: the database's clock, but for its jumps.
//!
//! Between two looks a node counts by its own steady clock. Each look is taken while it holds the pen. When the
//! database's clock was set, the first node that sees it keeps the difference in the table `clock`, so that for all of
//! them time goes on as before.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

use crate::{Clock, Timestamp};

/// A difference in microseconds that is a setting of a clock rather than its drift.
const SET: i64 = 250_000;
/// By how much a node follows the database's drift with each look.
const DRIFT: i64 = 500;

/// The store's time, as a node counts it.
#[derive(Debug)]
pub(super) struct DatabaseClock {
    started: Instant,
    base: AtomicI64,
}

impl Default for DatabaseClock {
    fn default() -> Self {
        Self { started: Instant::now(), base: AtomicI64::new(0) }
    }
}

/// What a look at the database's clock comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Both agree.
    Agrees,
    /// The database's clock was set by so many microseconds.
    WasSet(i64),
}

impl DatabaseClock {
    /// Takes over the store's time, whatever was counted before.
    pub(super) fn set(&self, now: Timestamp) {
        self.base.store(now.as_micros() - self.elapsed(), Relaxed);
    }

    /// Compares with the store's time as the database shows it. `alive` is the latest instant at which another node
    /// was alive: when the database's clock is right by that, it is this node that stood still.
    pub(super) fn look(&self, shown: Timestamp, alive: Option<Timestamp>) -> Look {
        let off = shown.as_micros() - self.now().as_micros();
        if off.abs() < SET {
            self.base.fetch_add(off.clamp(-DRIFT, DRIFT), Relaxed);
            return Look::Agrees;
        }
        let others_agree = alive.is_some_and(|alive| (shown.as_micros() - alive.as_micros()).abs() < 20 * SET);
        if others_agree {
            self.set(shown);
            return Look::Agrees;
        }
        Look::WasSet(off)
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.base.load(Relaxed).saturating_add(self.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_from_a_node_that_stood_still() {
        let clock = DatabaseClock::default();
        clock.set(Timestamp::from_millis(1_000_000));
        let later = |millis: i64| Timestamp::from_micros(clock.now().as_micros() + millis * 1_000);
        assert_eq!(clock.look(later(3), None), Look::Agrees);
        assert!(matches!(clock.look(later(60_000), None), Look::WasSet(off) if off > 59_000_000));
        // The others were alive a second ago by the time that the database shows.
        assert_eq!(clock.look(later(60_000), Some(later(59_000))), Look::Agrees);
        assert!(clock.now() > Timestamp::from_millis(1_059_000));
    }
}

//! The only place that reads a wall clock. Everything else is told the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Where the engine gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// By how many microseconds the machine's clock was set since this one followed it; 0 while they agree.
    fn set_by(&self) -> i64 {
        0
    }

    /// Follows the machine's clock after it was set.
    fn follow(&self, _micros: i64) {}

    /// How long the machine has been running, beside this clock's time; None for a clock that has nothing to do with
    /// it.
    fn uptime(&self) -> Option<Uptime> {
        None
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A difference that is a setting of the clock rather than its drift.
const SET: i64 = 250_000;
/// By how much the clock follows the machine's drift each time it is asked.
const DRIFT: i64 = 250;

/// The machine's clock, but for its jumps: whoever sets the machine's clock neither stops time nor makes it pass.
///
/// What is measured in time, such as leases and rates, goes on as if nothing had happened; the engine moves it along
/// when it follows the machine's clock.
#[derive(Debug)]
pub struct SteadyClock {
    started: Instant,
    base: AtomicI64,
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self { started: Instant::now(), base: AtomicI64::new(SystemClock.now().as_micros()) }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.base.load(Ordering::Relaxed).saturating_add(passed))
    }

    fn set_by(&self) -> i64 {
        let off = SystemClock.now().as_micros() - self.now().as_micros();
        if off.abs() >= SET {
            return off;
        }
        self.base.fetch_add(off.clamp(0, DRIFT), Ordering::Relaxed);
        0
    }

    fn follow(&self, micros: i64) {
        self.base.fetch_add(micros, Ordering::Relaxed);
    }

    fn uptime(&self) -> Option<Uptime> {
        Uptime::read(self.now())
    }
}

/// What is added to time that passed while nobody looked, in microseconds: a reading of the uptime is exact to 10 ms,
/// and what was claimed before a crash may have left for its target a little later than it was meant to.
#[cfg(feature = "sqlite")]
const SAFETY: i64 = 100_000;

/// What tells after a restart whether the machine's clock was set meanwhile: how long the machine has been running, and
/// the time of whoever measured by a clock then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Which run of the machine.
    pub boot: String,
    /// Microseconds since its start, sleep included.
    pub micros: i64,
    /// The clock at that moment.
    pub at: Timestamp,
}

impl Uptime {
    /// Now, beside a clock that shows this. None where the system does not tell.
    pub(crate) fn read(at: Timestamp) -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Some(Self { boot, micros: (seconds * 1e6) as i64, at })
    }

    /// By how much more the clock moved than time passed since then; rather a little too much than too little, so that
    /// what must not happen before its time does not.
    #[cfg(feature = "sqlite")]
    pub(crate) fn set_since(&self, then: &Self) -> i64 {
        if self.boot != then.boot {
            return 0;
        }
        let set = (self.at.as_micros() - then.at.as_micros()) - (self.micros - then.micros);
        set + SAFETY
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

//! Crash points and planted bugs, for the harnesses that prove the promises. Empty without the `faults` feature.
//!
//! `ACCEPTD_CRASH_AT=settle.before-commit:37` aborts the process when that point is passed for the 37th time.
//! `ACCEPTD_PLANTED=settle-without-fence` switches one deliberate bug on, which the harness must then find.

/// Every crash point, in the order of an event's life.
pub const CRASH_POINTS: [&str; 8] = [
    "accept.before-commit",
    "accept.after-commit",
    "claim.before-commit",
    "claim.after-commit",
    "settle.before-commit",
    "settle.after-commit",
    "settle.inside",
    "prune.before-commit",
];

/// Every planted bug.
pub const PLANTED: [&str; 7] = [
    "answer-before-commit",
    "commit-without-fsync",
    "settle-without-fence",
    "emit-outside-transaction",
    "attempt-counted-after-start",
    "slots-counted",
    "release-on-rescue",
];

#[cfg(feature = "faults")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct CrashAt {
        point: String,
        left: AtomicI64,
    }

    fn crash_at() -> Option<&'static CrashAt> {
        static CRASH_AT: OnceLock<Option<CrashAt>> = OnceLock::new();
        let parse = || {
            let setting = std::env::var("ACCEPTD_CRASH_AT").ok()?;
            let (point, count) = setting.rsplit_once(':')?;
            Some(CrashAt { point: point.to_owned(), left: AtomicI64::new(count.parse().ok()?) })
        };
        CRASH_AT.get_or_init(parse).as_ref()
    }

    /// Aborts the process when this is the point and the passage that was asked for.
    pub fn crash_point(name: &str) {
        let Some(crash) = crash_at() else { return };
        if crash.point == name && crash.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    }

    /// Whether this bug is switched on.
    pub fn planted(name: &str) -> bool {
        static PLANTED: OnceLock<Option<String>> = OnceLock::new();
        PLANTED.get_or_init(|| std::env::var("ACCEPTD_PLANTED").ok()).as_deref() == Some(name)
    }
}

#[cfg(feature = "faults")]
pub use armed::{crash_point, planted};

/// Does nothing without the `faults` feature.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn crash_point(_name: &str) {}

/// Always false without the `faults` feature.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn planted(_name: &str) -> bool {
    false
}

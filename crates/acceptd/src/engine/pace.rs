//! Pace: starts what was claimed at its time, and never faster than its limits' rates.
//!
//! The store says when each delivery may start. Here the last look is taken, by a clock that nobody can set; and what a
//! limit was told meanwhile, that it is paused, holds what has not started yet. A start is *reserved* when it is
//! allowed and counts when it has *left*: a process that was held up in between, or stopped, does not let go of several
//! at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limit::gcra::Pace;
use crate::store::{Granted, KeyRef};

/// By how much a start may come before its time, in nanoseconds: timers are no more exact than this, and a start that
/// was late shall not make all that follow late. Of the jitter of 5 ms that receivers are promised it is the smaller
/// part.
const EARLY: i64 = 1_000_000;
/// Keys that are remembered at most before those that say nothing are dropped.
const KEYS: usize = 4_096;

/// How long a request that leaves takes to be written, at most, in a process that is not held up.
const MOMENT: Duration = Duration::from_millis(1);
/// A process that takes this long for a moment was held up, in nanoseconds.
const HELD_UP: i64 = 3_000_000;

/// When the keys of limits let go next, on this node.
pub(crate) struct Pacer {
    origin: Instant,
    keys: Mutex<HashMap<KeyRef, Paced>>,
}

#[derive(Default)]
struct Paced {
    /// The theoretical arrival time, in nanoseconds since the pacer's origin.
    tat: i64,
    /// Starts that were allowed and have not left.
    reserved: u32,
    /// Until when it is paused, in nanoseconds since the pacer's origin.
    paused_until: i64,
}

/// What the last look says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// Start.
    Now,
    /// Ask again after this long.
    After(Duration),
    /// Give it back: the limit is paused.
    Back,
}

impl Pacer {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), keys: Mutex::default() }
    }

    /// Asks whether something may start that holds these keys; when it may, its start is reserved.
    pub(crate) fn ask(&self, keys: &[Granted]) -> Go {
        let at = self.elapsed();
        let mut paced = self.lock();
        if paced.len() > KEYS {
            paced.retain(|_, key| key.tat > at || key.reserved > 0 || key.paused_until > at);
        }
        let paused = |granted: &Granted| paced.get(&granted.key).is_some_and(|key| key.paused_until > at);
        if keys.iter().any(paused) {
            return Go::Back;
        }
        let slot = |Granted { key, pace }: &Granted| Some(paced.get(key)?.slot((*pace)?, at));
        match keys.iter().filter_map(slot).max() {
            Some(slot) if slot > at => Go::After(Duration::from_nanos((slot - at).unsigned_abs())),
            _ => {
                for Granted { key, .. } in keys.iter().filter(|granted| granted.pace.is_some()) {
                    paced.entry(key.clone()).or_default().reserved += 1;
                }
                Go::Now
            }
        }
    }

    /// A start that was reserved leaves now, and is at its target at once.
    pub(crate) fn left(&self, keys: &[Granted]) {
        self.count(keys, self.elapsed());
    }

    /// A start that was reserved leaves now, and has to be written yet. It counts from now if a moment later this
    /// process is still going on; if it was held up meanwhile, it may have been written as late as that.
    pub(crate) async fn leaving(&self, keys: &[Granted]) {
        let left = self.elapsed();
        tokio::time::sleep(MOMENT).await;
        let now = self.elapsed();
        self.count(keys, if now - left > HELD_UP { now } else { left });
    }

    fn count(&self, keys: &[Granted], at: i64) {
        let mut paced = self.lock();
        for Granted { key, pace } in keys {
            if let Some(pace) = pace {
                let key = paced.entry(key.clone()).or_default();
                key.reserved = key.reserved.saturating_sub(1);
                key.tat = pace.take(key.tat, at);
            }
        }
    }

    /// These keys are paused for so long.
    pub(crate) fn pause<'a>(&self, keys: impl IntoIterator<Item = &'a KeyRef>, wait: Duration) {
        let until = self.elapsed().saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX));
        let mut paced = self.lock();
        for key in keys {
            paced.entry(key.clone()).or_default().paused_until = until;
        }
    }

    /// A limit goes on.
    pub(crate) fn resume(&self, limit: &str) {
        self.lock().iter_mut().filter(|(key, _)| &*key.limit == limit).for_each(|(_, key)| key.paused_until = 0);
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyRef, Paced>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paced {
    /// The earliest start, if those that are reserved left at this moment: they leave at this moment or later.
    fn slot(&self, pace: Pace, at: i64) -> i64 {
        let tat = match i64::from(self.reserved) {
            0 => self.tat,
            reserved => self.tat.max(at).saturating_add(pace.interval.saturating_mul(reserved)),
        };
        pace.slot(tat.saturating_sub(EARLY), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::gcra::Pace;

    fn granted(limit: &str) -> Granted {
        let key = KeyRef { limit: limit.into(), key: "".into() };
        Granted { key, pace: Some(Pace { interval: 1_000_000_000, burst: 1 }) }
    }

    /// A second without what a start may come early.
    const SECOND: Duration = Duration::from_nanos(1_000_000_000 - EARLY.unsigned_abs());

    fn start(pacer: &Pacer, keys: &[Granted]) {
        assert_eq!(pacer.ask(keys), Go::Now);
        pacer.left(keys);
    }

    #[tokio::test(start_paused = true)]
    async fn starts_keep_their_distance() {
        let pacer = Pacer::new();
        let keys = [granted("a"), granted("b")];
        start(&pacer, &keys[..1]);
        assert_eq!(pacer.ask(&keys), Go::After(SECOND), "it waits for the slower of its keys");
        start(&pacer, &keys[1..]);
        tokio::time::advance(Duration::from_secs(1)).await;
        start(&pacer, &keys);
    }

    #[tokio::test(start_paused = true)]
    async fn what_leaves_late_counts_late() {
        let pacer = Pacer::new();
        let keys = [granted("a")];
        assert_eq!(pacer.ask(&keys), Go::Now);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pacer.ask(&keys), Go::After(SECOND), "the first has not left yet");
        pacer.left(&keys);
        assert_eq!(pacer.ask(&keys), Go::After(SECOND));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pacer.ask(&keys), Go::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_held_up_while_it_left_counts_late() {
        let pacer = Pacer::new();
        let keys = [granted("a")];
        assert_eq!(pacer.ask(&keys), Go::Now);
        let held_up = async {
            // Time that passes without anybody looking.
            tokio::time::advance(Duration::from_secs(10)).await;
        };
        tokio::join!(pacer.leaving(&keys), held_up);
        assert_eq!(pacer.ask(&keys), Go::After(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_key_gives_back() {
        let (pacer, keys) = (Pacer::new(), [granted("a")]);
        pacer.pause([&keys[0].key], Duration::from_millis(5));
        assert_eq!(pacer.ask(&keys), Go::Back);
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(pacer.ask(&keys), Go::Now);
        pacer.pause([&keys[0].key], Duration::from_millis(50));
        pacer.resume("a");
        assert_ne!(pacer.ask(&keys), Go::Back);
    }
}

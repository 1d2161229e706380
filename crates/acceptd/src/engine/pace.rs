//! Pace: starts what was claimed at its time, and never faster than its limits' rates.
//!
//! The store says when each delivery may start. Here the last look is taken, by a clock that nobody can set, so that
//! a process that was held up does not let go of everything at once; and what a limit was told meanwhile, that it is
//! paused, holds what has not started yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Timestamp;
use crate::store::{Granted, KeyRef};

/// Keys that are remembered at most before those that say nothing are dropped.
const KEYS: usize = 4_096;

/// When the keys of limits let go next, on this node.
pub(crate) struct Pacer {
    origin: Instant,
    keys: Mutex<HashMap<KeyRef, Paced>>,
}

#[derive(Default)]
struct Paced {
    /// The theoretical arrival time, in nanoseconds since the pacer's origin.
    tat: i64,
    paused_until: Option<Timestamp>,
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

    /// Asks whether something may start that holds these keys; when it may, that counts.
    pub(crate) fn ask(&self, keys: &[Granted], now: Timestamp) -> Go {
        let at = i64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let mut paced = self.lock();
        if paced.len() > KEYS {
            paced.retain(|_, key| key.tat > at || key.paused_until.is_some_and(|until| until > now));
        }
        let paused = |granted: &Granted| paced.get(&granted.key).and_then(|key| key.paused_until);
        if keys.iter().filter_map(paused).any(|until| until > now) {
            return Go::Back;
        }
        let tat = |granted: &Granted| paced.get(&granted.key).map_or(0, |key| key.tat);
        let slot = |granted: &Granted| granted.pace.map(|pace| pace.slot(tat(granted), at));
        match keys.iter().filter_map(slot).max() {
            Some(slot) if slot > at => Go::After(Duration::from_nanos((slot - at).unsigned_abs())),
            _ => {
                for Granted { key, pace } in keys {
                    if let Some(pace) = pace {
                        let key = paced.entry(key.clone()).or_default();
                        key.tat = pace.take(key.tat, at);
                    }
                }
                Go::Now
            }
        }
    }

    /// These keys are paused until then.
    pub(crate) fn pause<'a>(&self, keys: impl IntoIterator<Item = &'a KeyRef>, until: Timestamp) {
        let mut paced = self.lock();
        for key in keys {
            paced.entry(key.clone()).or_default().paused_until = Some(until);
        }
    }

    /// A limit goes on.
    pub(crate) fn resume(&self, limit: &str) {
        self.lock().iter_mut().filter(|(key, _)| &*key.limit == limit).for_each(|(_, key)| key.paused_until = None);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyRef, Paced>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn starts_keep_their_distance() {
        let (pacer, now) = (Pacer::new(), Timestamp::from_millis(0));
        let keys = [granted("a"), granted("b")];
        assert_eq!(pacer.ask(&keys[..1], now), Go::Now);
        assert_eq!(pacer.ask(&keys, now), Go::After(Duration::from_secs(1)), "it waits for the slower of its keys");
        assert_eq!(pacer.ask(&keys[1..], now), Go::Now, "and took nothing of the other");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pacer.ask(&keys, now), Go::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_key_gives_back() {
        let (pacer, keys) = (Pacer::new(), [granted("a")]);
        pacer.pause([&keys[0].key], Timestamp::from_millis(5));
        assert_eq!(pacer.ask(&keys, Timestamp::from_millis(4)), Go::Back);
        assert_eq!(pacer.ask(&keys, Timestamp::from_millis(5)), Go::Now);
        pacer.pause([&keys[0].key], Timestamp::from_millis(50));
        pacer.resume("a");
        assert_ne!(pacer.ask(&keys, Timestamp::from_millis(6)), Go::Back);
    }
}

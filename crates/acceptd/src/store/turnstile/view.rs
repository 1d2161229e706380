//! Looking at a turnstile: what holds a group, and where each limit stands.

use super::{Block, Hold, KeyRef, Turnstile, instant, key_ref};
use crate::limit::Limit;
use crate::store::{KeyView, LimitView, Standing};
use crate::{Closure, Timestamp};

/// Keys that are listed of a limit.
const KEYS_MAX: usize = 20;
/// Places that are told of a line.
const PLACES_MAX: usize = 1_001;
/// Holders that are listed of a key.
const HOLDERS_MAX: usize = 5;

/// What holds a group, as people want to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocker {
    /// The limit as it is now.
    pub limit: Limit,
    /// The key; empty for a limit without one.
    pub key: String,
    /// The pause, when that is what holds it.
    pub pause: Option<Closure>,
    /// The first of those who hold its slots, when those are what holds it.
    pub holder: Option<Hold>,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// The rate in a second that it has found, when it looks for one.
    pub found_rate: Option<f64>,
}

/// What a limit allows those who share one of its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The key.
    pub key: KeyRef,
    /// Starts in a second.
    pub per_second: Option<f64>,
    /// How many may run at once.
    pub slots: Option<u32>,
    /// Deliveries that are due and wait for it.
    pub waiting: u64,
}

impl Turnstile {
    /// What holds a group of a consumer now: of several limits the one that opens last.
    pub fn blocker(&self, consumer: &str, group: &str, now: Timestamp) -> Option<Blocker> {
        let line = self.lines.get(consumer)?;
        let blocked = |(limit, key): (&str, &str)| self.blocked(&key_ref(limit, key), now);
        let blockers = line.policy.keys(group).filter_map(blocked);
        blockers.max_by_key(|blocker| blocker.until.unwrap_or(Timestamp::MAX))
    }

    fn blocked(&self, key: &KeyRef, now: Timestamp) -> Option<Blocker> {
        let governor = self.limits.get(&key.limit)?;
        let nothing = super::KeyState::default();
        let state = self.keys.get(key).unwrap_or(&nothing);
        let block = state.room(governor, now, 0).err()?;
        let (limit, key) = (governor.effective.clone(), key.key.to_string());
        let found_rate = state.adapt.map(|adapt| adapt.rate);
        let blocker = Blocker { limit, key, pause: None, holder: None, until: None, found_rate };
        Some(match block {
            Block::Paused(closure) => Blocker { until: closure.until, pause: Some(closure), ..blocker },
            Block::Rate(start) => Blocker { until: Some(instant(start)), ..blocker },
            Block::Slots(until) => {
                let holder = state.holds.values().find(|hold| hold.holds_at(now)).cloned();
                Blocker { until, holder, ..blocker }
            }
        })
    }

    /// How fast a group of a consumer can be worked off: what each of its limits allows now.
    pub fn bounds(&self, consumer: &str, group: &str) -> Vec<Bound> {
        let Some(line) = self.lines.get(consumer) else { return Vec::new() };
        let bound = |(limit, key): (&str, &str)| {
            let (key, governor) = (key_ref(limit, key), self.limits.get(limit)?);
            let found = self.keys.get(&key).and_then(|state| state.adapt).map(|adapt| adapt.rate);
            let per_second = found.or_else(|| governor.effective.rate.map(crate::limit::Rate::per_second));
            let waiting = self.keys.get(&key).map_or(0, |state| state.waiting);
            Some(Bound { key, per_second, slots: governor.effective.concurrency, waiting })
        };
        line.policy.keys(group).filter_map(bound).collect()
    }

    /// What holds a group now, and how fast it can be worked off.
    pub fn standing(&self, consumer: &str, group: &str, now: Timestamp) -> Standing {
        let (blocker, bounds) = (self.blocker(consumer, group, now), self.bounds(consumer, group));
        let Some((line, state)) = self.lines.get(consumer).and_then(|line| Some((line, line.groups.get(group)?)))
        else {
            return Standing { blocker, bounds, ..Standing::default() };
        };
        let (before, turns) = match state.waits_at.as_ref().and_then(|key| self.keys.get(key)) {
            Some(key) => (key.waiters.before(&state.head), key.waiters.len()),
            None => (line.ring.before(&state.head), line.ring.len()),
        };
        Standing { blocker, bounds, waiting: state.waiting, before, turns: turns.clamp(1, PLACES_MAX) }
    }

    /// Where every limit stands.
    pub fn limits(&self, now: Timestamp) -> Vec<LimitView> {
        self.limits.keys().filter_map(|name| self.limit(name, now)).collect()
    }

    /// Where a limit stands.
    pub fn limit(&self, name: &str, now: Timestamp) -> Option<LimitView> {
        let governor = self.limits.get(name)?;
        let states = self.keys.iter().filter(|(key, _)| &*key.limit == name);
        let keys = states.map(|(key, state)| {
            let held: Vec<_> = state.holds.values().filter(|hold| hold.holds_at(now)).collect();
            KeyView {
                key: key.key.to_string(),
                in_use: held.len() as u64,
                waiting: state.waiting,
                pause: state.pause.clone().filter(|pause| pause.holds_at(now)),
                found_rate: state.adapt.map(|adapt| adapt.rate),
                next_start: governor.pace_of(state).map(|_| state.next_start(governor, now)),
                holders: held.into_iter().take(HOLDERS_MAX).cloned().collect(),
            }
        });
        let mut keys: Vec<_> = keys.filter(KeyView::says_something).collect();
        let (in_use, waiting) = keys.iter().fold((0, 0), |sum, key| (sum.0 + key.in_use, sum.1 + key.waiting));
        keys.sort_by(|one, other| (other.waiting, other.in_use, &one.key).cmp(&(one.waiting, one.in_use, &other.key)));
        keys.truncate(KEYS_MAX);
        let uses = self.lines.iter().filter(|(_, line)| line.policy.uses(name));
        let mut consumers: Vec<_> = uses.map(|(consumer, _)| consumer.to_string()).collect();
        consumers.sort_unstable();
        Some(LimitView {
            limit: governor.effective.clone(),
            declared: governor.declared.clone(),
            change: governor.change.clone(),
            pause: governor.pause.clone().filter(|pause| pause.holds_at(now)),
            consumers,
            in_use,
            waiting,
            keys,
        })
    }
}

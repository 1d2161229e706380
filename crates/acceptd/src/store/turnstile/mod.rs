//! Who may start now: the groups of waiting deliveries, the keys of limits, and who holds them.
//!
//! Nothing here is the truth. The rows are: a slot is held by a running delivery, or by a row that says until when its
//! target may still be working; a turnstile is rebuilt from them at open and after a rollback. It says which group is
//! worth a look, so that a claim touches no row that it does not take, however many wait for a limit.
//!
//! A group is *in line* (its consumer's ring), or it *waits* at the one key that held it when it was last looked at.
//! A key lets as many groups go as it has room for, so that nobody is woken in vain.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limit::{Adapt, Limit, LimitChange, Policy, gcra::Pace};
use crate::store::plan;
use crate::{Closure, Delivery, Timestamp};

mod fact;
mod hold;
mod key;
mod serve;
#[cfg(test)]
mod tests;
mod turns;
mod view;

pub use fact::Fact;
pub use hold::{Hold, HoldId};
pub(super) use key::Block;
pub use key::KeyRow;
use key::KeyState;
pub use serve::{Grant, Granted, Rows};
pub use turns::Head;
use turns::Turns;
pub use view::{Blocker, Bound};

/// A key of a limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyRef {
    /// The limit's name.
    pub limit: Arc<str>,
    /// The key's value; empty for a limit without a key.
    pub key: Arc<str>,
}

/// A group of a consumer.
type Waiter = (Arc<str>, Arc<str>);

/// How a target asks to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It refused: it was asked too fast.
    Refused,
    /// It did what it was asked, and says that nothing is left.
    Spent,
}

/// Limits, their keys, and the groups that wait for them.
#[derive(Debug, Default)]
pub struct Turnstile {
    limits: BTreeMap<Arc<str>, Governor>,
    keys: HashMap<KeyRef, KeyState>,
    lines: HashMap<Arc<str>, Line>,
    /// When each key that groups wait at opens by itself, in nanoseconds.
    timers: BTreeSet<(i64, KeyRef)>,
    /// Keys that may have room for a group that waits at them.
    opened: VecDeque<KeyRef>,
    /// Which keys each attempt holds.
    held: BTreeMap<HoldId, Vec<KeyRef>>,
    /// Keys whose rows are older than what is known here.
    dirty: HashSet<KeyRef>,
    turns: u64,
    /// What happened, for those who keep another turnstile of the same rows.
    journal: Option<Vec<Fact>>,
}

/// A limit as it is declared, changed and paused.
#[derive(Debug, Clone)]
struct Governor {
    declared: Limit,
    change: Option<LimitChange>,
    pause: Option<Closure>,
    effective: Limit,
    pace: Option<Pace>,
}

/// The groups of one consumer.
#[derive(Debug, Default)]
struct Line {
    policy: Policy,
    groups: HashMap<Arc<str>, Group>,
    ring: Turns<Arc<str>>,
    /// When it was last served, counted in turns.
    served: u64,
}

#[derive(Debug)]
struct Group {
    /// Deliveries that are due and wait.
    waiting: u64,
    /// What it stands for in its consumer's ring, or at the key that it waits at.
    head: Head,
    /// Whether it is in its consumer's ring.
    in_line: bool,
    /// Who had the last turn, and how many more in a row they have.
    last: Option<(String, usize)>,
    waits_at: Option<KeyRef>,
    /// Whether a key let it go since: it had its turn to wait, and those who still wait there don't hold it.
    let_go: Vec<KeyRef>,
    /// Which limit held it last, and until when.
    held_by: Option<(Arc<str>, Timestamp)>,
}

impl Group {
    fn new(head: Head, waiting: u64) -> Self {
        Self { waiting, head, in_line: true, last: None, waits_at: None, let_go: Vec::new(), held_by: None }
    }
}

impl Governor {
    fn new(declared: Limit, change: Option<LimitChange>, pause: Option<Closure>) -> Self {
        let effective = change.as_ref().map_or_else(|| declared.clone(), |change| change.apply(&declared));
        let pace = effective.rate.map(|rate| Pace::with_margin(rate.interval(), rate.burst()));
        Self { declared, change, pause, effective, pace }
    }

    /// The pace of one of its keys.
    fn pace_of(&self, state: &KeyState) -> Option<Pace> {
        if !self.effective.adapt {
            return self.pace;
        }
        let adapt = state.adapt.unwrap_or_else(|| Adapt::new(self.effective.rate));
        Some(Pace::with_margin(adapt.interval(), self.effective.rate.map_or(1, |rate| rate.burst())))
    }
}

fn nanos(at: Timestamp) -> i64 {
    at.as_micros().saturating_mul(1_000)
}

/// The first whole microsecond that is not before it.
fn instant(nanos: i64) -> Timestamp {
    Timestamp::from_micros(nanos.saturating_add(999).div_euclid(1_000))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Turnstile {
    /// Declares a limit, with the change and the pause that are kept of it.
    pub fn declare(&mut self, limit: Limit, change: Option<LimitChange>, pause: Option<Closure>) {
        let name: Arc<str> = limit.name.as_str().into();
        self.limits.insert(Arc::clone(&name), Governor::new(limit, change, pause));
        self.open_limit(&name);
    }

    /// A limit's declaration, when it has one.
    pub fn declared(&self, limit: &str) -> Option<&Limit> {
        self.limits.get(limit).map(|governor| &governor.declared)
    }

    /// What is changed of a limit.
    pub fn change(&self, limit: &str) -> Option<&LimitChange> {
        self.limits.get(limit)?.change.as_ref()
    }

    /// The pause of a whole limit.
    pub fn limit_pause(&self, limit: &str) -> Option<&Closure> {
        self.limits.get(limit)?.pause.as_ref()
    }

    /// Says how a consumer's deliveries wait. Groups are known by [`Turnstile::offer`] again afterwards.
    pub fn set_policy(&mut self, consumer: &str, policy: Policy) {
        let line = self.lines.entry(consumer.into()).or_default();
        line.policy = policy;
    }

    /// How a consumer's deliveries wait.
    pub fn policy(&self, consumer: &str) -> Option<&Policy> {
        self.lines.get(consumer).map(|line| &line.policy)
    }

    /// Forgets who waits and runs, and in which order they were served; what keys have learned stays.
    pub fn forget_order(&mut self) {
        let lingering = self
            .keys
            .values()
            .flat_map(|state| state.holds.values())
            .filter(|hold| hold.until.is_some() || hold.id.permit > 0);
        let lingering: Vec<_> = lingering.map(|hold| (hold.clone(), self.keys_of(hold.id).to_vec())).collect();
        for state in self.keys.values_mut() {
            state.waiters = Turns::default();
            state.holds.clear();
            (state.waiting, state.saturated) = (0, 0);
        }
        self.timers.clear();
        self.opened.clear();
        self.held.clear();
        for line in self.lines.values_mut() {
            *line = Line { policy: std::mem::take(&mut line.policy), ..Line::default() };
        }
        for (hold, keys) in lingering {
            if !self.held.contains_key(&hold.id) {
                self.hold_keys(&keys, &hold);
            }
        }
    }

    /// A delivery of this group waits and is due.
    pub fn offer(&mut self, consumer: &str, group: &str, head: Head) {
        self.offer_many(consumer, group, 1, head);
    }

    /// So many deliveries of this group wait and are due.
    pub fn offer_many(&mut self, consumer: &str, group: &str, count: u64, head: Head) {
        let offered = || Fact::Offered { consumer: consumer.into(), group: group.into(), head: head.clone(), count };
        self.note(offered);
        let line = match self.lines.get_mut(consumer) {
            Some(line) => line,
            None => self.lines.entry(consumer.into()).or_default(),
        };
        for (limit, key) in line.policy.keys(group) {
            self.keys.entry(key_ref(limit, key)).or_default().waiting += count;
        }
        let Some(state) = line.groups.get_mut(group) else {
            let name: Arc<str> = group.into();
            line.ring.push(&head, Arc::clone(&name));
            line.groups.insert(name, Group::new(head, count));
            return;
        };
        state.waiting += count;
        if head.priority <= state.head.priority {
            return;
        }
        // A higher priority is not kept waiting behind the place of a lower one.
        let before = std::mem::replace(&mut state.head, head);
        if state.in_line {
            let name: Arc<str> = group.into();
            if line.ring.remove(&before, &name) {
                line.ring.push(&state.head, name);
            }
        } else if let Some(key) = state.waits_at.as_ref().and_then(|key| self.keys.get_mut(key)) {
            let waiter: Waiter = (consumer.into(), group.into());
            if key.waiters.remove(&before, &waiter) {
                key.waiters.push(&state.head, waiter);
            }
        }
    }

    /// A delivery of this group that was due waits no longer.
    pub fn withdraw(&mut self, consumer: &str, group: &str) {
        self.note(|| Fact::Withdrawn { consumer: consumer.into(), group: group.into(), count: 1 });
        let Some(line) = self.lines.get_mut(consumer) else { return };
        if let Some(state) = line.groups.get_mut(group) {
            state.waiting = state.waiting.saturating_sub(1);
        }
        for (limit, key) in line.policy.keys(group) {
            if let Some(state) = self.keys.get_mut(&key_ref(limit, key)) {
                state.waiting = state.waiting.saturating_sub(1);
            }
        }
    }

    /// The oldest of an ordered group may be another one now.
    pub fn look_again(&mut self, consumer: &str, group: &str) {
        self.note(|| Fact::Moved { consumer: consumer.into(), group: group.into() });
        let Some(line) = self.lines.get_mut(consumer) else { return };
        if let Some(state) = line.groups.get_mut(group)
            && state.waits_at.is_none()
            && !state.in_line
        {
            state.in_line = true;
            line.ring.push(&state.head, group.into());
        }
    }

    /// Pauses one key, or all of a limit. Of two pauses the one that ends later holds.
    pub fn pause(&mut self, limit: &str, key: Option<&str>, closure: Closure) {
        let later = |held: &Option<Closure>| {
            let ends = |closure: &Closure| closure.until.unwrap_or(Timestamp::MAX);
            held.as_ref().is_none_or(|held| !held.holds_at(closure.from) || ends(held) < ends(&closure))
        };
        match key {
            None => {
                if let Some(governor) = self.limits.get_mut(limit)
                    && later(&governor.pause)
                {
                    governor.pause = Some(closure);
                }
            }
            Some(key) => {
                let key = key_ref(limit, key);
                let state = self.keys.entry(key.clone()).or_default();
                if later(&state.pause) {
                    state.pause = Some(closure);
                    self.dirty.insert(key);
                }
            }
        }
    }

    /// Ends the pause of a limit and of its keys, or of one key. False when none was paused.
    pub fn resume(&mut self, limit: &str, key: Option<&str>, now: Timestamp) -> bool {
        let mut resumed = false;
        if key.is_none()
            && let Some(governor) = self.limits.get_mut(limit)
        {
            resumed = governor.pause.take().is_some_and(|pause| pause.holds_at(now));
        }
        for (name, state) in &mut self.keys {
            if &*name.limit == limit && key.is_none_or(|key| key == &*name.key) && state.pause.is_some() {
                resumed |= state.pause.take().is_some_and(|pause| pause.holds_at(now));
                self.dirty.insert(name.clone());
            }
        }
        self.open_limit(limit);
        resumed
    }

    /// Changes a limit at run time; None takes the change back.
    pub fn set_change(&mut self, limit: &str, change: Option<LimitChange>) {
        if let Some(governor) = self.limits.get_mut(limit) {
            let rate = governor.effective.rate;
            *governor = Governor::new(governor.declared.clone(), change, governor.pause.take());
            if governor.effective.rate != rate {
                // Whoever names a rate knows better than what was found.
                for (key, state) in self.keys.iter_mut().filter(|(key, _)| &*key.limit == limit) {
                    if state.adapt.take().is_some() {
                        self.dirty.insert(key.clone());
                    }
                }
            }
            self.open_limit(limit);
        }
    }

    /// Every key of a limit may have room now.
    fn open_limit(&mut self, limit: &str) {
        self.open(|key| &*key.limit == limit);
    }

    /// Keys that groups wait at may have room now.
    fn open(&mut self, which: impl Fn(&KeyRef) -> bool) {
        let waited_at = self.keys.iter().filter(|(key, state)| which(key) && !state.waiters.is_empty());
        let mut keys: Vec<_> = waited_at.map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        self.opened.extend(keys);
    }

    /// The clock was set: what is counted in its time moves along. Answers the limits whose pause did.
    pub fn shift(&mut self, micros: i64) -> Vec<String> {
        for (key, state) in &mut self.keys {
            state.shift(micros);
            self.dirty.insert(key.clone());
        }
        self.timers.clear();
        self.open(|_| true);
        let mut paused = Vec::new();
        for (name, governor) in &mut self.limits {
            if let Some(pause) = &mut governor.pause {
                shift(pause, micros);
                paused.push(name.to_string());
            }
        }
        paused
    }

    /// Rows of keys to write: those that changed since this was asked before.
    pub fn take_dirty(&mut self) -> Vec<(KeyRef, KeyRow)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|key| (key.clone(), self.keys.get(&key).map(KeyState::row).unwrap_or_default())).collect()
    }

    /// Puts back what is kept of a key.
    pub fn restore(&mut self, key: KeyRef, row: KeyRow) {
        let state = self.keys.entry(key).or_default();
        (state.tat, state.pause, state.adapt, state.ramp) = (row.tat, row.pause, row.adapt, row.ramp);
    }

    /// Forgets holds that are over and keys that say nothing any more, and names those keys.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<KeyRef> {
        let held: Vec<_> = self.keys.iter().filter(|(_, state)| !state.holds.is_empty()).collect();
        let held: Vec<_> = held.into_iter().map(|(key, _)| key.clone()).collect();
        held.iter().for_each(|key| self.expire(key, now));
        let idle: Vec<_> =
            self.keys.iter().filter(|(_, state)| state.is_idle(now)).map(|(key, _)| key.clone()).collect();
        for key in &idle {
            self.keys.remove(key);
            self.dirty.remove(key);
        }
        idle
    }

    /// An attempt's outcome says something about its limits: `None` that all is well, or until when to leave them
    /// alone. `permits` are the keys that calls within it held; they count when a limit is named.
    pub fn learn(
        &mut self,
        (delivery, permits): (&Delivery, Vec<KeyRef>),
        limit: Option<&str>,
        throttled: Option<(&Closure, Wish)>,
        now: Timestamp,
    ) {
        let policy = self.policy(&delivery.consumer).into_iter();
        let taken = policy.flat_map(|policy| policy.keys(&delivery.lane.group)).map(|(name, key)| key_ref(name, key));
        let keys = taken.chain(permits.into_iter().filter(|_| limit.is_some()));
        let mut keys: Vec<_> = keys.filter(|key| limit.is_none_or(|limit| limit == &*key.limit)).collect();
        if let (true, Some(limit), Some((closure, _))) = (keys.is_empty(), limit, throttled) {
            // It took none of this limit's keys, so it is about all of them.
            match self.declared(limit) {
                Some(Limit { key: Some(_), .. }) => self.pause(limit, None, closure.clone()),
                Some(_) => keys.push(key_ref(limit, "")),
                None => {}
            }
        }
        for key in keys {
            self.learn_key(&key, delivery, throttled, now);
        }
    }

    fn learn_key(&mut self, key: &KeyRef, delivery: &Delivery, throttled: Option<(&Closure, Wish)>, now: Timestamp) {
        let Some(governor) = self.limits.get(&key.limit) else { return };
        let Some((closure, wish)) = throttled else {
            if let Some(state) = self.keys.get_mut(key)
                && state.went_well(&governor.effective, delivery.since, now)
            {
                self.dirty.insert(key.clone());
            }
            return;
        };
        let pace = governor.pace;
        let state = self.keys.entry(key.clone()).or_default();
        if governor.effective.adapt && wish == Wish::Refused {
            let mut adapt = state.adapt.unwrap_or_else(|| Adapt::new(governor.effective.rate));
            adapt.throttled(nanos(delivery.since), nanos(now));
            state.adapt = Some(adapt);
        }
        match (pace, closure.until) {
            (Some(pace), Some(until)) => state.tat = pace.empty_at(state.tat, nanos(until)),
            (None, Some(until)) if governor.effective.adapt => state.tat = state.tat.max(nanos(until)),
            _ => state.ramp = Some(1),
        }
        self.dirty.insert(key.clone());
        self.pause(&key.limit, Some(&key.key), closure.clone());
    }
}

fn moved(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(micros))
}

/// What a target asked for is a wait from then on; a person named an instant. Either has begun, whatever the clock
/// says.
pub(in crate::store) fn shift(closure: &mut Closure, micros: i64) {
    let from = moved(closure.from, micros);
    if closure.by == plan::TARGET {
        closure.until = closure.until.map(|until| moved(until, micros));
        closure.from = from;
    } else {
        closure.from = from.min(closure.from);
    }
}

fn key_ref(limit: &str, key: &str) -> KeyRef {
    KeyRef { limit: limit.into(), key: key.into() }
}

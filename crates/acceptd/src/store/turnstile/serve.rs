//! Serving: who starts next, for the consumers that have room.
//!
//! Consumers take turns, so do the groups of a consumer, so do the lanes of a group. Everything that a delivery needs
//! is looked at before any of it is taken, so that what waits holds nothing.

use std::sync::Arc;

use super::{Block, Group, Head, Hold, KeyRef, Line, Turnstile, Waiter, instant, key_ref, nanos, nanoseconds};
use crate::limit::AHEAD;
use crate::limit::gcra::Pace;
use crate::wait::Held;
use crate::{Delivery, Timestamp};

/// The rows behind a turnstile.
pub trait Rows {
    /// How reading or writing them fails.
    type Error;

    /// The first due delivery of the next lane after `after`, by the lanes' names; from the beginning for None.
    ///
    /// # Errors
    /// The store's.
    fn next_lane(&mut self, consumer: &str, group: &str, after: Option<&str>) -> Result<Option<Delivery>, Self::Error>;

    /// The first due deliveries of a lane: by priority, due time and age.
    ///
    /// # Errors
    /// The store's.
    fn lane(&mut self, consumer: &str, group: &str, turn: &str, max: usize) -> Result<Vec<Delivery>, Self::Error>;

    /// Of an ordered group the delivery that runs, or else the oldest that has not ended.
    ///
    /// # Errors
    /// The store's.
    fn head(&mut self, consumer: &str, group: &str) -> Result<Option<Delivery>, Self::Error>;

    /// Makes it run.
    ///
    /// # Errors
    /// The store's.
    fn take(&mut self, delivery: Delivery, grant: Grant) -> Result<Delivery, Self::Error>;
}

/// What a delivery gets with its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// When it may start.
    pub start: Timestamp,
    /// The keys that it holds.
    pub keys: Vec<Granted>,
    /// Which limit held it before.
    pub held_by: Option<Held>,
}

/// A key that is held, and how fast what holds it may start one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The key.
    pub key: KeyRef,
    /// The pace of its rate.
    pub pace: Option<Pace>,
}

/// A consumer with room.
#[derive(Debug)]
struct Want {
    consumer: Arc<str>,
    room: usize,
}

impl Line {
    /// The group whose turn it is; it is out of line then.
    fn next(&mut self) -> Option<Arc<str>> {
        let policy = &self.policy;
        let group = self.ring.pop(|_, turn| policy.weight(turn))?;
        if let Some(state) = self.groups.get_mut(&group) {
            state.in_line = false;
        }
        Some(group)
    }
}

/// What the check of a group says.
enum Checked {
    /// So many may start.
    Room(usize),
    /// It waits at this key: for what holds all who wait there, or for its turn after them.
    Wait(KeyRef, Option<Block>),
}

impl Turnstile {
    /// Starts what may start now for these consumers, each with its room.
    ///
    /// # Errors
    /// The store's; the turnstile must be rebuilt then.
    pub fn serve<R: Rows>(
        &mut self,
        rows: &mut R,
        wanted: &[(&str, usize)],
        now: Timestamp,
    ) -> Result<usize, R::Error> {
        self.ring_timers(now);
        let mut wants: Vec<Want> = Vec::with_capacity(wanted.len());
        for (consumer, room) in wanted.iter().filter(|(_, room)| *room > 0) {
            if let Some((consumer, _)) = self.lines.get_key_value(*consumer) {
                wants.push(Want { consumer: Arc::clone(consumer), room: *room });
            }
        }
        wants.sort_by_key(|want| self.lines.get(&want.consumer).map_or(0, |line| line.served));
        let mut served = 0;
        loop {
            let mut looked = false;
            for want in wants.iter_mut().filter(|want| want.room > 0) {
                let Some(group) = self.lines.get_mut(&want.consumer).and_then(Line::next) else { continue };
                looked = true;
                let count = self.serve_group(rows, &want.consumer, group, want.room, now)?;
                want.room -= count;
                served += count;
            }
            if !looked && !self.let_one_go(now) {
                return Ok(served);
            }
        }
    }

    /// When something may start that could not now, for one of these consumers.
    pub fn next(&self, wanted: &[(&str, usize)]) -> Option<Timestamp> {
        let names = |consumer: &str, limit: &str| self.policy(consumer).is_some_and(|policy| policy.uses(limit));
        let uses = |limit: &str| wanted.iter().any(|(consumer, _)| names(consumer, limit));
        let has_limits = |consumer: &str| self.policy(consumer).is_some_and(|policy| !policy.limits.is_empty());
        if !wanted.iter().any(|(consumer, _)| has_limits(consumer)) {
            return None;
        }
        self.timers.iter().find(|(_, key)| uses(&key.limit)).map(|(at, _)| instant(*at))
    }

    /// Keys whose time has come may have room.
    fn ring_timers(&mut self, now: Timestamp) {
        let now = nanos(now);
        while let Some((at, _)) = self.timers.first()
            && *at <= now
            && let Some((_, key)) = self.timers.pop_first()
        {
            self.opened.push_back(key);
        }
    }

    /// Lets one group that waits at a key with room get in line. False when there is none.
    fn let_one_go(&mut self, now: Timestamp) -> bool {
        while let Some(key) = self.opened.pop_front() {
            self.catch_up(&key, now);
            let (Some(governor), Some(state)) = (self.limits.get(&key.limit), self.keys.get_mut(&key)) else {
                continue;
            };
            if state.waiters.is_empty() {
                continue;
            }
            if let Err(block) = state.room(governor, now, nanoseconds(AHEAD)) {
                self.set_timer(&key, &block);
                continue;
            }
            let lines = &self.lines;
            let weight =
                |(consumer, _): &Waiter, turn: &str| lines.get(consumer).map_or(1, |line| line.policy.weight(turn));
            let Some(waiter) = state.waiters.pop(weight) else { continue };
            if !state.waiters.is_empty() {
                self.opened.push_back(key);
            }
            self.get_in_line(waiter, now);
            return true;
        }
        false
    }

    fn get_in_line(&mut self, (consumer, group): Waiter, now: Timestamp) {
        let Some(line) = self.lines.get_mut(&consumer) else { return };
        let Some(state) = line.groups.get_mut(&group) else { return };
        if let Some(key) = state.waits_at.take() {
            state.held_by = Some((Arc::clone(&key.limit), now));
            if !state.let_go.contains(&key) {
                state.let_go.push(key);
            }
        }
        state.in_line = true;
        line.ring.push(&state.head, group);
    }

    fn set_timer(&mut self, key: &KeyRef, block: &Block) {
        if let Some(at) = block.opens() {
            self.timers.insert((at, key.clone()));
        }
    }

    /// Starts up to `max` of a group that is out of line now. Answers how many.
    fn serve_group<R: Rows>(
        &mut self,
        rows: &mut R,
        consumer: &Arc<str>,
        group: Arc<str>,
        max: usize,
        now: Timestamp,
    ) -> Result<usize, R::Error> {
        let Some(line) = self.lines.get_mut(consumer) else { return Ok(0) };
        let ordered = line.policy.ordered;
        let let_go = line.groups.get(&group).map(|state| state.let_go.clone()).unwrap_or_default();
        let keys: Vec<_> = line.policy.keys(&group).map(|(limit, key)| key_ref(limit, key)).collect();
        // What others in line may take is left to them.
        let share = max.div_ceil(line.ring.len() + 1);
        let room = match self.check(&keys, &let_go, now) {
            Checked::Room(room) => room.min(share),
            Checked::Wait(key, block) => {
                self.wait_at(consumer, group, key, block.as_ref());
                return Ok(0);
            }
        };
        let count = match ordered {
            true => self.take_head(rows, consumer, &group, &keys, now)?,
            false => self.take_turns(rows, consumer, &group, &keys, room, now)?,
        };
        self.turns += 1;
        let Some(line) = self.lines.get_mut(consumer) else { return Ok(count) };
        line.served = self.turns;
        if let Some(state) = line.groups.get_mut(&group).filter(|_| count > 0) {
            state.let_go.clear();
        }
        // A group with less than it could start has nothing more that is due; an ordered one waits for its head to end.
        match line.groups.get(&group) {
            Some(state) if state.waiting == 0 => drop(line.groups.remove(&group)),
            _ if ordered => {}
            Some(_) if count == room => self.stand_again(rows, consumer, group)?,
            _ => drop(line.groups.remove(&group)),
        }
        Ok(count)
    }

    /// A group that has more gets in line again, for the delivery that is next. Without limits there is only this
    /// group, and it needs no look.
    fn stand_again<R: Rows>(&mut self, rows: &mut R, consumer: &Arc<str>, group: Arc<str>) -> Result<(), R::Error> {
        let Some(line) = self.lines.get_mut(consumer) else { return Ok(()) };
        let is_alone = line.policy.limits.is_empty();
        let Some(state) = line.groups.get_mut(&group) else { return Ok(()) };
        if !is_alone {
            let next = match &state.last {
                Some((turn, owed)) if *owed > 0 => rows.lane(consumer, &group, turn, 1)?.pop(),
                Some((turn, _)) => rows.next_lane(consumer, &group, Some(turn))?,
                None => None,
            };
            let next = if next.is_some() { next } else { rows.next_lane(consumer, &group, None)? };
            if let Some(next) = next {
                state.head = Head::of(&next);
            }
        }
        state.in_line = true;
        line.ring.push(&state.head, group);
        Ok(())
    }

    /// Looks at every key before anything is taken. A group that comes to a key where others wait goes behind them,
    /// also when there is room: new groups must not get ahead for ever.
    fn check(&mut self, keys: &[KeyRef], let_go: &[KeyRef], now: Timestamp) -> Checked {
        let (mut room, mut behind) = (usize::MAX, None);
        for key in keys {
            self.catch_up(key, now);
            let Some(governor) = self.limits.get(&key.limit) else { continue };
            let state = self.keys.entry(key.clone()).or_default();
            match state.room(governor, now, nanoseconds(AHEAD)) {
                Ok(_) if !state.waiters.is_empty() && !let_go.contains(key) => behind = Some(key),
                Ok(left) => room = room.min(left),
                Err(block) => {
                    state.saturated = nanos(now);
                    return Checked::Wait(key.clone(), Some(block));
                }
            }
        }
        behind.map_or(Checked::Room(room), |key| Checked::Wait(key.clone(), None))
    }

    fn wait_at(&mut self, consumer: &Arc<str>, group: Arc<str>, key: KeyRef, block: Option<&Block>) {
        match block {
            Some(block) => self.set_timer(&key, block),
            None => self.opened.push_back(key.clone()),
        }
        let Some(state) = self.lines.get_mut(consumer).and_then(|line| line.groups.get_mut(&group)) else { return };
        state.waits_at = Some(key.clone());
        self.keys.entry(key).or_default().waiters.push(&state.head, (Arc::clone(consumer), group));
    }

    /// The head of an ordered group, if it waits and is due: the rest comes when it has ended. A dead letter that was
    /// retried is the oldest again, while a younger one may run.
    fn take_head<R: Rows>(
        &mut self,
        rows: &mut R,
        consumer: &Arc<str>,
        group: &Arc<str>,
        keys: &[KeyRef],
        now: Timestamp,
    ) -> Result<usize, R::Error> {
        let head = rows.head(consumer, group)?;
        let Some(head) = head.filter(|head| head.state == crate::delivery::State::Waiting && head.due <= now) else {
            return Ok(0);
        };
        self.take(rows, consumer, group, head, keys, now)?;
        Ok(1)
    }

    /// Up to `max` of a group, lane after lane.
    fn take_turns<R: Rows>(
        &mut self,
        rows: &mut R,
        consumer: &Arc<str>,
        group: &Arc<str>,
        keys: &[KeyRef],
        max: usize,
        now: Timestamp,
    ) -> Result<usize, R::Error> {
        let (mut count, mut turns, mut share) = (0, 0, 1);
        let mut last = self.group_mut(consumer, group).and_then(|group| group.last.take());
        let mut is_whole_round = last.is_none();
        if let Some((turn, owed)) = &mut last {
            let more = rows.lane(consumer, group, turn, (*owed).min(max))?;
            (*owed, count) = (if more.len() < *owed && more.len() < max { 0 } else { *owed - more.len() }, more.len());
            for delivery in more {
                self.take(rows, consumer, group, delivery, keys, now)?;
            }
        }
        while count < max {
            let after = last.as_ref().map(|(turn, _)| turn.as_str());
            let Some(first) = rows.next_lane(consumer, group, after)? else {
                // The lanes begin anew. After a whole round it is known how many turns there are in one.
                if is_whole_round {
                    if turns == 0 {
                        break;
                    }
                    share = ((max - count) / turns).max(1);
                }
                (last, turns, is_whole_round) = (None, 0, true);
                continue;
            };
            let turn = first.lane.turn.clone();
            let weight = self.lines.get(consumer).map_or(1, |line| line.policy.weight(&turn));
            turns += weight;
            self.take(rows, consumer, group, first, keys, now)?;
            let asked = weight.saturating_mul(share).min(max - count) - 1;
            let more = if asked > 0 { rows.lane(consumer, group, &turn, asked)? } else { Vec::new() };
            let taken = 1 + more.len();
            for delivery in more {
                self.take(rows, consumer, group, delivery, keys, now)?;
            }
            count += taken;
            // Who was cut short goes on with the next claim.
            last = Some((turn, if taken == 1 + asked { weight.saturating_sub(taken) } else { 0 }));
        }
        if let Some(group) = self.group_mut(consumer, group) {
            group.last = last;
        }
        Ok(count)
    }

    fn group_mut(&mut self, consumer: &str, group: &str) -> Option<&mut Group> {
        self.lines.get_mut(consumer)?.groups.get_mut(group)
    }

    fn take<R: Rows>(
        &mut self,
        rows: &mut R,
        consumer: &Arc<str>,
        group: &Arc<str>,
        delivery: Delivery,
        keys: &[KeyRef],
        now: Timestamp,
    ) -> Result<(), R::Error> {
        let held_by = self.held_by(consumer, group, &delivery);
        let start = self.start(keys, now);
        let granted = keys.iter().map(|key| Granted { key: key.clone(), pace: self.exact_pace(key) }).collect();
        let running = rows.take(delivery, Grant { start, keys: granted, held_by })?;
        self.withdraw(consumer, group);
        if !keys.is_empty() {
            self.hold_keys(keys, &Hold::of(&running));
        }
        Ok(())
    }

    /// The pace that a key was promised to keep, without a margin.
    pub(super) fn exact_pace(&self, key: &KeyRef) -> Option<Pace> {
        let governor = self.limits.get(&key.limit)?;
        match governor.effective.rate {
            Some(rate) if !governor.effective.adapt => Some(Pace { interval: rate.interval(), burst: rate.burst() }),
            _ => self.keys.get(key).and_then(|state| governor.pace_of(state)),
        }
    }

    /// Takes a start of every key: the latest of their next ones.
    pub(super) fn start(&mut self, keys: &[KeyRef], now: Timestamp) -> Timestamp {
        let (limits, states) = (&self.limits, &self.keys);
        let slot = |key: &KeyRef| Some(states.get(key)?.slot(limits.get(&key.limit)?, now));
        let start = keys.iter().filter_map(slot).max().unwrap_or_else(|| nanos(now));
        for key in keys {
            if let (Some(governor), Some(state)) = (self.limits.get(&key.limit), self.keys.get_mut(key))
                && governor.pace_of(state).is_some()
            {
                state.start(governor, start);
                self.dirty.insert(key.clone());
            }
        }
        instant(start)
    }

    /// The limit that held a delivery's group since the delivery was due.
    fn held_by(&self, consumer: &str, group: &str, delivery: &Delivery) -> Option<Held> {
        let (limit, until) = self.lines.get(consumer)?.groups.get(group)?.held_by.as_ref()?;
        let gate = self.limits.get(limit)?.effective.gate();
        (*until > delivery.due.max(delivery.since)).then(|| Held { gate, limit: limit.to_string() })
    }
}

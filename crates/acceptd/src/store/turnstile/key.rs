//! One key of a limit: its rate, its pause, who holds it and who waits at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Governor, Hold, HoldId, Turns, Waiter, instant, nanos, nanoseconds};
use crate::limit::gcra::Pace;
use crate::limit::{AHEAD, Adapt, Limit};
use crate::{Closure, Timestamp};

/// Starts of a delivery with several rates are given out up to so many times [`AHEAD`] before they are.
const AHEAD_MAX: i64 = 4;
/// A ramp that is so high is over, when the limit itself names no number.
const RAMP_MAX: u32 = 1_024;

/// What is kept of a key in the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The theoretical arrival time of its rate, in nanoseconds.
    pub tat: i64,
    /// Its pause.
    pub pause: Option<Closure>,
    /// The rate that it is looking for.
    pub adapt: Option<Adapt>,
    /// After a pause without a rate: how many may run, until enough of them went well.
    pub ramp: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct KeyState {
    pub(super) tat: i64,
    pub(super) pause: Option<Closure>,
    pub(super) adapt: Option<Adapt>,
    /// After a pause without a rate: how many may run, until enough of them went well.
    pub(super) ramp: Option<u32>,
    pub(super) holds: BTreeMap<HoldId, Hold>,
    pub(super) waiters: Turns<Waiter>,
    /// Deliveries that are due and wait, of all groups.
    pub(super) waiting: u64,
    /// When something last had to wait, in nanoseconds.
    pub(super) saturated: i64,
}

/// What holds a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Block {
    /// The limit or the key is paused.
    Paused(Closure),
    /// The rate: the next start is then, in nanoseconds.
    Rate(i64),
    /// All slots are held; the first is free by itself then.
    Slots(Option<Timestamp>),
}

impl Block {
    /// When it is worth a look again, in nanoseconds; None when only a change tells.
    pub(super) fn opens(&self) -> Option<i64> {
        match self {
            Self::Paused(closure) => closure.until.map(nanos),
            Self::Rate(start) => Some(start.saturating_sub(nanoseconds(AHEAD))),
            Self::Slots(until) => until.map(nanos),
        }
    }
}

impl KeyState {
    pub(super) fn row(&self) -> KeyRow {
        KeyRow { tat: self.tat, pause: self.pause.clone(), adapt: self.adapt, ramp: self.ramp }
    }

    /// Whether it never had anything to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.holds.is_empty()
            && self.waiters.is_empty()
            && self.waiting == 0
            && self.tat == 0
            && self.pause.is_none()
            && self.ramp.is_none()
            && self.adapt.is_none()
    }

    /// Whether nothing would be different without it.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.holds.is_empty()
            && self.waiters.is_empty()
            && self.waiting == 0
            && self.ramp.is_none()
            && self.adapt.is_none()
            && self.tat <= nanos(now)
            && self.pause.as_ref().is_none_or(|pause| !pause.holds_at(now))
    }

    /// How many may run at once.
    pub(super) fn slots(&self, limit: &Limit) -> Option<usize> {
        let least = [limit.concurrency, self.ramp].into_iter().flatten().min();
        least.map(|slots| slots as usize)
    }

    /// How many may start, from now until `ahead` nanoseconds later; or what holds them all.
    pub(super) fn room(&self, governor: &Governor, now: Timestamp, ahead: i64) -> Result<usize, Block> {
        let paused = [&governor.pause, &self.pause].into_iter().flatten().find(|pause| pause.holds_at(now));
        if let Some(closure) = paused {
            return Err(Block::Paused(closure.clone()));
        }
        let mut room = usize::MAX;
        if let Some(slots) = self.slots(&governor.effective) {
            let held = || self.holds.values().filter(|hold| hold.holds_at(now));
            room = slots.saturating_sub(held().count());
            if room == 0 {
                return Err(Block::Slots(held().filter_map(|hold| hold.until).min()));
            }
        }
        if let Some(pace) = governor.pace_of(self) {
            let (tat, from) = (self.tat_at(pace, now), nanos(now));
            match pace.slots(tat, from, from.saturating_add(ahead)) {
                0 => return Err(Block::Rate(pace.slot(tat, from))),
                starts => room = room.min(starts),
            }
        }
        Ok(room)
    }

    /// When the next start may be, in nanoseconds.
    pub(super) fn slot(&self, governor: &Governor, now: Timestamp) -> i64 {
        governor.pace_of(self).map_or(nanos(now), |pace| pace.slot(self.tat_at(pace, now), nanos(now)))
    }

    /// The theoretical arrival time. Only a pause lets it lie farther ahead than starts at this pace can have led to:
    /// once that was resumed, or the rate was changed for a faster one, nothing waits for what is no more.
    fn tat_at(&self, pace: Pace, now: Timestamp) -> i64 {
        if self.pause.as_ref().is_some_and(|pause| pause.holds_at(now)) {
            return self.tat;
        }
        self.tat.min(pace.latest(nanos(now).saturating_add(AHEAD_MAX * nanoseconds(AHEAD))))
    }

    /// Takes over what [`Self::tat_at`] finds. True when that is something else than before.
    pub(super) fn catch_up(&mut self, governor: &Governor, now: Timestamp) -> bool {
        let before = self.tat;
        if let Some(pace) = governor.pace_of(self) {
            self.tat = self.tat_at(pace, now);
        }
        self.tat != before
    }

    /// Something starts then.
    pub(super) fn start(&mut self, governor: &Governor, start: i64) {
        if let Some(pace) = governor.pace_of(self) {
            self.tat = pace.take(self.tat, start);
        }
    }

    /// What started then ended well. A ramp lets one more run: as many again while one attempt takes. True when
    /// something else is known than before.
    pub(super) fn went_well(&mut self, limit: &Limit, started: Timestamp, now: Timestamp) -> bool {
        let before = (self.ramp, self.adapt);
        // What started before the target throttled says nothing about how it goes on.
        if self.pause.as_ref().is_none_or(|pause| pause.from < started) {
            self.ramp = self.ramp.map(|ramp| ramp.saturating_add(1));
        }
        if self.ramp.is_some_and(|ramp| ramp >= limit.concurrency.unwrap_or(RAMP_MAX)) {
            self.ramp = None;
        }
        // Only a rate that is asked for in full can be found too slow.
        if limit.adapt && nanos(now).saturating_sub(self.saturated) < 1_000_000_000 {
            self.adapt.get_or_insert_with(|| Adapt::new(limit.rate)).went_well();
        }
        (self.ramp, self.adapt) != before
    }

    /// The clock was set.
    pub(super) fn shift(&mut self, micros: i64) {
        let nanos = micros.saturating_mul(1_000);
        // What was never used, and what never had to wait, stays so.
        for at in [&mut self.tat, &mut self.saturated].into_iter().filter(|at| **at != 0) {
            *at = at.saturating_add(nanos);
        }
        if let Some(pause) = &mut self.pause {
            super::shift(pause, micros);
        }
        if let Some(adapt) = &mut self.adapt {
            adapt.cut_at = adapt.cut_at.saturating_add(nanos);
        }
        self.holds.values_mut().for_each(|hold| hold.until = hold.until.map(|until| super::moved(until, micros)));
    }

    /// Takes away what is held no longer, and names it.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<HoldId> {
        let over: Vec<_> = self.holds.iter().filter(|(_, hold)| !hold.holds_at(now)).map(|(id, _)| *id).collect();
        over.iter().for_each(|id| drop(self.holds.remove(id)));
        over
    }

    /// When the next start may be.
    pub(super) fn next_start(&self, governor: &Governor, now: Timestamp) -> Timestamp {
        instant(self.slot(governor, now))
    }
}

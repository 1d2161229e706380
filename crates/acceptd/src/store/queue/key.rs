//! One key of a limit: its rate, its pause, who holds it and who waits at it.

use std::collections::{BTreeMap, VecDeque};

use super::{Governor, Hold, HoldId, Waiter, instant, nanos, nanoseconds};
use crate::limit::{AHEAD, Adapt, Limit};
use crate::{Closure, Timestamp};

/// What is kept of a key in the store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyRow {
    /// The theoretical arrival time of its rate, in nanoseconds.
    pub tat: i64,
    /// Its pause.
    pub pause: Option<Closure>,
    /// The rate that it is looking for.
    pub adapt: Option<Adapt>,
}

#[derive(Debug, Default)]
pub(super) struct KeyState {
    pub(super) tat: i64,
    pub(super) pause: Option<Closure>,
    pub(super) adapt: Option<Adapt>,
    /// After a pause without a rate: how many may run, until enough of them went well.
    pub(super) ramp: Option<u32>,
    pub(super) holds: BTreeMap<HoldId, Hold>,
    pub(super) waiters: VecDeque<Waiter>,
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
        KeyRow { tat: self.tat, pause: self.pause.clone(), adapt: self.adapt }
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
            let held = self.holds.values().filter(|hold| hold.holds_at(now)).count();
            if held >= slots {
                return Err(Block::Slots(self.holds.values().filter_map(|hold| hold.until).min()));
            }
            room = slots - held;
        }
        if let Some(pace) = governor.pace_of(self) {
            let from = nanos(now);
            match pace.slots(self.tat, from, from.saturating_add(ahead)) {
                0 => return Err(Block::Rate(pace.slot(self.tat, from))),
                starts => room = room.min(starts),
            }
        }
        Ok(room)
    }

    /// When the next start may be, in nanoseconds.
    pub(super) fn slot(&self, governor: &Governor, now: Timestamp) -> i64 {
        governor.pace_of(self).map_or(nanos(now), |pace| pace.slot(self.tat, nanos(now)))
    }

    /// Something starts then.
    pub(super) fn start(&mut self, governor: &Governor, start: i64) {
        if let Some(pace) = governor.pace_of(self) {
            self.tat = pace.take(self.tat, start);
        }
    }

    /// A start ended well. A ramp lets one more run: as many again while one attempt takes.
    pub(super) fn went_well(&mut self, limit: &Limit, now: Timestamp) {
        self.ramp = self.ramp.map(|ramp| ramp.saturating_add(1));
        if self.ramp.is_some_and(|ramp| ramp >= limit.concurrency.unwrap_or(1_024)) {
            self.ramp = None;
        }
        // Only a rate that is asked for in full can be found too slow.
        if limit.adapt && nanos(now).saturating_sub(self.saturated) < 1_000_000_000 {
            self.adapt.get_or_insert_with(|| Adapt::new(limit.rate)).went_well();
        }
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
